import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { PKI_USAGE, runPkiCommand } from '../../pki/cli.ts'
import { parseCrl } from '../../pki/crl.ts'
import { splitCrlFile } from '../../pki/crl-reading.ts'
import { attribute, issue, makeCa, nameOf } from '../helpers/certificates.ts'
import { FakeClock } from '../helpers/clock.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const T0 = Date.parse('2026-03-01T00:00:00Z')

async function shell(t: TestContext) {
  const directory = await scratchDirectory(t)
  const clock = new FakeClock(T0)
  const run = async (...argv: readonly string[]) => {
    let [stdout, stderr] = ['', '']
    const code = await runPkiCommand(argv, {
      stdout: { write: (text: string) => (stdout += text) },
      stderr: { write: (text: string) => (stderr += text) },
      directory,
      clock,
      hostNames: ['broker.example'],
    })
    return {
      code,
      stdout: stdout.replaceAll(directory, 'DIR'),
      stderr: stderr.replaceAll(directory, 'DIR'),
    }
  }
  const revoked = () =>
    parseCrl(splitCrlFile(readFileSync(join(directory, 'device-crl.pem')))[0] ?? Buffer.alloc(0))
      .revoked.count
  return { directory, run, revoked }
}

const MISUNDERSTOOD: readonly (readonly [readonly string[], string])[] = [
  [[], 'expected a command'],
  [['frobnicate'], 'unknown command "frobnicate"'],
  [['init', 'here'], 'init: expected 0 arguments, found 1'],
  [['issue', 'acme'], 'issue: expected 2 arguments, found 1'],
  [['issue', 'acme/pump-7'], 'issue: expected 2 arguments, found 1'],
  [['revoke'], 'revoke: expected 1 arguments, found 0'],
  [['show'], 'show: expected 1 arguments, found 0'],
  [['crl', '--days', '3'], 'crl has no option --days'],
]

test('a command that is not understood says where the usage is, and exits with 2', async (t) => {
  const { run, directory } = await shell(t)
  for (const [argv, problem] of MISUNDERSTOOD) {
    assert.deepEqual(await run(...argv), {
      code: 2,
      stdout: '',
      stderr: `midge pki: ${problem}\nUse 'midge pki --help' to see the usage.\n`,
    })
  }
  const unknown = await run('init', '--force')
  assert.equal(unknown.code, 2)
  assert.match(unknown.stderr, /^midge pki: Unknown option '--force'/u)
  assert.deepEqual(readdirSync(directory), [])
})

test('help is no error', async (t) => {
  const { run } = await shell(t)
  assert.deepEqual(await run('--help'), { code: 0, stdout: PKI_USAGE, stderr: '' })
})

test('init says what it made, and the second time that there was nothing to do', async (t) => {
  const { run, directory } = await shell(t)
  const first = await run('init', '--host', '192.0.2.7')
  assert.equal(first.code, 0)
  assert.match(first.stdout, /^DIR: made the server CA: ca\.crt, ca\.key\n/u)
  assert.deepEqual(await run('init'), {
    code: 0,
    stdout: 'DIR: complete, nothing to do\n',
    stderr: '',
  })
  assert.equal((await run('init', '--host', '192.0.2.7')).code, 0)
  assert.deepEqual(await run('init', '--host', '192.0.2.7', '--host', 'other.example'), {
    code: 1,
    stdout: 'DIR: complete, nothing to do\n',
    stderr:
      'midge pki: DIR/server.crt was there already and does not name other.example: move it and DIR/server.key away, then once more: midge pki init --host 192.0.2.7 --host other.example\n',
  })
  const server = new X509Certificate(readFileSync(join(directory, 'server.crt')))
  assert.equal(server.checkIP('192.0.2.7'), '192.0.2.7')
  assert.equal(server.checkHost('broker.example'), 'broker.example')
})

test('init with --rsa makes RSA keys', async (t) => {
  const { run, directory } = await shell(t)
  assert.equal((await run('init', '--rsa')).code, 0)
  const types = ['ca.key', 'device-ca.key', 'server.key'].map(
    (name) => createPrivateKey(readFileSync(join(directory, name))).asymmetricKeyType,
  )
  assert.deepEqual(types, ['rsa', 'rsa', 'rsa'])
})

test('without a device CA nothing but init and show does anything', async (t) => {
  const { run, directory } = await shell(t)
  const problem = 'midge pki: DIR holds no device-ca.crt; midge pki init makes one\n'
  for (const argv of [['issue', 'acme', 'pump-7'], ['revoke', '0a'], ['crl']]) {
    assert.deepEqual(await run(...argv), { code: 1, stdout: '', stderr: problem })
  }
  assert.deepEqual(readdirSync(directory), [])
})

test('issue writes certificate and key, and never over others', async (t) => {
  const { run, directory } = await shell(t)
  await run('init')
  const issued = await run('issue', 'acme', 'pump-7', '--days', '30')
  assert.equal(issued.code, 0, issued.stderr)
  assert.match(
    issued.stdout,
    /^DIR\/devices\/acme\/pump-7\.key\nDIR\/devices\/acme\/pump-7\.crt\nCN acme\/pump-7, serial [0-9a-f]{40}, valid until 2026-03-31T00:00:00\.000Z\n$/u,
  )
  const key = join(directory, 'devices', 'acme', 'pump-7.key')
  assert.equal(statSync(key).mode & 0o777, 0o600)
  const before = readFileSync(key, 'latin1')
  assert.deepEqual(await run('issue', 'acme', 'pump-7'), {
    code: 1,
    stdout: '',
    stderr:
      'midge pki: DIR/devices/acme/pump-7.crt exists already and is not overwritten; midge pki renew replaces it, --out writes elsewhere\n',
  })
  assert.equal(readFileSync(key, 'latin1'), before)
})

test('no id leads out of the directory, or into another', async (t) => {
  const { run, directory } = await shell(t)
  await run('init')
  for (const [tenant, device] of [
    ['..', '..'],
    ['.', '.hidden'],
    ['a b', 'ü\\'],
    ['a', 'b'],
    ['a.b', 'c'],
  ] as const) {
    assert.equal((await run('issue', tenant, device)).code, 0)
  }
  assert.deepEqual(readdirSync(join(directory, 'devices')).toSorted(), [
    '%2E',
    '%2E.',
    'a',
    'a%20b',
    'a.b',
  ])
  assert.deepEqual(readdirSync(join(directory, 'devices', '%2E.')).toSorted(), [
    '%2E..crt',
    '%2E..key',
  ])
  assert.deepEqual(readdirSync(join(directory, 'devices', 'a%20b')).toSorted(), [
    '%C3%BC%5C.crt',
    '%C3%BC%5C.key',
  ])
})

const FAILED: readonly (readonly [readonly string[], RegExp])[] = [
  [
    ['issue', 'a/b', 'c'],
    /^midge pki: tenant: expected 1 to 200 characters without .* found "a\/b"\n$/u,
  ],
  [
    ['issue', 'a', 'b', '--days', 'many'],
    /^midge pki: days: expected a whole number from 1 to 3650, found NaN\n$/u,
  ],
  [
    ['issue', 'a', 'b', '--csr', '/nowhere.csr'],
    /^midge pki: \/nowhere\.csr cannot be read: ENOENT/u,
  ],
  [
    ['revoke', 'acme/unknown'],
    /^midge pki: expected a serial number, a certificate file or the TENANT\/DEVICE of a certificate issued here that is neither revoked nor expired, found "acme\/unknown"\n$/u,
  ],
  [['show', '/nowhere'], /^midge pki: \/nowhere cannot be read: ENOENT/u],
  [['issue', 'a', 'b', '--out', '/dev/null/x'], /^midge pki: ENOTDIR/u],
]

test('what fails says why, and exits with 1', async (t) => {
  const { run } = await shell(t)
  await run('init')
  for (const [argv, message] of FAILED) {
    const { code, stderr, stdout } = await run(...argv)
    assert.deepEqual([code, stdout], [1, ''], argv.join(' '))
    assert.match(stderr, message)
  }
})

test('revoke takes a serial number, a file, or a name', async (t) => {
  const { run, directory, revoked } = await shell(t)
  await run('init')
  assert.equal(revoked(), 0)
  assert.deepEqual(await run('revoke', '0A:0b', '--reason', 'superseded'), {
    code: 0,
    stdout: 'revoked a0b (superseded, not known as issued here)\nDIR/device-crl.pem: crlNumber 2\n',
    stderr: '',
  })
  await run('issue', 'acme', 'pump-7')
  const file = join(directory, 'devices', 'acme', 'pump-7.crt')
  const serial = new X509Certificate(readFileSync(file)).serialNumber.toLowerCase()
  assert.equal(
    (await run('revoke', file)).stdout,
    `revoked ${serial} (unspecified)\nDIR/device-crl.pem: crlNumber 3\n`,
  )
  await run('issue', 'acme', 'pump-8')
  await run('issue', 'acme', 'pump-8', '--out', join(directory, 'again'))
  const named = await run('revoke', 'acme/pump-8', '--reason', 'keyCompromise')
  assert.match(
    named.stdout,
    /^revoked [0-9a-f]{40} \(keyCompromise\)\nrevoked [0-9a-f]{40} \(keyCompromise\)\nDIR\/device-crl\.pem: crlNumber 4\n$/u,
  )
  assert.equal(revoked(), 4)
})

test('revoke refuses an unknown reason and the certificate of another CA', async (t) => {
  const { run, directory, revoked } = await shell(t)
  await run('init')
  const reason = await run('revoke', '0a', '--reason', 'bored')
  assert.equal(reason.code, 2)
  assert.match(
    reason.stderr,
    /^midge pki: --reason: expected one of unspecified, keyCompromise, .* found bored\n/u,
  )
  const foreign = join(directory, 'foreign.crt')
  writeFileSync(foreign, issue(makeCa('Midge device CA'), 'acme/pump-7').certificatePem)
  assert.equal(
    (await run('revoke', foreign)).stderr,
    'midge pki: DIR/foreign.crt: expected a certificate issued by DIR/device-ca.crt, found a certificate of another CA\n',
  )
  assert.equal((await run('revoke', join(directory, 'ca.key'))).code, 1)
  assert.equal(revoked(), 0)
})

test('crl writes the next list', async (t) => {
  const { run } = await shell(t)
  await run('init')
  assert.equal((await run('crl')).stdout, 'DIR/device-crl.pem: crlNumber 2\n')
})

test('show says what a certificate, a bundle or a CRL holds', async (t) => {
  const { run, directory } = await shell(t)
  await run('init')
  assert.match(
    (await run('show', join(directory, 'combined-ca.crt'))).stdout,
    /^CA certificate {2}Midge server CA\nissuer {10}Midge server CA\nserial number {3}[0-9a-f]{40}\nvalid {11}2026-02-28T23:00:00\.000Z to 2036-02-27T00:00:00\.000Z\nkey {13}ec prime256v1\nSHA-256 {9}[0-9a-f]{64}\n\nCA certificate {2}Midge device CA\n/u,
  )
  assert.equal(
    (await run('show', join(directory, 'device-crl.pem'))).stdout,
    [
      'CRL of          Midge device CA',
      'crlNumber       1',
      'thisUpdate      2026-03-01T00:00:00.000Z',
      'nextUpdate      2026-03-31T00:00:00.000Z',
      'revoked         0',
      '',
    ].join('\n'),
  )
  const odd = join(directory, 'odd.der')
  const subject = nameOf(attribute('2.5.4.3', 'a\u001b[2Jb'))
  writeFileSync(
    odd,
    issue(makeCa('CA'), '', { subject, key: 'rsa1024', notBefore: T0 - 2000, notAfter: T0 - 1000 })
      .der,
  )
  const { stdout } = await run('show', odd)
  assert.match(stdout, /^certificate {5}a\ufffd\[2Jb\n/u)
  assert.match(
    stdout,
    /valid .* \(expired\)\nkey {13}rsa 1024 \(RSA key of 1024 bits, expected at least 2048\)\n/u,
  )
  const garbage = join(directory, 'garbage')
  writeFileSync(garbage, 'garbage')
  assert.equal(
    (await run('show', garbage)).stderr,
    'midge pki: DIR/garbage: expected a certificate or a CRL, found neither: no certificate\n',
  )
  assert.equal(existsSync(join(directory, 'authority.json')), true)
})
