import assert from 'node:assert/strict'
import { createPublicKey, X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { createClientCertificates } from '../../pki/admission.ts'
import { REFUSALS, type RevocationPolicy } from '../../pki/chain.ts'
import { CrlStore } from '../../pki/crl-store.ts'
import { element, extension, sequence } from '../../pki/der-writer.ts'
import { Tag } from '../../pki/der.ts'
import { TrustSet } from '../../pki/trust.ts'
import {
  attribute,
  type CertificateOptions,
  type CrlOptions,
  EKU,
  issue,
  issueServer,
  KU,
  makeCa,
  makeCrl,
  nameOf,
  type TestCa,
  type TestCertificate,
} from '../helpers/certificates.ts'
import { FakeClock } from '../helpers/clock.ts'

const T0 = Date.parse('2026-03-01T00:00:00Z')
const DAY = 86_400_000
const dates = { notBefore: T0 - DAY, notAfter: T0 + 100 * DAY }
const caOf = (name: string, options: Parameters<typeof makeCa>[1] = {}) =>
  makeCa(name, { notBefore: T0 - 1000 * DAY, notAfter: T0 + 1000 * DAY, ...options })

const root = caOf('Root CA')
const deviceCa = caOf('Device CA')
const serverCa = caOf('Server CA')
const intermediate = caOf('Plant CA', { issuer: root })
const revokedIntermediate = caOf('Lost CA', { issuer: root })
const expiredCa = caOf('Old CA', { notAfter: T0 - 1 })
const smallCa = caOf('Small CA', { key: 'rsa1024' })
const shortRoot = caOf('Short Root', { pathLength: 0 })
const tooDeep = caOf('Too Deep CA', { issuer: shortRoot })
const serverOnlyCa = caOf('TLS CA', { eku: [EKU.serverAuth] })
const impostor = caOf('Device CA')
const stranger = caOf('Stranger CA')

const configured = [
  root,
  deviceCa,
  serverCa,
  intermediate,
  revokedIntermediate,
  expiredCa,
  smallCa,
  shortRoot,
  tooDeep,
  serverOnlyCa,
]
const STRICT: RevocationPolicy = { whenStale: 'refuse', withoutCrl: 'refuse' }
const pemOf = (cas: readonly TestCertificate[]) => cas.map((ca) => ca.certificatePem).join('')
const crlOf = (ca: TestCa, serials: readonly string[] = [], options: CrlOptions = {}) =>
  makeCrl(ca, serials, { thisUpdate: T0 - DAY, nextUpdate: T0 + DAY, ...options })

interface Setting {
  readonly policy?: RevocationPolicy
  readonly cas?: readonly TestCa[]
  readonly deviceCas?: readonly TestCa[]
  readonly crls?: readonly string[]
  readonly maxVerified?: number
}

async function admissionWith(setting: Setting = {}) {
  const { policy = STRICT, cas = configured, crls = [], deviceCas } = setting
  const clock = new FakeClock(T0)
  const deviceCaPem = deviceCas === undefined ? undefined : pemOf(deviceCas)
  const trust = new TrustSet({ ca: pemOf(cas), origin: 'ca.crt', deviceCa: deviceCaPem })
  const store = new CrlStore({ clock, authorities: trust.encodings })
  for (const crl of crls) assert.deepEqual((await store.offer(Buffer.from(crl))).refused, [])
  const { maxVerified = 100 } = setting
  const admission = createClientCertificates({ trust, store, policy, clock, maxVerified })
  return { admission, clock, store }
}

const x509 = ({ der }: TestCertificate) => new X509Certificate(der)
const device = (options: CertificateOptions = {}, ca: TestCa = deviceCa) =>
  issue(ca, 'acme/pump-7', { ...dates, ...options })
const withSubject = (...attributes: readonly Uint8Array[]) =>
  device({ subject: nameOf(...attributes) })
const cn = (value: string | Uint8Array, tag?: number) => attribute('2.5.4.3', value, tag)

/** Only to be looked at: its modulus is no product of primes. */
const rsaKey = (bits: number, e = 'AQAB') => {
  const modulus = Buffer.alloc(bits / 8, 0xa5)
  const key = { kty: 'RSA', n: modulus.toString('base64url'), e }
  return createPublicKey({ key, format: 'jwk' })
}

const revoked = device()
const revokedCrl = crlOf(deviceCa, [revoked.serialNumber])
const allCrls = [
  revokedCrl,
  ...[root, serverCa, intermediate, expiredCa, shortRoot, tooDeep, serverOnlyCa].map((ca) =>
    crlOf(ca),
  ),
  crlOf(root, [revokedIntermediate.serialNumber], { crlNumber: 2 }),
  crlOf(revokedIntermediate),
]
const huge = device({ extensions: [extension('1.2.3.4', false, Buffer.alloc(17_000))] })
const DER_OF_EKU = (id: number) =>
  extension('2.5.29.37', false, sequence(element(Tag.oid, Buffer.of(0x55, 0x1d, 0x25, id))))

const REFUSED: readonly (readonly [string, TestCertificate | undefined, string, string])[] = [
  ['no certificate', undefined, 'no_certificate', 'the client showed no certificate'],
  ['a certificate of 17 KB', huge, 'too_large', `${huge.der.length} bytes, expected at most 16384`],
  ['of a CA that is not configured', device({}, stranger), 'unknown_ca', 'issued by Stranger CA'],
  ['of a CA with the name of ours', device({}, impostor), 'unknown_ca', 'issued by Device CA'],
  [
    'self-signed',
    makeCa('acme/pump-7', { ...dates, isCa: false }),
    'unknown_ca',
    'issued by acme/pump-7',
  ],
  [
    'through an intermediate that is not configured',
    device({}, caOf('Branch CA', { issuer: root })),
    'unknown_ca',
    'issued by Branch CA',
  ],
  [
    'below a CA that may have none below it',
    device({}, tooDeep),
    'unknown_ca',
    'Short Root: 1 CAs below it, its pathLenConstraint is 0',
  ],
  [
    'RSA of 1024 bits',
    device({ key: 'rsa1024' }),
    'weak_key',
    'RSA key of 1024 bits, expected at least 2048',
  ],
  [
    'RSA of 5120 bits',
    device({ key: rsaKey(5120) }),
    'weak_key',
    'RSA key of 5120 bits, expected at most 4096',
  ],
  [
    'RSA with the exponent 3',
    device({ key: rsaKey(2048, 'Aw') }),
    'weak_key',
    'RSA exponent, expected 65537',
  ],
  [
    'a curve that is not one of NIST',
    device({ key: 'k256' }),
    'weak_key',
    'curve secp256k1, expected a NIST P curve',
  ],
  [
    'of a CA with RSA of 1024 bits',
    device({}, smallCa),
    'weak_key',
    'Small CA: RSA key of 1024 bits, expected at least 2048',
  ],
  ['a CA certificate', caOf('Sub CA', { issuer: deviceCa }), 'wrong_usage', 'a CA certificate'],
  ['the configured CA itself', deviceCa, 'wrong_usage', 'a CA certificate'],
  [
    'a certificate for servers',
    issueServer(deviceCa, ['broker'], dates),
    'wrong_usage',
    'extKeyUsage 1.3.6.1.5.5.7.3.1, expected clientAuth',
  ],
  [
    'a certificate for any use alone',
    device({ eku: null, extensions: [DER_OF_EKU(0)] }),
    'wrong_usage',
    'extKeyUsage 2.5.29.37.0, expected clientAuth',
  ],
  [
    'keyUsage without digitalSignature',
    device({ keyUsage: KU.keyEncipherment }),
    'wrong_usage',
    'keyUsage lacks digitalSignature',
  ],
  [
    'an unknown critical extension',
    device({ extensions: [extension('1.2.3.4', true, Buffer.of(5, 0))] }),
    'wrong_usage',
    'unknown critical extension 1.2.3.4',
  ],
  [
    'below a CA for servers',
    device({}, serverOnlyCa),
    'wrong_usage',
    'TLS CA: extKeyUsage 1.3.6.1.5.5.7.3.1, expected clientAuth',
  ],
  [
    'not yet valid',
    device({ notBefore: T0 + 1000 }),
    'not_yet_valid',
    'certificate: notBefore 2026-03-01T00:00:01.000Z',
  ],
  [
    'expired',
    device({ notAfter: T0 - 1000 }),
    'expired',
    'certificate: notAfter 2026-02-28T23:59:59.000Z',
  ],
  [
    'of an expired CA',
    device({}, expiredCa),
    'expired',
    'Old CA: notAfter 2026-02-28T23:59:59.000Z',
  ],
  [
    'revoked',
    revoked,
    'revoked',
    `certificate: serial ${revoked.serialNumber} is on the CRL of Device CA`,
  ],
  [
    'of a revoked intermediate',
    device({}, revokedIntermediate),
    'revoked',
    `Lost CA: serial ${revokedIntermediate.serialNumber} is on the CRL of Root CA`,
  ],
  ['no CN', withSubject(attribute('2.5.4.10', 'Acme')), 'bad_subject', 'no CN'],
  ['an empty subject', device({ subject: nameOf() }), 'bad_subject', 'no CN'],
  ['two CNs', device({ cns: ['acme/pump-7', 'acme/pump-8'] }), 'bad_subject', '2 CNs'],
  [
    'two CNs in one RDN',
    device({ subject: sequence(element(Tag.set, cn('a/b'), cn('c/d'))) }),
    'bad_subject',
    '2 CNs',
  ],
  ['an empty CN', withSubject(cn('')), 'bad_subject', 'CN is empty'],
  ['a CN of 1025 bytes', withSubject(cn('x'.repeat(1025))), 'bad_subject', 'CN has 1025 bytes'],
  [
    'a T61String',
    withSubject(cn('acme/pump-7', Tag.t61String)),
    'bad_subject',
    'CN has string type 0x14',
  ],
  [
    'a BMPString',
    withSubject(cn(Buffer.from('acme/pump-7', 'utf16le').swap16(), Tag.bmpString)),
    'bad_subject',
    'CN has string type 0x1e',
  ],
  ['a U+0000', withSubject(cn('acme/pump\0-7')), 'bad_subject', 'CN has control characters'],
  ['a newline', withSubject(cn('acme/pump\n7')), 'bad_subject', 'CN has control characters'],
  ['a C1 control', withSubject(cn('acme/pump\u0085')), 'bad_subject', 'CN has control characters'],
  ['U+FFFF', withSubject(cn('acme/pump\uffff')), 'bad_subject', 'CN has control characters'],
  [
    'a PrintableString beyond ASCII',
    withSubject(cn(Buffer.from([0x61, 0x2f, 0xe4]), Tag.printableString)),
    'bad_subject',
    'CN does not decode',
  ],
]

for (const [what, certificate, reason, detail] of REFUSED) {
  test(`refuses ${what}`, async () => {
    const { admission } = await admissionWith({ crls: allCrls })
    const peer = certificate && x509(certificate)
    const admitted = admission.admit(peer, undefined)
    assert.deepEqual(admitted, { admitted: false, reason, detail })
    assert.ok((REFUSALS as readonly string[]).includes(reason))
  })
}

const stale = crlOf(deviceCa, [revoked.serialNumber], { nextUpdate: T0 - 1000 })
const POLICIES: readonly (readonly [string, TestCertificate, Setting, string])[] = [
  ['no CRL of the issuer, refuse', device(), {}, 'crl_missing'],
  ['a stale CRL, refuse', device(), { crls: [stale] }, 'crl_stale'],
  [
    'revoked on a stale CRL, serve-stale',
    revoked,
    { crls: [stale], policy: { ...STRICT, whenStale: 'serve-stale' } },
    'revoked',
  ],
  [
    'revoked, where a missing CRL is accepted',
    revoked,
    { crls: [revokedCrl], policy: { whenStale: 'serve-stale', withoutCrl: 'accept' } },
    'revoked',
  ],
  [
    'an intermediate whose issuer has no CRL, strict',
    device({}, intermediate),
    { crls: [crlOf(intermediate)], policy: { ...STRICT, intermediatesWithoutCrl: 'refuse' } },
    'crl_missing',
  ],
  [
    'an intermediate under a stale CRL, refuse',
    device({}, intermediate),
    { crls: [crlOf(intermediate), crlOf(root, [], { nextUpdate: T0 - 1000 })] },
    'crl_stale',
  ],
  [
    'a CRL of another CA of that name',
    device(),
    { crls: [crlOf(impostor)], cas: [deviceCa, impostor] },
    'crl_missing',
  ],
  [
    'no CRL of the issuer, accept',
    device(),
    { policy: { ...STRICT, withoutCrl: 'accept' } },
    'admitted',
  ],
  [
    'a stale CRL, serve-stale',
    device(),
    { crls: [stale], policy: { ...STRICT, whenStale: 'serve-stale' } },
    'admitted',
  ],
  [
    "an intermediate without the root's CRL, as Mosquitto takes it",
    device({}, intermediate),
    { crls: [crlOf(intermediate)] },
    'admitted',
  ],
]

for (const [what, certificate, setting, expected] of POLICIES) {
  test(`${expected}: ${what}`, async () => {
    const { admission } = await admissionWith(setting)
    const result = admission.admit(x509(certificate), undefined)
    assert.equal(result.admitted ? 'admitted' : result.reason, expected)
  })
}

const ADMITTED: readonly (readonly [string, TestCertificate, string])[] = [
  ['a device of the device CA', device(), 'acme/pump-7'],
  ['made by hand, without extensions', device({ eku: null, keyUsage: null }), 'acme/pump-7'],
  [
    'RSA of 2048 bits with keyEncipherment too',
    device({ key: 'rsa2048', keyUsage: KU.digitalSignature | KU.keyEncipherment }),
    'acme/pump-7',
  ],
  ['P-384', device({ key: 'p384' }), 'acme/pump-7'],
  ['P-521', device({ key: 'p521' }), 'acme/pump-7'],
  ['Ed25519', device({ key: 'ed25519' }), 'acme/pump-7'],
  ['for clients and servers', device({ eku: [EKU.serverAuth, EKU.clientAuth] }), 'acme/pump-7'],
  ['below an intermediate', device({}, intermediate), 'acme/pump-7'],
  ['a PrintableString', withSubject(cn('acme/pump-7', Tag.printableString)), 'acme/pump-7'],
  ['an IA5String', withSubject(cn('acme/pump@7', Tag.ia5String)), 'acme/pump@7'],
  ['letters of any script, unchanged', withSubject(cn(' Ägypten/泵 ')), ' Ägypten/泵 '],
  ['the last moment of its validity', device({ notAfter: T0 }), 'acme/pump-7'],
  ['the first moment of its validity', device({ notBefore: T0 }), 'acme/pump-7'],
]

for (const [what, certificate, commonName] of ADMITTED) {
  test(`admits ${what}`, async () => {
    const { admission } = await admissionWith({ crls: allCrls })
    const result = admission.admit(x509(certificate), undefined)
    assert.ok(result.admitted, JSON.stringify(result))
    assert.equal(result.certificate.commonName, commonName)
    assert.equal(result.certificate.serialNumber, certificate.serialNumber)
    assert.equal(result.certificate.fingerprint, certificate.fingerprint)
    assert.match(result.certificate.issuerKey, /^[0-9a-f]{64}$/u)
    assert.equal(
      result.certificate.notAfter,
      x509(certificate).validTo && Date.parse(x509(certificate).validTo),
    )
    assert.deepEqual(admission.stillGood(result.certificate), { good: true })
  })
}

for (const [verification, reason] of [
  ['CERT_HAS_EXPIRED', 'expired'],
  ['CERT_NOT_YET_VALID', 'not_yet_valid'],
  ['CERT_REVOKED', 'revoked'],
  ['INVALID_PURPOSE', 'wrong_usage'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'unknown_ca'],
  ['UNSPECIFIED', 'unknown_ca'],
  ['', 'unknown_ca'],
] as const) {
  test(`whatever OpenSSL objects to is refused: ${JSON.stringify(verification)}`, async () => {
    const { admission } = await admissionWith({ crls: allCrls })
    const refusal = { admitted: false, reason, detail: `OpenSSL: ${verification}` }
    assert.deepEqual(admission.admit(x509(device()), verification), refusal)
  })
}

test('a certificate of the server CA is no device where the device CA is named', async () => {
  const policy: RevocationPolicy = { whenStale: 'serve-stale', withoutCrl: 'accept' }
  const { admission } = await admissionWith({
    cas: [serverCa, deviceCa],
    deviceCas: [deviceCa],
    policy,
  })
  const refusal = {
    admitted: false,
    reason: 'unknown_ca',
    detail: 'Server CA is not a CA for devices',
  }
  assert.deepEqual(admission.admit(x509(device({}, serverCa)), undefined), refusal)
  assert.equal(admission.admit(x509(device()), undefined).admitted, true)
  const unnamed = await admissionWith({ cas: [serverCa, deviceCa], policy })
  assert.equal(unnamed.admission.admit(x509(device({}, serverCa)), undefined).admitted, true)
})

test('an intermediate below the named device CA is one for devices', async () => {
  const policy: RevocationPolicy = { whenStale: 'serve-stale', withoutCrl: 'accept' }
  const { admission } = await admissionWith({
    cas: [root, intermediate, serverCa],
    deviceCas: [root],
    policy,
  })
  assert.equal(admission.admit(x509(device({}, intermediate)), undefined).admitted, true)
})

test('of a renewed CA with the same key, the certificate that is valid counts', async () => {
  const old = caOf('Renewed CA', { notAfter: T0 - DAY })
  const renewed = caOf('Renewed CA', { key: old.key })
  for (const cas of [
    [old, renewed],
    [renewed, old],
  ]) {
    const { admission } = await admissionWith({ cas, crls: [crlOf(renewed)] })
    assert.equal(admission.admit(x509(device({}, old)), undefined).admitted, true)
  }
})

test('what was admitted before is refused at once when it is revoked, expires, or its CA does', async () => {
  const { admission, clock, store } = await admissionWith({ crls: allCrls })
  const certificate = device({ notAfter: T0 + DAY / 2 })
  const peer = x509(certificate)
  const first = admission.admit(peer, undefined)
  assert.ok(first.admitted)
  clock.advance(DAY / 2)
  assert.deepEqual(admission.stillGood(first.certificate), { good: true })
  clock.advance(1000)
  assert.deepEqual(admission.stillGood(first.certificate), { good: false, reason: 'expired' })
  const again = admission.admit(peer, undefined)
  assert.equal(again.admitted ? 'admitted' : again.reason, 'expired')

  const other = device()
  const second = admission.admit(x509(other), undefined)
  assert.ok(second.admitted)
  await store.offer(Buffer.from(crlOf(deviceCa, [other.serialNumber], { crlNumber: 2 })))
  assert.deepEqual(admission.stillGood(second.certificate), { good: false, reason: 'revoked' })
  const refused = admission.admit(x509(other), undefined)
  assert.equal(refused.admitted ? 'admitted' : refused.reason, 'revoked')
})

test('when an intermediate is revoked, all its devices are out', async () => {
  const { admission, store } = await admissionWith({ crls: [crlOf(intermediate), crlOf(root)] })
  const result = admission.admit(x509(device({}, intermediate)), undefined)
  assert.ok(result.admitted)
  const crl = crlOf(root, [intermediate.serialNumber], { crlNumber: 2 })
  await store.offer(Buffer.from(crl))
  assert.deepEqual(admission.stillGood(result.certificate), { good: false, reason: 'revoked' })
})

test('when the CA is no longer configured, its devices are out', async () => {
  const { admission } = await admissionWith({ crls: allCrls })
  const peer = x509(device())
  const result = admission.admit(peer, undefined)
  assert.ok(result.admitted)
  admission.replaceTrust(new TrustSet({ ca: serverCa.certificatePem, origin: 'ca.crt' }))
  assert.deepEqual(admission.stillGood(result.certificate), { good: false, reason: 'unknown_ca' })
  const again = admission.admit(peer, undefined)
  assert.equal(again.admitted ? 'admitted' : again.reason, 'unknown_ca')
})

test('a signature is verified once per certificate, and again when it was forgotten', async () => {
  const { admission } = await admissionWith({ crls: allCrls, maxVerified: 2 })
  const peers = [device(), device(), device()].map(x509)
  let verified = 0
  for (const peer of peers) {
    const verify = peer.verify.bind(peer)
    peer.verify = (key) => {
      verified++
      return verify(key)
    }
  }
  const [a, b, c] = peers
  for (const peer of [a, b, a, b, a]) assert.ok(admission.admit(peer, undefined).admitted)
  assert.equal(verified, 2)
  for (const peer of [c, a, b]) assert.ok(admission.admit(peer, undefined).admitted)
  assert.equal(verified, 4)
})

test('bytes that OpenSSL reads and that are not DER are refused, not thrown', async () => {
  const { admission } = await admissionWith({ crls: allCrls })
  const peer = { raw: Buffer.from('3003020100', 'hex') } as X509Certificate
  assert.deepEqual(admission.admit(peer, undefined), {
    admitted: false,
    reason: 'bad_subject',
    detail: 'the certificate cannot be read: expected sequence at byte 2, found integer',
  })
})
