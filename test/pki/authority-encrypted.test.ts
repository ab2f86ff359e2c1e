import assert from 'node:assert/strict'
import { createPrivateKey } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Authority } from '../../pki/authority.ts'
import { pkiShell, SHELL_T0 } from './shell.ts'
import { FakeClock } from '../helpers/clock.ts'

const DAY = 86_400_000

test('keys of CAs are encrypted on request, and every later command takes the passphrase', async (t) => {
  const asked: string[] = []
  const environment: Record<string, string> = {}
  const { run, directory, root } = await pkiShell(t, {
    environment,
    prompt: async (question) => {
      asked.push(question)
      return 'at the terminal'
    },
  })
  const made = await run('init', '--encrypt-keys')
  assert.equal(made.code, 0, made.stderr)
  assert.match(made.stdout, /made the device CA: device-ca\.crt, device-ca\.key \(encrypted\)\n/u)
  assert.deepEqual(asked, ['Passphrase of the CA keys: ', 'Once more: '])
  for (const name of ['ca.key', 'device-ca.key']) {
    const pem = readFileSync(join(directory, name), 'latin1')
    assert.match(pem, /^-----BEGIN ENCRYPTED PRIVATE KEY-----/u)
    assert.equal(
      createPrivateKey({ key: pem, passphrase: 'at the terminal' }).asymmetricKeyType,
      'ec',
    )
  }
  // A broker has nobody to ask.
  assert.match(readFileSync(join(directory, 'server.key'), 'latin1'), /^-----BEGIN PRIVATE KEY/u)
  assert.equal((await run('issue', 'acme', 'p1')).code, 0)
  assert.equal(asked.length, 3)
  const file = join(root, 'passphrase')
  writeFileSync(file, 'at the terminal\n')
  for (const argv of [
    ['issue', 'acme', 'p2'],
    ['issue', 'acme', 'p', '--count', '3'],
    ['renew', 'acme/p1', '--revoke-old'],
    ['revoke', 'acme/p2'],
    ['crl'],
  ]) {
    const { code, stderr } = await run(...argv, '--ca-passphrase-file', file)
    assert.deepEqual([code, stderr], [0, ''], argv.join(' '))
  }
  environment['MIDGE_CA_PASSPHRASE_FILE'] = file
  assert.equal((await run('crl')).code, 0)
  environment['MIDGE_CA_PASSPHRASE_FILE'] = ''
  environment['MIDGE_CA_PASSPHRASE'] = 'at the terminal'
  assert.equal((await run('crl')).code, 0)
  assert.equal((await run('bundle', 'acme', 'p1', '--p12')).code, 0)
  assert.equal(asked.length, 3)
  environment['MIDGE_CA_PASSPHRASE'] = 'another one'
  const before = readFileSync(join(directory, 'device-crl.pem'), 'latin1')
  for (const argv of [['issue', 'acme', 'p9'], ['revoke', 'acme/p1'], ['crl']]) {
    assert.deepEqual(await run(...argv), {
      code: 1,
      stdout: '',
      stderr:
        'midge pki: DIR/device-ca.key: expected the passphrase it was encrypted with, found another\n',
    })
  }
  assert.equal(readFileSync(join(directory, 'device-crl.pem'), 'latin1'), before)
})

test('without a passphrase, or with a short or mistyped one, no key is made', async (t) => {
  const answers = ['one of them', 'the other']
  const { run } = await pkiShell(t, { prompt: async () => answers.shift() ?? '' })
  assert.match((await run('init', '--encrypt-keys')).stderr, /the two passphrases differ\n$/u)
  const short = await pkiShell(t, { environment: { MIDGE_CA_PASSPHRASE: '1234567' } })
  const refused = await short.run('init', '--encrypt-keys')
  assert.deepEqual([refused.code, refused.stdout], [1, ''])
  assert.match(refused.stderr, /expected a passphrase of at least 8 characters, found 7\n$/u)
  const nobody = await pkiShell(t)
  assert.match(
    (await nobody.run('init', '--encrypt-keys')).stderr,
    /in --ca-passphrase-file, MIDGE_CA_PASSPHRASE_FILE or MIDGE_CA_PASSPHRASE, found none\n$/u,
  )
  const blank = join(nobody.root, 'blank')
  writeFileSync(blank, '\nsecond line')
  const found = await nobody.run('init', '--encrypt-keys', '--ca-passphrase-file', blank)
  assert.match(found.stderr, /blank: expected a passphrase on its first line, found none\n$/u)
})

test('a start without the passphrase leaves the CRL to the operator, and says so', async (t) => {
  const environment = { MIDGE_CA_PASSPHRASE: 'long enough' }
  const { run, directory } = await pkiShell(t, { environment })
  await run('init', '--encrypt-keys')
  const list = readFileSync(join(directory, 'device-crl.pem'), 'latin1')
  const later = new FakeClock(SHELL_T0 + 20 * DAY)
  const { changes } = await Authority.open(directory, { clock: later })
  assert.deepEqual(changes, [
    'device-crl.pem has 10 days left, and device-ca.key is encrypted: midge pki crl renews it',
  ])
  assert.equal(readFileSync(join(directory, 'device-crl.pem'), 'latin1'), list)
  const next = await Authority.open(directory, {
    clock: later,
    passphrase: async () => 'long enough',
  })
  assert.deepEqual(next.changes, ['wrote device-crl.pem, crlNumber 2'])
})
