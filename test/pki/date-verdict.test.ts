/** A listener that ignores the dates of client certificates, and nothing else of them. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { createClientCertificates } from '../../pki/admission.ts'
import { CrlStore } from '../../pki/crl-store.ts'
import { element, extension, sequence } from '../../pki/der-writer.ts'
import { TrustSet } from '../../pki/trust.ts'
import {
  type CertificateOptions,
  EKU,
  issue,
  makeCa,
  makeCrl,
  type TestCa,
  type TestCertificate,
} from '../helpers/certificates.ts'
import { FakeClock } from '../helpers/clock.ts'

const T0 = Date.parse('2026-03-01T00:00:00Z')
const DAY = 86_400_000
const caOf = (name: string, options: Parameters<typeof makeCa>[1] = {}) =>
  makeCa(name, { notBefore: T0 - 100 * DAY, notAfter: T0 + 100 * DAY, ...options })

const permitted = sequence(element(0x82, Buffer.from('allowed.test')))
const nameConstraints = extension('2.5.29.30', true, sequence(element(0xa0, permitted)))

const ca = caOf('Device CA')
const root = caOf('Root CA')
const intermediate = caOf('Plant CA', { issuer: root })
const endedCa = caOf('Old CA', { notAfter: T0 - 1 })
const constrainedCa = caOf('Constrained CA', { extensions: [nameConstraints] })
const foreignCa = caOf('Foreign CA')
const configured = [ca, root, intermediate, endedCa, constrainedCa]

const PAST = { notBefore: T0 - 9 * DAY, notAfter: T0 - DAY }
const FUTURE = { notBefore: T0 + DAY, notAfter: T0 + 9 * DAY }
const device = (options: CertificateOptions = {}, of: TestCa = ca) =>
  issue(of, 'acme/pump-7', { ...PAST, ...options })
const revoked = device()

async function admission(ignoreDates: boolean) {
  const clock = new FakeClock(T0)
  const pem = configured.map(({ certificatePem }) => certificatePem).join('')
  const trust = new TrustSet({ ca: pem, origin: 'ca.crt' })
  const store = new CrlStore({ clock, authorities: trust.encodings })
  const crl = makeCrl(ca, [revoked.serialNumber], { thisUpdate: T0 - DAY, nextUpdate: T0 + DAY })
  assert.deepEqual((await store.offer(Buffer.from(crl))).refused, [])
  const policy = { whenStale: 'refuse', withoutCrl: 'accept' } as const
  return createClientCertificates({ trust, store, policy, clock, ignoreDates })
}

/** ecdsa-with-SHA256 to ecdsa-with-SHA1 in the outer AlgorithmIdentifier. */
function namedSha1(certificate: TestCertificate): X509Certificate {
  const sha256 = Buffer.from('06082a8648ce3d040302', 'hex')
  assert.ok(certificate.der.includes(sha256))
  const raw = Buffer.from(certificate.der)
  Buffer.from('06082a8648ce3d040301', 'hex').copy(raw, raw.lastIndexOf(sha256))
  const x509 = new X509Certificate(certificate.der)
  // OpenSSL would not verify it: what is tested is that nobody asks only OpenSSL.
  return Object.create(x509, {
    raw: { value: raw },
    publicKey: { value: x509.publicKey },
    verify: { value: () => true },
    checkIssued: { value: (issuer: X509Certificate) => x509.checkIssued(issuer) },
  }) as X509Certificate
}

const x509 = ({ der }: TestCertificate): X509Certificate => new X509Certificate(der)

const REFUSED: readonly (readonly [string, X509Certificate, string, string])[] = [
  ['revoked', x509(revoked), 'CERT_HAS_EXPIRED', 'revoked'],
  ['of a foreign CA', x509(device({}, foreignCa)), 'CERT_HAS_EXPIRED', 'unknown_ca'],
  ['for servers', x509(device({ eku: [EKU.serverAuth] })), 'CERT_HAS_EXPIRED', 'wrong_usage'],
  ['with a weak key', x509(device({ key: 'rsa1024' })), 'CERT_HAS_EXPIRED', 'weak_key'],
  [
    'of a CA that is itself past its time',
    x509(device({}, endedCa)),
    'CERT_HAS_EXPIRED',
    'expired',
  ],
  [
    'of a CA that may not issue every name',
    x509(device({}, constrainedCa)),
    'CERT_HAS_EXPIRED',
    'expired',
  ],
  ['signed over SHA-1', namedSha1(device()), 'CERT_HAS_EXPIRED', 'expired'],
  ['which OpenSSL refuses for more', x509(device()), 'CERT_SIGNATURE_FAILURE', 'unknown_ca'],
  ['which OpenSSL calls revoked', x509(device()), 'CERT_REVOKED', 'revoked'],
]

for (const [what, peer, verification, reason] of REFUSED) {
  test(`an expired certificate is still refused: ${what}`, async () => {
    const decision = (await admission(true)).admit(peer, verification)
    assert.equal(decision.admitted, false)
    assert.equal(!decision.admitted && decision.reason, reason)
  })
}

const ADMITTED: readonly (readonly [string, TestCertificate, string | undefined])[] = [
  ['expired', device(), 'CERT_HAS_EXPIRED'],
  ['not valid yet', device(FUTURE), 'CERT_NOT_YET_VALID'],
  ['expired, below an intermediate', device({}, intermediate), 'CERT_HAS_EXPIRED'],
  ['expired, in a session that is resumed', device(), undefined],
  ['in its time', device({ notAfter: T0 + DAY }), undefined],
  [
    'in its time, of a CA that may not issue every name',
    device({ notAfter: T0 + DAY }, constrainedCa),
    undefined,
  ],
]

for (const [what, certificate, verification] of ADMITTED) {
  test(`a certificate is let in, and stays good: ${what}`, async () => {
    const certificates = await admission(true)
    const decision = certificates.admit(x509(certificate), verification)
    assert.ok(decision.admitted)
    assert.deepEqual(certificates.stillGood(decision.certificate), { good: true })
  })
}

test('without the setting dates count', async () => {
  const certificates = await admission(false)
  for (const [certificate, reason] of [
    [device(), 'expired'],
    [device(FUTURE), 'not_yet_valid'],
  ] as const) {
    const decision = certificates.admit(x509(certificate), undefined)
    assert.equal(!decision.admitted && decision.reason, reason)
  }
})
