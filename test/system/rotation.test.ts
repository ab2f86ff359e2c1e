/** The promise: certificates come and change under a running broker, and nobody is disturbed. */
import assert from 'node:assert/strict'
import { chownSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from 'node:tls'
import { spawnMidge, startMidge } from '../helpers/midge-process.ts'
import { issueServer, makeCa, type TestCertificate } from '../helpers/certificates.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const DAY = 86_400_000
const CHECK_INTERVAL_MS = 50
const ca = makeCa('Server CA')
const TOPIC = 'tenant/acme/device/pump-7/telemetry'

/** Root drops its privileges for the process, as a deployment would. */
const NOBODY = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : undefined

const SETTINGS = {
  MIDGE_INGEST: 'off',
  MIDGE_TENANCY: 'on',
  MIDGE_LOG_LEVEL: 'info',
  CHECK_INTERVAL: `${CHECK_INTERVAL_MS}ms`,
  STABILITY_WINDOW: '20ms',
  RESTART_COOLDOWN: '0s',
}

type Pair = Pick<TestCertificate, 'certificatePem' | 'privateKeyPem'>

/** A process whose server certificate lies in a directory of the test's. */
async function prepared(t: TestContext) {
  const scratch = await scratchDirectory(t)
  const certificates = join(scratch, 'certs')
  const data = join(scratch, 'data')
  for (const folder of [certificates, data]) {
    mkdirSync(folder)
    if (NOBODY !== undefined) chownSync(folder, NOBODY.uid, NOBODY.gid)
  }
  const start = async (env: NodeJS.ProcessEnv = {}) => {
    const midge = await startMidge(t, {
      args: ['--data', data],
      env: { ...SETTINGS, CERT_DIR: certificates, ...env },
      user: NOBODY,
    })
    const count = (event: string) => midge.output().split(`"event":"${event}"`).length - 1
    return {
      midge,
      count,
      /** Settles when the log has this event for the n-th time; gives what was printed so far. */
      nth: async (event: string, n: number) => {
        const { stderr } = midge.child
        assert.ok(stderr)
        while (count(event) < n) await once(stderr, 'data')
        return midge.output()
      },
      port: async () => {
        const [, port] = await midge.printed(/"listener":"mqtts"[^\n]*listening on port (\d+)/u)
        return Number(port)
      },
      get: async (path: string) => {
        const answer = await fetch(`http://127.0.0.1:${midge.ports.http}${path}`)
        return `${answer.status} ${await answer.text()}`
      },
    }
  }
  return { certificates, data, start }
}

/** In place and one after the other: for a moment the pair does not match. */
function writePair(certificates: string, { certificatePem, privateKeyPem }: Pair): void {
  writeFileSync(join(certificates, 'server.key'), privateKeyPem)
  writeFileSync(join(certificates, 'server.crt'), certificatePem)
}

function renamePair(certificates: string, { certificatePem, privateKeyPem }: Pair): void {
  for (const [name, text] of [
    ['server.key', privateKeyPem],
    ['server.crt', certificatePem],
  ] as const) {
    writeFileSync(join(certificates, `${name}.new`), text)
    renameSync(join(certificates, `${name}.new`), join(certificates, name))
  }
}

/** SHA-256 of the certificate that is served, as in TestCertificate. */
async function served(port: number): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
  socket.on('error', () => undefined)
  await once(socket, 'secureConnect')
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256.replaceAll(':', '').toLowerCase()
}

const first = issueServer(ca)
const second = issueServer(ca)
const third = issueServer(ca)
const expired = issueServer(ca, ['localhost'], { notAfter: Date.now() - DAY })

test('certificates appear, rotate, expire: one swap each, and none', {
  timeout: 60_000,
}, async (t) => {
  const { certificates, data, start } = await prepared(t)
  const { midge, count, nth, port, get } = await start()
  if (NOBODY !== undefined) assert.equal(statSync(join(data, 'passwd')).uid, NOBODY.uid)

  await midge.printed(/"event":"cert_missing"/u)
  assert.match(
    midge.output(),
    /waiting: listener mqtts: .*server\.crt and .*server\.key do not exist yet/u,
  )
  assert.equal(midge.ports.mqtts, 0)
  assert.notEqual(midge.ports.mqtt, 0)
  assert.equal(await get('/ready'), '503 {"status":"not_ready","reason":"tls"}')
  assert.match(await get('/metrics'), /^tls_certificate_rejected\{listener="mqtts"\} 1$/mu)

  writePair(certificates, first)
  const mqtts = await port()
  await nth('tls_probe_success', 1)
  assert.equal(await served(mqtts), first.fingerprint)
  assert.equal(await get('/ready'), '200 {"status":"ready"}')
  const device = await deviceOf(t, data, mqtts)

  writePair(certificates, second)
  await nth('tls_probe_success', 2)
  assert.equal(await served(mqtts), second.fingerprint)

  writePair(certificates, expired)
  const [line] = await midge.printed(/.*"event":"cert_expired".*/u)
  assert.match(line, /"level":"error".*server\.crt expired at .*the ones in use stay/u)
  assert.equal(await served(mqtts), second.fingerprint)
  assert.match(await get('/ready'), /^503/u)

  // A hundred looks at what never becomes good.
  await delay(100 * CHECK_INTERVAL_MS)
  assert.deepEqual([count('cert_swapped'), count('cert_expired'), count('cert_missing')], [2, 1, 1])

  writePair(certificates, third)
  await nth('tls_probe_success', 3)
  await delay(20 * CHECK_INTERVAL_MS)
  const metrics = await get('/metrics')
  assert.match(metrics, /^cert_swaps_total\{listener="mqtts"\} 3$/mu)
  assert.match(metrics, /^tls_probe_success_total\{listener="mqtts"\} 3$/mu)
  assert.match(metrics, /^tls_probe_failure_total\{listener="mqtts"\} 0$/mu)
  assert.match(metrics, /^restart_suppressed_total\{listener="mqtts",reason="cooldown"\} 0$/mu)
  assert.match(metrics, /^mosquitto_restarts_total 0$/mu)
  assert.match(metrics, /^cert_days_remaining\{listener="mqtts"\} 36\d/mu)
  assert.match(await get('/ready'), /^200/u)
  await device.ping()
  assert.equal((await midge.end()).code, 0)
})

test('a probe that fails is diagnosed and stands in nobody’s way', {
  timeout: 60_000,
}, async (t) => {
  const { certificates, start } = await prepared(t)
  const closed = createServer().listen(0, '127.0.0.1')
  await once(closed, 'listening')
  const address = closed.address()
  assert.ok(typeof address === 'object' && address !== null)
  closed.close()
  const upstream = `127.0.0.1:${address.port}`
  const { count, nth, port } = await start({ UPSTREAM_ADDR: upstream })
  writePair(certificates, first)
  const mqtts = await port()
  for (const [n, pair] of [second, third, first].entries()) {
    await nth('tls_probe_failure', n + 1)
    writePair(certificates, pair)
  }
  const log = await nth('tls_probe_failure', 4)
  assert.equal(await served(mqtts), first.fingerprint)
  await delay(20 * CHECK_INTERVAL_MS)
  assert.deepEqual([count('cert_swapped'), count('tls_probe_failure')], [4, 4])
  assert.match(
    log,
    new RegExp(`"diagnosis":"${upstream}: nothing listens there \\(ECONNREFUSED\\)"`, 'u'),
  )
})

test('a process whose only listener waits stays, and opens it', { timeout: 60_000 }, async (t) => {
  const directory = await scratchDirectory(t)
  // No file may say port 0, so one that was free a moment ago has to do.
  const free = createServer().listen(0, '127.0.0.1')
  await once(free, 'listening')
  const address = free.address()
  assert.ok(typeof address === 'object' && address !== null)
  free.close()
  const conf = [
    `listener ${address.port} 127.0.0.1`,
    `certfile ${join(directory, 'server.crt')}`,
    `keyfile ${join(directory, 'server.key')}`,
    'allow_anonymous true',
  ]
  writeFileSync(join(directory, 'm.conf'), `${conf.join('\n')}\n`)
  const { MIDGE_INGEST, CHECK_INTERVAL, STABILITY_WINDOW } = SETTINGS
  const midge = spawnMidge(t, {
    args: ['-c', join(directory, 'm.conf')],
    env: { MIDGE_INGEST, CHECK_INTERVAL, STABILITY_WINDOW, MIDGE_HTTP_PORT: '' },
    user: NOBODY,
  })
  await midge.printed(/"event":"midge.started"/u)
  await delay(20 * CHECK_INTERVAL_MS)
  assert.equal(midge.child.exitCode, null)
  writePair(directory, first)
  await midge.printed(/"event":"tls_probe_success"/u)
  assert.equal(await served(address.port), first.fingerprint)
  assert.equal((await midge.end()).code, 0)
})

test('the cooldown holds a swap back, says so once, and then lets it through', {
  timeout: 60_000,
}, async (t) => {
  const { certificates, start } = await prepared(t)
  writePair(certificates, first)
  const { count, nth, port, get } = await start({ RESTART_COOLDOWN: '3s' })
  const mqtts = await port()
  writePair(certificates, second)
  await nth('cert_swapped', 1)
  writePair(certificates, third)
  await nth('swap_suppressed', 1)
  assert.equal(await served(mqtts), second.fingerprint)
  await nth('cert_swapped', 2)
  assert.equal(await served(mqtts), third.fingerprint)
  assert.equal(count('swap_suppressed'), 1)
  assert.match(
    await get('/metrics'),
    /^restart_suppressed_total\{listener="mqtts",reason="cooldown"\} 1$/mu,
  )
})

test('100 rotations under load: no connection dropped, no handshake failed', {
  timeout: 120_000,
}, async (t) => {
  const ROTATIONS = 100
  const { certificates, data, start } = await prepared(t)
  writePair(certificates, first)
  const { nth, port, get } = await start()
  const mqtts = await port()
  const stop = new AbortController()
  let published = 0
  let handshakes = 0
  const dropped: number[] = []

  const publish = async (n: number) => {
    const device = await deviceOf(t, data, mqtts, `pump-${n}`)
    void device.closed.then(() => stop.signal.aborted || dropped.push(n))
    while (!stop.signal.aborted) {
      await device.publish(TOPIC, '{"metrics":{"n":1}}', { qos: 1 })
      published++
      await delay(2)
    }
    await device.disconnect()
  }
  const come = async (n: number) => {
    while (!stop.signal.aborted) {
      const device = await deviceOf(t, data, mqtts, `comer-${n}`)
      await device.ping()
      await device.disconnect()
      handshakes++
    }
  }
  const load = Promise.all([0, 1, 2, 3, 4].map(publish).concat([0, 1].map(come)))
  const pairs = [first, second]
  const rotate = async () => {
    for (let n = 1; n <= ROTATIONS; n++) {
      const write = n % 3 === 0 ? writePair : renamePair
      write(certificates, pairs[n % 2] ?? first)
      await nth('tls_probe_success', n)
    }
  }
  try {
    // A failure of the load must end the test at once.
    await Promise.race([rotate(), load.then(() => Promise.reject(new Error('the load ended')))])
  } finally {
    stop.abort()
  }
  await load
  t.diagnostic(`${published} PUBLISHes, ${handshakes} handshakes during ${ROTATIONS} swaps`)
  assert.deepEqual(dropped, [])
  assert.ok(handshakes > 50, `${handshakes} handshakes`)
  const metrics = await get('/metrics')
  assert.match(metrics, new RegExp(`^cert_swaps_total\\{listener="mqtts"\\} ${ROTATIONS}$`, 'mu'))
  const refused = [...metrics.matchAll(/^mqtt_connects_refused_total\{reason="(\w+)"\} (\d+)$/gmu)]
  // The probe shows no certificate; nobody else was refused.
  assert.deepEqual(
    refused.map(([, reason, n]) => [reason, Number(n)]),
    [['no_certificate', ROTATIONS]],
  )
})

/** A device with its CONNACK, which believes the certificates of the test. */
async function deviceOf(
  t: TestContext,
  data: string,
  port: number,
  clientId = 'pump-7',
): Promise<RawClient> {
  const folder = join(data, 'certs', 'devices', 'acme')
  const device = await RawClient.tls({
    host: '127.0.0.1',
    port,
    ca: ca.certificatePem,
    cert: readFileSync(join(folder, 'pump-7.crt')),
    key: readFileSync(join(folder, 'pump-7.key')),
    servername: 'localhost',
  })
  t.after(() => device.destroy())
  assert.equal((await device.connect({ clientId })).returnCode, 0)
  return device
}
