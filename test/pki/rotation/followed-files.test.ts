/** Files on a real disk, followed by createPki with settings as a deployment has them. */
import assert from 'node:assert/strict'
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { RotationConfig } from '../../../config/types.ts'
import { systemClock } from '../../../core/clock.ts'
import { createMetrics } from '../../../core/metrics.ts'
import { CertificateRejected } from '../../../pki/errors.ts'
import { createPki, type PkiListener } from '../../../pki/pki.ts'
import { issueServer, makeCa, makeCrl } from '../../helpers/certificates.ts'
import { RememberingLog } from '../../helpers/log.ts'
import { scratchDirectory } from '../../helpers/scratch.ts'
import { dhParameters } from '../../helpers/dh-parameters.ts'

const DAY = 86_400_000
const ca = makeCa('Server CA')
const deviceCa = makeCa('Device CA')
const otherCa = makeCa('Other Device CA')
const first = issueServer(ca)
const second = issueServer(ca)
const rsa = issueServer(ca, ['localhost'], { key: 'rsa2048' })
const expired = issueServer(ca, ['localhost'], { notAfter: Date.now() - DAY })
const early = issueServer(ca, ['localhost'], { notBefore: Date.now() + DAY })

const QUICK: RotationConfig = {
  checkIntervalMs: 20,
  stabilityWindowMs: 40,
  cooldownMs: 0,
  expiryWarnDays: 14,
  swap: true,
  probe: { upstream: undefined, servername: undefined, timeoutMs: 5000 },
}

const revocation = {
  whenMissing: 'wait',
  whenStale: 'serve-stale',
  withoutCrl: 'accept',
} as const

async function directory(t: TestContext) {
  // Neither a watch nor a poll keeps a process alive.
  const alive = setInterval(() => undefined, 60_000)
  t.after(() => clearInterval(alive))
  const folder = await scratchDirectory(t)
  const path = (name: string): string => join(folder, name)
  const put = (name: string, text: string): void => {
    writeFileSync(path(`${name}.tmp`), text)
    renameSync(path(`${name}.tmp`), path(name))
  }
  const pair = (of: typeof first): void => {
    put('server.key', of.privateKeyPem)
    put('server.crt', of.certificatePem)
  }
  const start = async (
    rotation: Partial<RotationConfig> = {},
    more: Partial<PkiListener['tls']> = {},
  ) => {
    const memory = new RememberingLog()
    const metrics = createMetrics()
    const tls = {
      certfile: path('server.crt'),
      keyfile: path('server.key'),
      cafile: path('ca.crt'),
      crlfile: undefined,
      ...more,
    }
    const pki = await createPki({
      listeners: [{ name: '8883', tls }],
      revocation,
      rotation: { ...QUICK, ...rotation },
      clock: systemClock,
      log: memory.log,
      metrics,
      settleMs: 5,
    })
    t.after(() => pki.close())
    const swaps: string[] = []
    pki.on({ credentials: (_name, { cert }) => swaps.push(cert) })
    const value = async (name: string) =>
      (await metrics.registry.getMetricsAsJSON())
        .find((metric) => metric.name === name)
        ?.values.reduce((sum, each) => sum + each.value, 0)
    const count = (event: string) => memory.lines.filter((line) => line['event'] === event).length
    return { pki, memory, metrics, swaps, value, count }
  }
  return { path, put, pair, start }
}

test('without files the listener waits; when all have come it serves with them, one swap', async (t) => {
  const { put, start } = await directory(t)
  const { pki, memory, swaps, value, count } = await start()
  assert.equal(pki.isReady('8883'), false)
  assert.match(
    pki.waitingFor('8883') ?? '',
    /server\.crt and .*server\.key and .*ca\.crt do not exist yet$/u,
  )
  assert.equal(pki.problems.length, 1)
  assert.equal(await value('tls_certificate_rejected'), 1)
  assert.equal(memory.last('cert_missing')?.['level'], 'error')
  assert.throws(() => pki.credentials('8883'), /has no certificate yet/u)
  const admission = pki.clientCertificates('8883')?.admit(undefined, undefined)
  assert.equal(admission?.admitted, false)
  put('server.crt', first.certificatePem)
  put('server.key', first.privateKeyPem)
  put('ca.crt', deviceCa.certificatePem)
  await memory.until('cert_swapped')
  await pki.reload()
  await pki.reload()
  assert.equal(pki.isReady('8883'), true)
  assert.equal(pki.credentials('8883').cert, first.certificatePem)
  assert.deepEqual(
    [swaps.length, count('cert_swapped'), await value('cert_swaps_total')],
    [1, 1, 1],
  )
  assert.deepEqual(pki.problems, [])
  assert.equal(await value('mosquitto_restarts_total'), 0)
  const days = (await value('cert_days_remaining')) ?? 0
  assert.ok(days > 364 && days < 366, `${days} days`)
})

const REFUSED: readonly (readonly [
  string,
  (on: {
    put: (name: string, text: string) => void
    pair: (of: typeof first) => void
    path: (name: string) => string
  }) => void,
  string,
  RegExp,
])[] = [
  [
    'an expired certificate',
    ({ pair }) => pair(expired),
    'cert_expired',
    /server\.crt expired at .*, the clock says/u,
  ],
  ['one that is not valid yet', ({ pair }) => pair(early), 'cert_not_yet_valid', /is valid from/u],
  [
    'a certificate without its new key',
    ({ put }) => put('server.crt', second.certificatePem),
    'certificate.rejected',
    /does not belong to/u,
  ],
  [
    'an RSA key with an EC certificate',
    ({ put }) => put('server.key', rsa.privateKeyPem),
    'certificate.rejected',
    /rsa key, ec certificate/u,
  ],
  [
    'half a certificate',
    ({ put }) => put('server.crt', first.certificatePem.slice(0, 300)),
    'certificate.rejected',
    /has no END/u,
  ],
  [
    'an empty key',
    ({ put }) => put('server.key', ''),
    'certificate.rejected',
    /expected a PEM private key/u,
  ],
  [
    'a CA bundle without a CA',
    ({ put }) => put('ca.crt', ''),
    'certificate.rejected',
    /expected at least one CA/u,
  ],
  [
    'a CA bundle cut short',
    ({ put }) => put('ca.crt', deviceCa.certificatePem.slice(0, 200)),
    'certificate.rejected',
    /has no END/u,
  ],
  [
    'a key that is gone',
    ({ path }) => rmSync(path('server.key')),
    'cert_missing',
    /server\.key does not exist yet$/u,
  ],
  [
    'a directory in place of the key',
    ({ path }) => {
      rmSync(path('server.key'))
      renameSync(path('folder'), path('server.key'))
    },
    'certificate.rejected',
    /expected a file of at most/u,
  ],
]

for (const [what, change, event, problem] of REFUSED) {
  test(`${what}: the old stays, with the reason told once, and the good ones come back`, async (t) => {
    const { put, pair, path, start } = await directory(t)
    pair(first)
    put('ca.crt', deviceCa.certificatePem)
    mkdirSync(path('folder'))
    const { pki, memory, swaps, value, count } = await start()
    change({ put, pair, path })
    const line = await memory.until(event)
    assert.match(String(line['problem']), problem)
    assert.equal(line['level'], 'error')
    // Three more looks; the last may be the one under way.
    for (let n = 0; n < 3; n++) await pki.reload()
    assert.equal(count(event), 1)
    assert.deepEqual(swaps, [])
    assert.equal(pki.credentials('8883').cert, first.certificatePem)
    assert.equal(pki.isReady('8883'), true)
    assert.match(pki.problems[0]?.message ?? '', problem)
    assert.equal(await value('tls_certificate_rejected'), 1)
    rmSync(path('server.key'), { recursive: true, force: true })
    pair(second)
    put('ca.crt', deviceCa.certificatePem)
    await memory.until('cert_swapped')
    await pki.reload()
    assert.deepEqual(swaps, [second.certificatePem])
    assert.deepEqual(pki.problems, [])
    assert.equal(await value('tls_certificate_rejected'), 0)
  })
}

test('an expired certificate at the start: the listener waits for a good one', async (t) => {
  const { put, pair, start } = await directory(t)
  pair(expired)
  put('ca.crt', deviceCa.certificatePem)
  const { pki, memory, swaps, value } = await start()
  assert.equal(pki.isReady('8883'), false)
  assert.match(pki.waitingFor('8883') ?? '', /expired at/u)
  assert.match(String(memory.last('cert_expired')?.['msg']), /the listener waits$/u)
  const days = (await value('cert_days_remaining')) ?? 0
  assert.ok(days < 0, `${days} days`)
  pair(second)
  await memory.until('cert_swapped')
  assert.deepEqual(swaps, [second.certificatePem])
})

test('broken files at the start are an error, once they have stood still', async (t) => {
  const { put, pair, start } = await directory(t)
  pair(first)
  put('ca.crt', deviceCa.certificatePem)
  put('server.key', second.privateKeyPem)
  await assert.rejects(start(), (err) => {
    assert.ok(err instanceof CertificateRejected)
    assert.equal(err.code, 'certificate_key_mismatch')
    return true
  })
})

test('half-written files at the start are given the time to become whole', async (t) => {
  const { put, pair, start } = await directory(t)
  put('ca.crt', deviceCa.certificatePem)
  put('server.key', first.privateKeyPem)
  put('server.crt', first.certificatePem.slice(0, 300))
  const starting = start({ stabilityWindowMs: 500 })
  pair(first)
  const { pki } = await starting
  assert.equal(pki.credentials('8883').cert, first.certificatePem)
})

test('a certificate near its end is warned of once, and served', async (t) => {
  const { put, pair, start } = await directory(t)
  pair(issueServer(ca, ['localhost'], { notAfter: Date.now() + 13.5 * DAY }))
  put('ca.crt', deviceCa.certificatePem)
  const { pki, memory, count } = await start()
  assert.equal(pki.isReady('8883'), true)
  const { level, daysRemaining } = memory.last('cert_expiring') ?? {}
  assert.deepEqual([level, daysRemaining], ['warn', 13])
  for (let n = 0; n < 3; n++) await pki.reload()
  assert.equal(count('cert_expiring'), 1)
})

test('other CAs in the bundle are trusted and named from one swap on', async (t) => {
  const { put, pair, start } = await directory(t)
  pair(first)
  put('ca.crt', deviceCa.certificatePem)
  const { pki, memory } = await start()
  put('ca.crt', deviceCa.certificatePem + otherCa.certificatePem)
  await memory.until('cert_swapped')
  const { ca: bundle, trust } = pki.credentials('8883')
  assert.equal(bundle, deviceCa.certificatePem + otherCa.certificatePem)
  assert.deepEqual(
    trust?.authorities.map(({ name }) => name),
    ['Device CA', 'Other Device CA'],
  )
})

test('with swaps off a change is reported and not taken, until an operator asks', async (t) => {
  const { put, pair, start } = await directory(t)
  pair(first)
  put('ca.crt', deviceCa.certificatePem)
  const { pki, memory, swaps, value } = await start({ swap: false })
  pair(second)
  assert.equal((await memory.until('swap_suppressed'))['reason'], 'disabled')
  assert.equal(await value('restart_suppressed_total'), 1)
  assert.deepEqual(swaps, [])
  await pki.reload()
  assert.deepEqual(swaps, [second.certificatePem])
})

test('a listener that refuses what it is given keeps the old, and its CAs', async (t) => {
  const { put, pair, start } = await directory(t)
  pair(first)
  put('ca.crt', deviceCa.certificatePem)
  const { pki, memory } = await start()
  const stop = pki.on({
    credentials: () => {
      throw new Error('not this one')
    },
  })
  pair(second)
  put('ca.crt', otherCa.certificatePem)
  await memory.until('swap_failed', { problem: 'not this one' })
  assert.equal(pki.credentials('8883').cert, first.certificatePem)
  assert.match(pki.problems[0]?.message ?? '', /not this one/u)
  stop()
  await pki.reload()
  assert.equal(pki.credentials('8883').cert, second.certificatePem)
})

test('a pair that reads well and cannot serve a handshake is never put in force', async (t) => {
  const { put, pair, start } = await directory(t)
  pair(first)
  put('ca.crt', deviceCa.certificatePem)
  const { pki, memory, swaps, value } = await start()
  pair(issueServer(ca, ['localhost'], { key: 'k256' }))
  const { diagnosis, stage } = await memory.until('tls_probe_failure')
  assert.equal(stage, 'rehearsal')
  assert.match(String(diagnosis), /^throw-away server: .* it says ERR_SSL_/u)
  await pki.reload()
  assert.deepEqual(swaps, [])
  assert.equal(await value('tls_probe_failure_total'), 2)
  assert.equal(await value('tls_certificate_rejected'), 1)
  assert.match(pki.problems[0]?.message ?? '', /throw-away server/u)
  pair(second)
  await memory.until('cert_swapped')
  await pki.reload()
  assert.deepEqual(pki.problems, [])
})

test('the CRL of a listener that waits for its certificate is taken meanwhile', async (t) => {
  const { path, put, pair } = await directory(t)
  put('ca.crt', deviceCa.certificatePem)
  put('crl.pem', makeCrl(deviceCa))
  const memory = new RememberingLog()
  const tls = { certfile: path('server.crt'), keyfile: path('server.key'), cafile: path('ca.crt') }
  const pki = await createPki({
    listeners: [{ name: '8883', tls: { ...tls, crlfile: path('crl.pem') } }],
    revocation: { ...revocation, withoutCrl: 'refuse' },
    rotation: QUICK,
    clock: systemClock,
    log: memory.log,
    metrics: createMetrics(),
    settleMs: 5,
  })
  t.after(() => pki.close())
  assert.equal(memory.last('crl.rejected'), undefined)
  const arrived = new Promise<boolean>((resolve) => {
    pki.on({ arrival: (name) => resolve(pki.isReady(name)) })
  })
  pair(first)
  assert.equal(await arrived, true)
})

test('a folder of CAs is followed: one that comes is trusted, one that goes is not', async (t) => {
  const { path, put, pair, start } = await directory(t)
  pair(first)
  mkdirSync(path('cas'))
  const { pki, memory, swaps, value } = await start({}, { cafile: undefined, capath: path('cas') })
  assert.match(pki.waitingFor('8883') ?? '', /a CA in .*cas does not exist yet$/u)
  put('cas/device.crt', deviceCa.certificatePem)
  await memory.until('cert_swapped')
  const names = (): (string | undefined)[] | undefined =>
    pki.credentials('8883').trust?.authorities.map(({ name }) => name)
  assert.deepEqual(names(), ['Device CA'])
  put('cas/other.crt', otherCa.certificatePem)
  const swapped = (n: number) => nextSwap(pki, swaps, n)
  await swapped(2)
  assert.deepEqual(names(), ['Device CA', 'Other Device CA'])
  put('cas/other.crt', otherCa.certificatePem.slice(0, 200))
  const { problem } = await memory.until('certificate.rejected')
  assert.match(String(problem), /cas\/other\.crt: expected complete PEM certificates/u)
  assert.deepEqual(names(), ['Device CA', 'Other Device CA'])
  assert.equal(await value('tls_certificate_rejected'), 1)
  rmSync(path('cas/other.crt'))
  rmSync(path('cas/device.crt'))
  put('cas/other.crt', otherCa.certificatePem)
  await swapped(3)
  assert.deepEqual(names(), ['Other Device CA'])
  assert.equal(await value('tls_certificate_rejected'), 0)
})

async function nextSwap(
  pki: Awaited<ReturnType<typeof createPki>>,
  swaps: readonly string[],
  count: number,
): Promise<void> {
  await new Promise<void>((resolve) => {
    const stop = pki.on({ credentials: () => swaps.length >= count && settle() })
    const settle = (): void => {
      // The CAs are in force a line later.
      setImmediate(resolve)
      stop()
    }
    if (swaps.length >= count) settle()
  })
}

test('DH parameters that are none stop the start, and later keep the old in use', async (t) => {
  const { path, put, pair, start } = await directory(t)
  pair(first)
  put('ca.crt', deviceCa.certificatePem)
  put('dh.pem', 'none')
  const more = { dhparamfile: path('dh.pem') }
  await assert.rejects(start({}, more), (err) => {
    assert.ok(err instanceof CertificateRejected)
    assert.equal(err.code, 'dh_parameters_invalid')
    return true
  })
  const good = dhParameters('modp14')
  put('dh.pem', good)
  const { pki, memory, swaps } = await start({}, more)
  assert.equal(pki.credentials('8883').dhparam, good)
  put('dh.pem', good.slice(0, 200))
  await memory.until('certificate.rejected', { code: 'dh_parameters_invalid' })
  assert.deepEqual(swaps, [])
  put('dh.pem', dhParameters('modp15'))
  await memory.until('cert_swapped')
  assert.equal(pki.credentials('8883').dhparam, dhParameters('modp15'))
})
