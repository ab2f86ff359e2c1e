import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { issue, makeCa } from '../helpers/certificates.ts'
import { pkiShell } from './shell.ts'

const DAY = 86_400_000
const hasOpenssl = spawnSync('openssl', ['version']).status === 0

async function enrolled(t: TestContext) {
  const shell = await pkiShell(t)
  await shell.run('init')
  assert.equal((await shell.run('issue', 'acme', 'pump-7', '--days', '90')).code, 0)
  const crt = join(shell.directory, 'devices', 'acme', 'pump-7.crt')
  const key = join(shell.directory, 'devices', 'acme', 'pump-7.key')
  const earlier = join(shell.directory, 'devices', 'acme', '.earlier', 'pump-7')
  const certificate = () => new X509Certificate(readFileSync(crt))
  const isPair = () => certificate().checkPrivateKey(createPrivateKey(readFileSync(key)))
  return { ...shell, crt, key, earlier, certificate, isPair }
}

test('a renewal has the same name, key and validity, and keeps the certificate before', async (t) => {
  const { run, crt, key, earlier, certificate, clock, directory } = await enrolled(t)
  const [before, keyBefore] = [certificate(), readFileSync(key, 'latin1')]
  clock.advance(80 * DAY)
  const renewed = await run('renew', 'acme/pump-7')
  assert.equal(renewed.code, 0, renewed.stderr)
  const serial = before.serialNumber.toLowerCase()
  assert.match(
    renewed.stdout,
    new RegExp(
      `^DIR: wrote device-crl\\.pem, crlNumber 2\nDIR/devices/acme/pump-7\\.crt\nCN acme/pump-7, serial [0-9a-f]{40}, valid until 2026-08-18T00:00:00\\.000Z\nthe one before \\(DIR/devices/acme/\\.earlier/pump-7/${serial}\\.crt\\) stays good until 2026-05-30T00:00:00\\.000Z, or until midge pki revoke ${serial}\n$`,
      'u',
    ),
  )
  assert.notEqual(certificate().serialNumber, before.serialNumber)
  assert.equal(certificate().subject, before.subject)
  assert.equal(certificate().publicKey.equals(before.publicKey), true)
  assert.equal(readFileSync(key, 'latin1'), keyBefore)
  assert.equal(readFileSync(join(earlier, `${serial}.crt`), 'latin1'), before.toString())
  assert.equal(statSync(join(earlier, `${serial}.key`)).mode & 0o777, 0o600)
  assert.match(
    (await run('show', join(earlier, `${serial}.crt`))).stdout,
    /accepted as acme\/pump-7/u,
  )
  if (!hasOpenssl) return
  const ca = join(directory, 'device-ca.crt')
  const strict = [
    'verify',
    '-x509_strict',
    '-purpose',
    'sslclient',
    '-no_check_time',
    '-CAfile',
    ca,
  ]
  assert.equal(spawnSync('openssl', [...strict, crt]).status, 0)
})

test('--new-key makes another key, and --revoke-old puts the one before on the CRL', async (t) => {
  const { run, certificate, isPair, earlier } = await enrolled(t)
  const before = certificate()
  const { code, stdout } = await run('renew', 'acme/pump-7', '--new-key', '--revoke-old')
  assert.equal(code, 0)
  const serial = before.serialNumber.toLowerCase()
  assert.ok(stdout.endsWith(`revoked ${serial} (superseded)\nDIR/device-crl.pem: crlNumber 2\n`))
  assert.equal(certificate().publicKey.equals(before.publicKey), false)
  assert.equal(isPair(), true)
  assert.equal(readdirSync(earlier).length, 4)
  assert.match((await run('show', join(earlier, `${serial}.crt`))).stdout, /refused: revoked/u)
})

test('a renewal that is not due does nothing', async (t) => {
  const { run, certificate, clock } = await enrolled(t)
  const before = certificate().serialNumber
  clock.advance(59 * DAY)
  assert.deepEqual(await run('renew', 'acme/pump-7', '--if-due'), {
    code: 0,
    stdout:
      'DIR: wrote device-crl.pem, crlNumber 2\nacme/pump-7 is not due: its certificate is valid until 2026-05-30T00:00:00.000Z\n',
    stderr: '',
  })
  assert.equal(certificate().serialNumber, before)
  clock.advance(2 * DAY)
  assert.equal((await run('renew', 'acme/pump-7', '--if-due')).code, 0)
  assert.notEqual(certificate().serialNumber, before)
})

test('a file that lies elsewhere is renewed where it lies', async (t) => {
  const { run, root, crt } = await enrolled(t)
  const moved = join(root, 'client.pem')
  renameSync(crt, moved)
  const before = new X509Certificate(readFileSync(moved)).serialNumber
  assert.equal((await run('renew', moved)).code, 0)
  assert.notEqual(new X509Certificate(readFileSync(moved)).serialNumber, before)
  assert.equal(existsSync(join(root, 'client.key')), false)
})

test('a revoked certificate is not renewed with its key', async (t) => {
  const { run, certificate } = await enrolled(t)
  await run('revoke', 'acme/pump-7', '--reason', 'keyCompromise')
  const before = certificate().serialNumber
  assert.deepEqual(await run('renew', 'acme/pump-7'), {
    code: 1,
    stdout: '',
    stderr:
      'midge pki: DIR/devices/acme/pump-7.crt is revoked (keyCompromise): expected --new-key, or a --csr with another key\n',
  })
  assert.equal(certificate().serialNumber, before)
  assert.equal((await run('renew', 'acme/pump-7', '--new-key')).code, 0)
})

const REFUSED: readonly (readonly [readonly string[], number, RegExp])[] = [
  [['renew'], 2, /renew: expected 1 arguments, found 0/u],
  [['renew', 'acme/pump-7', '--rsa'], 2, /--rsa is of a --new-key/u],
  [['renew', 'acme/pump-7', '--csr', 'x', '--new-key'], 2, /either --csr or --new-key/u],
  [['renew', 'acme/pump-7', '--days', 'x'], 1, /days: expected a whole number .* found NaN/u],
  [['renew', 'acme/pump-7', '--days', '3651'], 1, /found 3651/u],
  [['renew', 'acme/other'], 1, /expected a certificate file, or the TENANT\/DEVICE of one in/u],
  [['renew', '/nowhere'], 1, /expected a certificate file/u],
]

test('what cannot be renewed is refused, and nothing changes', async (t) => {
  const { run, certificate, root, directory } = await enrolled(t)
  const before = certificate().serialNumber
  for (const [argv, code, message] of REFUSED) {
    const refused = await run(...argv)
    assert.deepEqual([refused.code, refused.stdout], [code, ''], argv.join(' '))
    assert.match(refused.stderr, message)
  }
  const foreign = join(root, 'foreign.crt')
  writeFileSync(foreign, issue(makeCa('Midge device CA'), 'acme/pump-7').certificatePem)
  assert.match((await run('renew', foreign)).stderr, /found one of another CA\n$/u)
  const ours = join(directory, 'server.crt')
  assert.match((await run('renew', ours)).stderr, /found one of another CA\n$/u)
  assert.equal(certificate().serialNumber, before)
})

test('a renewal cut off between key and certificate is put right by the next command', async (t) => {
  const { run, key, earlier, isPair, certificate } = await enrolled(t)
  await run('renew', 'acme/pump-7', '--new-key')
  const good = certificate().serialNumber.toLowerCase()
  // As if killed after the key of the next renewal had its name.
  const [other = ''] = readdirSync(earlier).filter(
    (name) => name.endsWith('.key') && !name.startsWith(good),
  )
  writeFileSync(key, readFileSync(join(earlier, other)))
  assert.equal(isPair(), false)
  assert.equal((await run('renew', 'acme/pump-7')).code, 0)
  assert.equal(isPair(), true)
})
