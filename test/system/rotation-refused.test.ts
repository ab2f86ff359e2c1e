/** Files that cannot be served with: the old stay in use, and log, gauge and /ready say so, until mended. */
import assert from 'node:assert/strict'
import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { issueServer, makeCa } from '../helpers/certificates.ts'
import { startMidge } from '../helpers/midge-process.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

/** Root drops its privileges for the process, as a deployment would. */
const NOBODY = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : undefined

const ca = makeCa('Server CA')
const good = issueServer(ca)
const other = issueServer(ca)
const rsa = issueServer(ca, ['localhost'], { key: 'rsa2048' })

const BROKEN: readonly (readonly [
  what: string,
  file: 'server.crt' | 'server.key' | 'device-ca.crt',
  text: string,
  problem: RegExp,
])[] = [
  ['a key that does not match', 'server.key', other.privateKeyPem, /does not belong to/u],
  ['an RSA key for an EC certificate', 'server.key', rsa.privateKeyPem, /rsa key, ec certificate/u],
  ['half of a pair', 'server.crt', other.certificatePem, /does not belong to/u],
  ['a certificate cut short', 'server.crt', good.certificatePem.slice(0, 300), /has no END/u],
  ['an empty key', 'server.key', '', /expected a PEM private key/u],
  ['an empty CA bundle', 'device-ca.crt', '', /expected at least one CA/u],
]

test('broken files never come into force', { timeout: 60_000 }, async (t) => {
  const scratch = await scratchDirectory(t)
  const [certificates, data] = [join(scratch, 'certs'), join(scratch, 'data')]
  for (const folder of [certificates, data]) {
    mkdirSync(folder)
    if (NOBODY !== undefined) chownSync(folder, NOBODY.uid, NOBODY.gid)
  }
  writeFileSync(join(certificates, 'server.crt'), good.certificatePem)
  writeFileSync(join(certificates, 'server.key'), good.privateKeyPem)
  const midge = await startMidge(t, {
    args: ['--data', data],
    env: {
      MIDGE_INGEST: 'off',
      MIDGE_LOG_LEVEL: 'info',
      CERT_DIR: certificates,
      CHECK_INTERVAL: '50ms',
      STABILITY_WINDOW: '20ms',
    },
    user: NOBODY,
  })
  const get = async (path: string): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${midge.ports.http}${path}`)
    return `${answer.status} ${await answer.text()}`
  }
  const gauge = async (): Promise<string | undefined> =>
    /^tls_certificate_rejected\{listener="mqtts"\} (\d)$/mu.exec(await get('/metrics'))?.[1]
  const served = async (): Promise<string> => {
    const socket = connect({
      host: '127.0.0.1',
      port: midge.ports.mqtts,
      rejectUnauthorized: false,
    })
    socket.on('error', () => undefined)
    await once(socket, 'secureConnect')
    const { fingerprint256 } = socket.getPeerCertificate()
    socket.destroy()
    return fingerprint256.replaceAll(':', '').toLowerCase()
  }
  const events = (event: string): string[] =>
    midge
      .output()
      .split('\n')
      .filter((line) => line.includes(`"event":"${event}"`))
  const nth = async (event: string, n: number): Promise<string> => {
    const { stderr } = midge.child
    assert.ok(stderr)
    while (events(event).length < n) await once(stderr, 'data')
    return events(event)[n - 1] ?? ''
  }

  for (const [n, [what, name, text, problem]] of BROKEN.entries()) {
    const file = join(name === 'device-ca.crt' ? join(data, 'certs') : certificates, name)
    const before = readFileSync(file, 'utf8')
    writeFileSync(file, text)
    const line = await nth('certificate.rejected', n + 1)
    assert.match(line, problem, what)
    assert.match(line, /"level":"error".*the ones in use stay/u, what)
    assert.equal(await served(), good.fingerprint, what)
    assert.equal(await get('/ready'), '503 {"status":"not_ready","reason":"tls"}', what)
    assert.equal(await gauge(), '1', what)
    writeFileSync(file, before)
    await nth('cert_restored', n + 1)
    assert.match(await get('/ready'), /^200/u, what)
    assert.equal(await gauge(), '0', what)
  }
  assert.equal(events('certificate.rejected').length, BROKEN.length)
  assert.match(await get('/metrics'), /^cert_swaps_total\{listener="mqtts"\} 0$/mu)
  assert.equal((await midge.end()).code, 0)
})
