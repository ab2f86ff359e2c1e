import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { serialNumber } from '../../core/names.ts'
import { issueCa, issueLeaf } from '../../pki/certificate-profile.ts'
import { readCertificate } from '../../pki/certificate.ts'
import { AuthorityError } from '../../pki/errors.ts'
import { commonNameOf } from '../../pki/name.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const hasOpenssl = spawnSync('openssl', ['version']).status === 0
const needsOpenssl = { skip: !hasOpenssl && 'no openssl command on this machine' }
const NOW = Date.parse('2026-03-01T00:00:00Z')
const END = Date.parse('2055-03-01T00:00:00Z')

function ec(namedCurve: string) {
  return generateKeyPairSync('ec', { namedCurve })
}

const KEYS = {
  'P-256': ec('P-256'),
  'P-384': ec('P-384'),
  'P-521': ec('P-521'),
  'RSA 2048': generateKeyPairSync('rsa', { modulusLength: 2048 }),
  Ed25519: generateKeyPairSync('ed25519'),
}

function caOf(keys: { publicKey: KeyObject; privateKey: KeyObject }) {
  const certificatePem = issueCa(
    {
      commonName: 'CA, O=evil + "ü"',
      organization: 'Midge',
      serialNumber: serialNumber('80ff'),
      notBefore: NOW,
      notAfter: END,
    },
    keys,
  )
  return { certificatePem, key: keys.privateKey }
}

function leafOf(ca: ReturnType<typeof caOf>, commonName: string, server?: readonly string[]) {
  const { publicKey } = KEYS['P-256']
  const pem = issueLeaf(
    {
      commonName,
      organization: undefined,
      publicKey,
      serialNumber: serialNumber('01'),
      notBefore: NOW,
      notAfter: END,
    },
    server === undefined ? 'device' : { server },
    ca,
  )
  return new X509Certificate(pem)
}

const NAMES = [
  'acme/pump-7',
  'a,O=b/c+d=e',
  'a, CN=x/y',
  '#/\\"<>;',
  ' lead/trail ',
  'größe/日本/🚰',
  'under_score/at@',
]

for (const [name, keys] of Object.entries(KEYS)) {
  test(`certificates of a ${name} CA pass OpenSSL's strict check`, needsOpenssl, async (t) => {
    const directory = await scratchDirectory(t)
    const ca = caOf(keys)
    const paths = { ca: join(directory, 'ca.crt'), leaf: join(directory, 'leaf.crt') }
    writeFileSync(paths.ca, ca.certificatePem)
    for (const [leaf, purpose] of [
      [leafOf(ca, NAMES.at(1) ?? ''), 'sslclient'],
      [leafOf(ca, 'broker', ['broker.example', '::1', '192.0.2.7']), 'sslserver'],
    ] as const) {
      writeFileSync(paths.leaf, leaf.toString())
      const time = ['-attime', String(NOW / 1000 + 1)]
      const options = ['-x509_strict', '-purpose', purpose, ...time, '-CAfile', paths.ca]
      const verified = spawnSync('openssl', ['verify', ...options, paths.leaf], {
        encoding: 'utf8',
      })
      assert.equal(verified.status, 0, verified.stderr)
    }
  })
}

test('a name is one CN, whatever characters it holds', () => {
  const ca = caOf(KEYS['P-256'])
  for (const name of NAMES) {
    const { subject, issuer } = readCertificate(leafOf(ca, name).raw)
    assert.deepEqual(commonNameOf(subject), { found: true, text: name })
    assert.deepEqual(issuer, readCertificate(new X509Certificate(ca.certificatePem).raw).subject)
  }
})

const HOSTS: readonly (readonly [string, 'host' | 'address', string])[] = [
  ['broker.example', 'host', 'broker.example'],
  ['bröker.example', 'host', 'xn--brker-kua.example'],
  ['my_host', 'host', 'my_host'],
  ['192.0.2.7', 'address', '192.0.2.7'],
  ['::1', 'address', '::1'],
  ['2001:db8::42:0', 'address', '2001:db8::42:0'],
  ['1:2:3:4:5:6:7:8', 'address', '1:2:3:4:5:6:7:8'],
  ['fe80::1%eth0', 'address', 'fe80::1'],
  ['::ffff:192.0.2.7', 'address', '::ffff:c000:207'],
]

test('a server is known by each of its names and addresses', () => {
  const ca = caOf(KEYS['P-256'])
  for (const [given, kind, asked] of HOSTS) {
    const certificate = leafOf(ca, 'broker', [given])
    const found = kind === 'host' ? certificate.checkHost(asked) : certificate.checkIP(asked)
    assert.equal(found, asked, `${given}: ${certificate.subjectAltName}`)
  }
  assert.throws(
    () => leafOf(ca, 'broker', ['no host']),
    (err: unknown) => {
      assert.ok(err instanceof AuthorityError)
      assert.equal(err.message, 'expected the name or address of a host, found "no host"')
      return true
    },
  )
})

test('a CA with a key of another kind cannot sign', () => {
  assert.throws(() => caOf(ec('secp256k1')), /the CA's key: expected RSA, .* found ec secp256k1$/u)
})
