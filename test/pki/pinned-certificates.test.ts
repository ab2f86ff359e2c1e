/** Pinned certificates: the directory, what it says of each certificate, and who is let in by it. */
import assert from 'node:assert/strict'
import { createPublicKey, X509Certificate } from 'node:crypto'
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { type Clock, systemClock } from '../../core/clock.ts'
import { createMetrics } from '../../core/metrics.ts'
import { createClientCertificates } from '../../pki/admission.ts'
import { CrlStore } from '../../pki/crl-store.ts'
import { PinnedCertificates } from '../../pki/pinned-certificates.ts'
import { TrustSet } from '../../pki/trust.ts'
import { EKU, issue, KU, makeCa, makeCrl, type TestCertificate } from '../helpers/certificates.ts'
import { RememberingLog } from '../helpers/log.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const DAY = 86_400_000
const T0 = Date.parse('2026-03-01T00:00:00Z')
const dates = { notBefore: T0 - DAY, notAfter: T0 + 100 * DAY }
const deviceCa = makeCa('Device CA', { notBefore: T0 - DAY, notAfter: T0 + 1000 * DAY })
const stranger = makeCa('Stranger CA', { notBefore: T0 - DAY, notAfter: T0 + 1000 * DAY })

/** As `openssl req -x509` makes it: self-signed, and a CA by its own account. */
const selfSigned = (name: string, options: Parameters<typeof makeCa>[1] = {}): TestCertificate =>
  makeCa(name, { ...dates, keyUsage: null, ...options })

const VERDICT = 'DEPTH_ZERO_SELF_SIGNED_CERT'
type Files = Readonly<Record<string, TestCertificate | string>>

async function pinning(t: TestContext, files: Files = {}, crls: readonly string[] = []) {
  const directory = join(await scratchDirectory(t), 'pins')
  mkdirSync(directory)
  const put = (path: string, content: TestCertificate | string): void => {
    const file = join(directory, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(
      `${directory}.tmp`,
      typeof content === 'string' ? content : content.certificatePem,
    )
    renameSync(`${directory}.tmp`, file)
  }
  for (const [path, content] of Object.entries(files)) put(path, content)
  let now = T0
  const clock: Clock = { ...systemClock, now: () => now }
  const memory = new RememberingLog()
  const metrics = createMetrics()
  const options = { directory, clock, log: memory.log, metrics, settleMs: 1 }
  const pins = await PinnedCertificates.open(options)
  t.after(() => pins.close())
  const trust = new TrustSet({ ca: deviceCa.certificatePem, origin: 'ca.crt' })
  const store = new CrlStore({ clock, authorities: trust.encodings })
  for (const crl of crls) await store.offer(Buffer.from(crl))
  const policy = { whenStale: 'refuse', withoutCrl: crls.length > 0 ? 'refuse' : 'accept' } as const
  const admission = createClientCertificates({ trust, store, policy, clock, pins })
  const admit = ({ der }: TestCertificate, verification: string | null = VERDICT) =>
    admission.admit(new X509Certificate(der), verification ?? undefined)
  const word = (certificate: TestCertificate): string => {
    const result = admit(certificate)
    return result.admitted ? result.certificate.commonName : result.reason
  }
  const codes = () => pins.problems.map(({ code }) => code)
  const moveTo = (ms: number): void => {
    now = ms
  }
  return { directory, put, pins, admission, admit, word, codes, memory, metrics, moveTo }
}

const pinned = selfSigned('whoever')
const weak = selfSigned('weak', { key: 'rsa1024' })
const expired = selfSigned('old', { notAfter: T0 - 1000 })
const early = selfSigned('early', { notBefore: T0 + 1000 })
const forServers = selfSigned('server', { eku: [EKU.serverAuth] })
const forSigning = selfSigned('signer', { keyUsage: KU.keyCertSign })
const sameKey = issue(stranger, 'whoever', {
  ...dates,
  key: createPublicKey(pinned.privateKeyPem),
})
const revoked = issue(deviceCa, 'acme/pump-1', dates)
const elsewhere = selfSigned('acme/pump-7')

const REFUSED: readonly (readonly [string, TestCertificate, Files, string])[] = [
  ['no pin', pinned, {}, 'unknown_ca'],
  ['a pin of another certificate', elsewhere, { 'acme/pump-7.crt': pinned }, 'unknown_ca'],
  ['the key of a pinned one', sameKey, { 'acme/pump-7.crt': pinned }, 'unknown_ca'],
  ['a key that is too weak', weak, { 'acme/pump-7.crt': weak }, 'weak_key'],
  ['a notAfter in the past', expired, { 'acme/pump-7.crt': expired }, 'expired'],
  ['a notBefore in the future', early, { 'acme/pump-7.crt': early }, 'not_yet_valid'],
  ['another use', forServers, { 'acme/pump-7.crt': forServers }, 'wrong_usage'],
  ['no digitalSignature', forSigning, { 'acme/pump-7.crt': forSigning }, 'wrong_usage'],
  [
    'a pin for each of two devices',
    pinned,
    { 'acme/pump-7.crt': pinned, 'other/pump-7.crt': pinned },
    'not_pinned',
  ],
  [
    'a pin with another beside it',
    pinned,
    { 'acme/pump-7.crt': pinned.certificatePem + weak.certificatePem },
    'unknown_ca',
  ],
  [
    'a pin cut short',
    pinned,
    { 'acme/pump-7.crt': pinned.certificatePem.slice(0, -40) },
    'unknown_ca',
  ],
  ['an empty pin', pinned, { 'acme/pump-7.crt': '' }, 'unknown_ca'],
  ['a pin by a name with a wildcard', pinned, { 'acme/pump+7.crt': pinned }, 'unknown_ca'],
  ['a pin of a tenant with a wildcard', pinned, { '#/pump-7.crt': pinned }, 'unknown_ca'],
  ['a pin without a device', pinned, { 'acme/.crt': pinned }, 'unknown_ca'],
  ['a pin without a tenant', pinned, { 'pump-7.crt': pinned }, 'unknown_ca'],
  ['a hidden pin', pinned, { 'acme/.pump-7.crt': pinned }, 'unknown_ca'],
  ['a pin by another ending', pinned, { 'acme/pump-7.pem': pinned }, 'unknown_ca'],
  ['a pin too deep', pinned, { 'acme/pump-7/old/1.crt': pinned }, 'unknown_ca'],
]

for (const [what, presented, files, reason] of REFUSED) {
  test(`refused: a self-signed certificate with ${what}`, async (t) => {
    const { word } = await pinning(t, files)
    assert.equal(word(presented), reason)
  })
}

test('a pin does not bring back what a CA of ours has revoked', async (t) => {
  const good = issue(deviceCa, 'acme/pump-2', dates)
  const crl = makeCrl(deviceCa, [revoked.serialNumber], {
    thisUpdate: T0 - DAY,
    nextUpdate: T0 + DAY,
  })
  const files = { 'acme/pump-1.crt': revoked, 'acme/pump-9.crt': good }
  const { word, moveTo } = await pinning(t, files, [crl])
  assert.equal(word(revoked), 'revoked')
  assert.equal(word(good), 'acme/pump-9', 'of two names the pin counts')
  moveTo(T0 + 2 * DAY)
  assert.equal(word(good), 'crl_stale')
})

const LET_IN: readonly (readonly [string, TestCertificate, Files, string])[] = [
  ['self-signed', pinned, { 'acme/pump-7.crt': pinned }, 'acme/pump-7'],
  ['of another name', elsewhere, { 'beta/x.y.crt': elsewhere }, 'beta/x.y'],
  ['of a CA nobody knows', sameKey, { 'acme/pump-7.crt': sameKey }, 'acme/pump-7'],
  [
    'one of several of the device',
    pinned,
    { 'acme/pump-7.crt': elsewhere, 'acme/pump-7/1.crt': sameKey, 'acme/pump-7/2.crt': pinned },
    'acme/pump-7',
  ],
  [
    'twice for one device',
    pinned,
    { 'acme/pump-7.crt': pinned, 'acme/pump-7/again.crt': pinned },
    'acme/pump-7',
  ],
  [
    'beside files that count for nothing',
    pinned,
    { 'acme/pump-7.crt': pinned, 'acme/pump-8.crt': 'garbage', README: 'x' },
    'acme/pump-7',
  ],
]

for (const [what, presented, files, commonName] of LET_IN) {
  test(`let in by its pin, as ${commonName}: ${what}`, async (t) => {
    const { admit, admission } = await pinning(t, files)
    // Whatever OpenSSL says.
    for (const verification of [VERDICT, 'CERT_HAS_EXPIRED', null]) {
      const result = admit(presented, verification)
      assert.ok(result.admitted)
      assert.equal(result.certificate.commonName, commonName)
      assert.deepEqual(admission.stillGood(result.certificate), { good: true })
    }
  })
}

const PROBLEMS: readonly (readonly [string, Files, string, string])[] = [
  ['not PEM', { 'acme/a.crt': 'garbage' }, 'pin_malformed', 'found 0'],
  [
    'two certificates',
    { 'acme/a.crt': pinned.certificatePem.repeat(2) },
    'pin_malformed',
    'found 2',
  ],
  ['a key', { 'acme/a.crt': pinned.privateKeyPem }, 'pin_malformed', 'expected complete PEM'],
  ['too large', { 'acme/a.crt': 'x'.repeat(70_000) }, 'pin_malformed', 'has 70000 bytes'],
  ['not named as a device', { 'acme/a+.crt': pinned }, 'pin_name_invalid', '"a+" cannot be'],
  ['not in a tenant', { 'a.crt': pinned }, 'pin_name_invalid', 'the directory of a tenant'],
  ['of another ending', { 'acme/a.pem': pinned }, 'pin_name_invalid', 'ends in .crt'],
  [
    'of two devices',
    { 'acme/a.crt': pinned, 'acme/b.crt': pinned },
    'pin_ambiguous',
    'pinned for acme/a and acme/b, expected one device',
  ],
]

for (const [what, files, code, text] of PROBLEMS) {
  test(`a pin that does not count is named: ${what}`, async (t) => {
    const { pins, codes, memory, metrics } = await pinning(t, { ...files, 'ok/ok.crt': elsewhere })
    assert.deepEqual(codes(), [code])
    assert.ok(pins.problems[0]?.message.includes(text), pins.problems[0]?.message)
    assert.equal((await metrics.pinProblems.get()).values[0]?.value, 1)
    assert.equal((await metrics.pins.get()).values[0]?.value, 1)
    await pins.reload()
    const lines = memory.lines.filter(({ event }) => event === 'pin.rejected')
    assert.deepEqual(
      lines.map((line) => line['code']),
      [code],
      'logged once',
    )
  })
}

test('a pin that is laid down lets in, and one taken away is out: news of both', async (t) => {
  const { directory, put, pins, word, admit, admission } = await pinning(t)
  let news = 0
  pins.onNews(() => news++)
  put('acme/pump-7.crt', pinned)
  await pins.reload()
  const result = admit(pinned)
  assert.ok(result.admitted)
  await pins.reload()
  assert.equal(news, 1, 'the same again is no news')
  rmSync(join(directory, 'acme/pump-7.crt'))
  await pins.reload()
  assert.equal(news, 2)
  assert.equal(word(pinned), 'unknown_ca')
  assert.deepEqual(admission.stillGood(result.certificate), { good: false, reason: 'not_pinned' })
})

/** What becomes of a certificate let in as acme/pump-7. */
const CHANGES: readonly (readonly [
  string,
  (at: Awaited<ReturnType<typeof pinning>>) => void,
  string,
])[] = [
  [
    'its pin is another certificate now',
    ({ put }) => put('acme/pump-7.crt', elsewhere),
    'not_pinned',
  ],
  ['its pin is garbage now', ({ put }) => put('acme/pump-7.crt', 'garbage'), 'not_pinned'],
  ['it is pinned for two', ({ put }) => put('acme/pump-8.crt', pinned), 'not_pinned'],
  [
    'it is pinned for another',
    ({ directory }) =>
      renameSync(join(directory, 'acme/pump-7.crt'), join(directory, 'acme/pump-8.crt')),
    'not_pinned',
  ],
  [
    'the directory is gone',
    ({ directory }) => rmSync(directory, { recursive: true }),
    'not_pinned',
  ],
  ['its notAfter has passed', ({ moveTo }) => moveTo(dates.notAfter + 1000), 'expired'],
]

for (const [what, change, reason] of CHANGES) {
  test(`a connection ends when ${what}`, async (t) => {
    const at = await pinning(t, { 'acme/pump-7.crt': pinned })
    const result = at.admit(pinned)
    assert.ok(result.admitted)
    change(at)
    await at.pins.reload()
    assert.deepEqual(at.admission.stillGood(result.certificate), { good: false, reason })
  })
}

test('who came in by its CN is out once its certificate is pinned for another', async (t) => {
  const device = issue(deviceCa, 'acme/pump-3', dates)
  const { admit, admission, put, pins, word } = await pinning(t)
  const result = admit(device, null)
  assert.ok(result.admitted)
  put('acme/pump-4.crt', device)
  await pins.reload()
  assert.deepEqual(admission.stillGood(result.certificate), { good: false, reason: 'not_pinned' })
  assert.equal(word(device), 'acme/pump-4')
})

test('a pin may be a symbolic link, and is followed when the link is', async (t) => {
  const { directory, put, pins, word } = await pinning(t, { 'acme/.store/1': pinned })
  put('acme/.store/2', elsewhere)
  const link = join(directory, 'acme/pump-7.crt')
  symlinkSync('.store/1', link)
  await pins.reload()
  assert.deepEqual([word(pinned), word(elsewhere)], ['acme/pump-7', 'unknown_ca'])
  rmSync(link)
  symlinkSync('.store/2', link)
  await pins.reload()
  assert.deepEqual([word(pinned), word(elsewhere)], ['unknown_ca', 'acme/pump-7'])
})

test('a missing directory pins nobody, and is followed', async (t) => {
  const { directory, put, pins, codes, word } = await pinning(t)
  rmSync(directory, { recursive: true })
  await pins.reload()
  assert.deepEqual(codes(), ['pin_unreadable'])
  put('acme/pump-7.crt', pinned)
  await pins.reload()
  assert.deepEqual(codes(), [])
  assert.equal(word(pinned), 'acme/pump-7')
})

test('the directory is looked at without being asked', async (t) => {
  const { put, pins, word } = await pinning(t)
  const alive = setInterval(() => undefined, 60_000)
  t.after(() => clearInterval(alive))
  const news = new Promise<void>((resolve) => {
    pins.onNews(resolve)
  })
  pins.follow()
  put('acme/pump-7.crt', pinned)
  await news
  assert.equal(word(pinned), 'acme/pump-7')
})

test('another directory by mistake is told of in a few lines, whatever it holds', async (t) => {
  const files = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`acme/${n}.txt`, 'x']))
  const { pins, memory } = await pinning(t, files)
  assert.equal(pins.problems.length, 300)
  const told = () => memory.lines.filter(({ event }) => event === 'pin.rejected').length
  assert.equal(told(), 20)
  assert.equal(memory.last('pins.withheld')?.['withheld'], 280)
  await pins.reload()
  assert.equal(told(), 20)
})
