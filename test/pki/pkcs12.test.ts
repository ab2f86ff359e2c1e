import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createSecureContext } from 'node:tls'
import { writePkcs12 } from '../../pki/pkcs12.ts'
import { keyPem, unlockKey } from '../../pki/private-key.ts'
import { issue, makeCa } from '../helpers/certificates.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const hasOpenssl = spawnSync('openssl', ['version']).status === 0
const needsOpenssl = { skip: !hasOpenssl && 'no openssl command on this machine' }
const KEYS = {
  'P-256': generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'RSA 2048': generateKeyPairSync('rsa', { modulusLength: 2048 }),
  Ed25519: generateKeyPairSync('ed25519'),
}
const PASSPHRASES = ['correct horse', 'größer als ß', "it's; $(x) \\", 'x'.repeat(200)]

function fileOf(keys: (typeof KEYS)['P-256'], passphrase: string) {
  const ca = makeCa('Device CA')
  const leaf = issue(ca, 'acme/pump-7', { key: keys.publicKey })
  const content = {
    key: keys.privateKey,
    certificate: leaf.der,
    authorities: [{ name: 'device CA', certificate: new X509Certificate(ca.certificatePem).raw }],
    friendlyName: 'acme/pump-7 ü',
  }
  return { leaf, file: writePkcs12(content, { passphrase, rounds: 2048, random: randomBytes }) }
}

for (const [name, keys] of Object.entries(KEYS)) {
  test(
    `OpenSSL reads key and certificates of a PKCS #12 file (${name})`,
    needsOpenssl,
    async (t) => {
      const directory = await scratchDirectory(t)
      for (const [n, passphrase] of PASSPHRASES.entries()) {
        const { leaf, file } = fileOf(keys, passphrase)
        const paths = { p12: join(directory, `${n}.p12`), pass: join(directory, `${n}.pass`) }
        writeFileSync(paths.p12, file)
        writeFileSync(paths.pass, `${passphrase}\n`)
        const openssl = (...more: readonly string[]) =>
          spawnSync(
            'openssl',
            ['pkcs12', '-in', paths.p12, '-passin', `file:${paths.pass}`, ...more],
            {
              encoding: 'utf8',
            },
          )
        const whole = openssl('-nodes')
        assert.equal(whole.status, 0, whole.stderr)
        assert.equal(whole.stdout.match(/-----BEGIN CERTIFICATE-----/gu)?.length, 2)
        const key = await unlockKey(
          whole.stdout.slice(whole.stdout.indexOf('-----BEGIN PRIVATE')),
          '',
          undefined,
        )
        assert.equal(key.equals(keys.privateKey), true)
        const own = openssl('-clcerts', '-nokeys').stdout
        assert.equal(
          new X509Certificate(own.slice(own.indexOf('-----BEGIN'))).fingerprint256,
          new X509Certificate(leaf.der).fingerprint256,
        )
        const info = openssl('-info', '-noout')
        assert.match(info.stderr, /MAC: sha256, Iteration 2048/u)
        assert.match(info.stderr, /Shrouded Keybag: PBES2, PBKDF2, AES-256-CBC/u)
      }
    },
  )

  test(`Node takes a PKCS #12 file as pfx, and no wrong passphrase (${name})`, () => {
    for (const passphrase of PASSPHRASES) {
      const { file: pfx } = fileOf(keys, passphrase)
      assert.doesNotThrow(() => createSecureContext({ pfx, passphrase }))
      assert.throws(() => createSecureContext({ pfx, passphrase: `${passphrase} ` }), /mac verify/u)
      const damaged = Buffer.from(pfx)
      const at = damaged.length >> 1
      damaged[at] = (damaged[at] ?? 0) ^ 1
      assert.throws(() => createSecureContext({ pfx: damaged, passphrase }))
    }
  })
}

test('an encrypted key opens with its passphrase alone', async () => {
  const { privateKey } = KEYS['P-256']
  const pem = keyPem(privateKey, { passphrase: 'größer', rounds: 1000, random: randomBytes })
  assert.match(pem, /^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/u)
  assert.equal((await unlockKey(pem, 'f', async () => 'größer')).equals(privateKey), true)
  const missing =
    /^f is encrypted: expected its passphrase in --ca-passphrase-file, .* found none$/u
  for (const [source, message] of [
    [undefined, missing],
    [async () => undefined, missing],
    [async () => '', missing],
    [async () => 'grosser', /^f: expected the passphrase it was encrypted with, found another$/u],
  ] as const) {
    await assert.rejects(unlockKey(pem, 'f', source), (err: Error & { code?: string }) => {
      assert.equal(err.code, 'authority_passphrase_refused')
      assert.match(err.message, message)
      return true
    })
  }
})
