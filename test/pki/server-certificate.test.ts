import assert from 'node:assert/strict'
import { createPrivateKey } from 'node:crypto'
import { unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { CertificateRejected } from '../../pki/errors.ts'
import { filesOf, readServerCredentials } from '../../pki/server-certificate.ts'
import { issue, issueServer, makeCa } from '../helpers/certificates.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const NOW = Date.parse('2026-03-01T00:00:00Z')
const DAY = 86_400_000
const dates = { notBefore: NOW - DAY, notAfter: NOW + DAY }
const ca = makeCa('Server CA', dates)
const deviceCa = makeCa('Device CA', dates)
const server = issueServer(ca, ['broker.example'], dates)
const rsaServer = issueServer(ca, ['broker.example'], { ...dates, key: 'rsa2048' })
const leaf = issue(deviceCa, 'acme/pump-7', dates)
const encrypted = createPrivateKey(server.privateKeyPem)
  .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' })
  .toString()

type Files = Partial<
  Record<'server.crt' | 'server.key' | 'combined-ca.crt' | 'ca.crt' | 'device-ca.crt', string>
>

const GOOD: Files = {
  'server.crt': server.certificatePem,
  'server.key': server.privateKeyPem,
  'combined-ca.crt': ca.certificatePem + deviceCa.certificatePem,
}

async function inDirectory(t: TestContext, files: Files) {
  const directory = await scratchDirectory(t)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  const path = (name: string): string => join(directory, name)
  const tls = {
    certfile: path('server.crt'),
    keyfile: path('server.key'),
    cafile: path('combined-ca.crt'),
  }
  return { directory, tls, path }
}

/** The message without the directory. */
async function refusalOf(t: TestContext, files: Files, now = NOW): Promise<readonly string[]> {
  const { directory, tls } = await inDirectory(t, files)
  try {
    await readServerCredentials(tls, now)
  } catch (err) {
    if (err instanceof CertificateRejected)
      return [err.code, err.message.replaceAll(`${directory}/`, '')]
    throw err
  }
  throw new Error('was accepted')
}

const half = (pem: string): string => pem.slice(0, pem.length / 2)
const { 'server.key': _key, ...withoutKey } = GOOD

const REFUSED: readonly (readonly [string, Files, string, string | RegExp])[] = [
  [
    'no key file',
    withoutKey,
    'certificate_unreadable',
    /^server\.key: expected a readable file, found ENOENT/u,
  ],
  [
    'an empty certificate',
    { ...GOOD, 'server.crt': '' },
    'certificate_malformed',
    'server.crt: expected a PEM certificate, found none in 0 bytes',
  ],
  [
    'an empty key',
    { ...GOOD, 'server.key': '' },
    'certificate_malformed',
    /^server\.key: expected a PEM private key without passphrase, found /u,
  ],
  [
    'half a key',
    { ...GOOD, 'server.key': half(server.privateKeyPem) },
    'certificate_malformed',
    /^server\.key: expected a PEM private key without passphrase, found /u,
  ],
  [
    'a key with a passphrase',
    { ...GOOD, 'server.key': encrypted },
    'certificate_malformed',
    'server.key: expected a PEM private key without passphrase, found an encrypted one',
  ],
  [
    'half a certificate',
    { ...GOOD, 'server.crt': half(server.certificatePem) },
    'certificate_malformed',
    'server.crt: expected complete PEM certificates: block 1 (CERTIFICATE) has no END',
  ],
  [
    'half a chain',
    { ...GOOD, 'server.crt': server.certificatePem + half(ca.certificatePem) },
    'certificate_malformed',
    'server.crt: expected complete PEM certificates: block 2 (CERTIFICATE) has no END',
  ],
  [
    'the key of another EC certificate',
    { ...GOOD, 'server.key': leaf.privateKeyPem },
    'certificate_key_mismatch',
    'server.key does not belong to the first certificate of server.crt (ec key, ec certificate)',
  ],
  [
    'an RSA key with an EC certificate',
    { ...GOOD, 'server.key': rsaServer.privateKeyPem },
    'certificate_key_mismatch',
    'server.key does not belong to the first certificate of server.crt (rsa key, ec certificate)',
  ],
  [
    'a chain in the wrong order',
    { ...GOOD, 'server.crt': ca.certificatePem + server.certificatePem },
    'certificate_key_mismatch',
    'server.key does not belong to the first certificate of server.crt (ec key, ec certificate)',
  ],
  [
    'the key in place of the certificate',
    { ...GOOD, 'server.crt': server.privateKeyPem },
    'certificate_malformed',
    /^server\.crt: expected complete PEM certificates: block 1 is "PRIVATE KEY"/u,
  ],
  [
    'a CA file that is empty',
    { ...GOOD, 'combined-ca.crt': '' },
    'certificate_ca_missing',
    'combined-ca.crt: expected at least one CA certificate, found 0 others',
  ],
  [
    'a CA file cut short',
    { ...GOOD, 'combined-ca.crt': ca.certificatePem + half(deviceCa.certificatePem) },
    'certificate_malformed',
    'combined-ca.crt: expected complete PEM certificates: block 2 (CERTIFICATE) has no END',
  ],
  [
    'a CA file cut in a marker',
    { ...GOOD, 'combined-ca.crt': `${ca.certificatePem}-----BEGIN CERT` },
    'certificate_malformed',
    'combined-ca.crt: expected complete PEM certificates: block 2: BEGIN is cut short',
  ],
  [
    'a CA file without a CA',
    { ...GOOD, 'combined-ca.crt': leaf.certificatePem },
    'certificate_ca_missing',
    'combined-ca.crt: expected at least one CA certificate, found 1 others',
  ],
  [
    'a device CA that the bundle lacks',
    {
      ...GOOD,
      'combined-ca.crt': ca.certificatePem,
      'ca.crt': ca.certificatePem,
      'device-ca.crt': deviceCa.certificatePem,
    },
    'certificate_ca_missing',
    'combined-ca.crt: expected it to hold the device CA too',
  ],
]

for (const [what, files, code, message] of REFUSED) {
  test(`refuses ${what}`, async (t) => {
    const [foundCode, found = ''] = await refusalOf(t, files)
    assert.equal(foundCode, code)
    if (typeof message === 'string') assert.equal(found, message)
    else assert.match(found, message)
  })
}

test('refuses a certificate past its time, and one before it', async (t) => {
  assert.deepEqual(await refusalOf(t, GOOD, NOW + DAY + 1000), [
    'certificate_expired',
    'server.crt expired at 2026-03-02T00:00:00.000Z, the clock says 2026-03-02T00:00:01.000Z',
  ])
  assert.deepEqual(await refusalOf(t, GOOD, NOW - DAY - 1000), [
    'certificate_not_yet_valid',
    'server.crt is valid from 2026-02-28T00:00:00.000Z, the clock says 2026-02-27T23:59:59.000Z',
  ])
})

test('no beginning of a CA bundle is taken with fewer CAs', async (t) => {
  const { tls, path } = await inDirectory(t, GOOD)
  const bundle = GOOD['combined-ca.crt'] ?? ''
  const whole = new Set([ca.certificatePem.length - 1, ca.certificatePem.length, bundle.length - 1])
  for (let length = 0; length < bundle.length; length += length < 700 ? 7 : 1) {
    if (whole.has(length)) continue
    writeFileSync(path('combined-ca.crt'), bundle.slice(0, length))
    await assert.rejects(readServerCredentials(tls, NOW), CertificateRejected, `${length} bytes`)
  }
})

test('what belongs together is offered as one value', async (t) => {
  const { tls } = await inDirectory(t, GOOD)
  const credentials = await readServerCredentials(tls, NOW)
  assert.equal(credentials.cert, server.certificatePem)
  assert.equal(credentials.key, server.privateKeyPem)
  assert.equal(credentials.ca, GOOD['combined-ca.crt'])
  assert.equal(credentials.notAfter, NOW + DAY)
  assert.equal(credentials.fingerprint, server.fingerprint)
  assert.equal(credentials.subject, 'broker.example')
  assert.deepEqual(credentials.warnings, [])
  assert.deepEqual(
    credentials.trust?.authorities.map(({ name }) => name),
    ['Server CA', 'Device CA'],
  )
})

test('without a cafile no client certificate is asked for', async (t) => {
  const { tls } = await inDirectory(t, GOOD)
  const credentials = await readServerCredentials({ ...tls, cafile: undefined }, NOW)
  assert.deepEqual([credentials.ca, credentials.trust], [undefined, undefined])
})

test('an RSA key, PKCS #1 or #8, goes with its certificate', async (t) => {
  const pkcs1 = rsaServer.key.export({ type: 'pkcs1', format: 'pem' }).toString()
  for (const key of [rsaServer.privateKeyPem, pkcs1]) {
    const { tls } = await inDirectory(t, {
      ...GOOD,
      'server.crt': rsaServer.certificatePem,
      'server.key': key,
    })
    assert.equal((await readServerCredentials(tls, NOW)).key, key)
  }
})

test('text around the certificates does no harm, and what is no CA is reported', async (t) => {
  const bundle = `# ours\n${ca.certificatePem}\nDevices:\n${leaf.certificatePem}${deviceCa.certificatePem}# end\n`
  const { tls, path } = await inDirectory(t, {
    ...GOOD,
    'server.crt': server.certificatePem + deviceCa.certificatePem,
    'combined-ca.crt': bundle,
  })
  const { warnings } = await readServerCredentials(tls, NOW)
  assert.deepEqual(warnings, [
    `${path('server.crt')}: certificate 2 did not issue certificate 1`,
    `${path('combined-ca.crt')}: acme/pump-7 is not a CA and is not used`,
  ])
})

test('beside combined-ca.crt, ca.crt and device-ca.crt tell which CAs are for devices', async (t) => {
  const oldDeviceCa = makeCa('Old Device CA', dates)
  const bundle = ca.certificatePem + oldDeviceCa.certificatePem + deviceCa.certificatePem
  const parts = { 'ca.crt': ca.certificatePem, 'device-ca.crt': deviceCa.certificatePem }
  const { tls, path } = await inDirectory(t, { ...GOOD, 'combined-ca.crt': bundle, ...parts })
  const paths = async () => {
    const { trust } = await readServerCredentials(tls, NOW)
    assert.ok(trust)
    return trust.authorities.map(({ name, fields }) => [name, trust.pathsOf(fields.key).length])
  }
  const served = [
    ['Server CA', 0],
    ['Old Device CA', 1],
    ['Device CA', 1],
  ]
  assert.deepEqual(await paths(), served)
  const names = ['server.crt', 'server.key', 'combined-ca.crt', 'ca.crt', 'device-ca.crt']
  assert.deepEqual(filesOf(tls), names.map(path))
  writeFileSync(path('device-ca.crt'), deviceCa.certificatePem + ca.certificatePem)
  assert.deepEqual((await paths())[0], ['Server CA', 1], 'one CA for both')
  unlinkSync(path('device-ca.crt'))
  assert.deepEqual((await paths())[0], ['Server CA', 1], 'they cannot be told apart')
})

test('a named device CA file wins, whatever the bundle is called', async (t) => {
  const { tls, path } = await inDirectory(t, GOOD)
  writeFileSync(path('devices.crt'), deviceCa.certificatePem)
  writeFileSync(path('all.crt'), GOOD['combined-ca.crt'] ?? '')
  const named = { ...tls, cafile: path('all.crt'), deviceCafile: path('devices.crt') }
  const { trust } = await readServerCredentials(named, NOW)
  assert.ok(trust)
  assert.equal(trust.pathsOf(keyOf(trust, 'Server CA')).length, 0)
  const unnamed = await readServerCredentials({ ...tls, cafile: path('all.crt') }, NOW)
  assert.ok(unnamed.trust)
  assert.equal(unnamed.trust.pathsOf(keyOf(unnamed.trust, 'Server CA')).length, 1)
})

type Trust = NonNullable<Awaited<ReturnType<typeof readServerCredentials>>['trust']>

function keyOf(trust: Trust, name: string) {
  const found = trust.authorities.find((each) => each.name === name)
  if (found === undefined) throw new Error(`no CA ${name}`)
  return found.fields.key
}
