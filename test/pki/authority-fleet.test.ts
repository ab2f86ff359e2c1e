import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { AuthorityError } from '../../pki/errors.ts'
import { numberedFleet, readFleetList } from '../../pki/fleet-list.ts'
import { Progress } from '../../pki/command/progress.ts'
import { issue, makeCa } from '../helpers/certificates.ts'
import { pkiShell } from './shell.ts'

const WRONG: readonly (readonly [string, string])[] = [
  ['', 'f: no device in it'],
  ['# only a comment\n\n', 'f: no device in it'],
  ['tenant,device,site\n', 'f: no device in it'],
  ['acme\n', 'f:1: expected tenant,device[,site], found 1 fields'],
  ['a,b,c,d\n', 'f:1: expected tenant,device[,site], found 4 fields'],
  ['a,b/c\n', 'f:1: device: expected 1 to 200 characters without / + # and controls, found "b/c"'],
  ['a,\n', 'f:1: device: expected 1 to 200 characters without / + # and controls, found ""'],
  [',b\n', 'f:1: tenant: expected 1 to 200 characters without / + # and controls, found ""'],
  ['a,b+c\n', 'f:1: device: expected 1 to 200 characters without / + # and controls, found "b+c"'],
  ['a,"b\n', 'f:1: a quote that does not fit, in "a,\\"b"'],
  ['a,b"c"\n', 'f:1: a quote that does not fit, in "a,b\\"c\\""'],
  ['a,b\na,c\na,b\n', 'f:3: a/b stands on line 1 already'],
]

test('a list that is not understood as a whole is refused with each line', () => {
  for (const [text, problem] of WRONG) {
    assert.throws(
      () => readFleetList(text, 'f'),
      (err: unknown) => {
        assert.ok(err instanceof AuthorityError)
        assert.equal(err.message, `nothing was issued:\n  ${problem}`)
        return true
      },
    )
  }
  const many = Array.from({ length: 30 }, (_, n) => `a,${n}/`).join('\n')
  assert.throws(() => readFleetList(many, 'f'), /\n {2}f:20: .*\n {2}and 10 more$/u)
})

test('a list has quoted fields, a header, comments, and a byte order mark', () => {
  const text =
    '\uFEFFTenant,Device,Site\r\n# comment\r\n\r\nacme , pump-7 ,north\r\n"acme","p ""8"", left",\r\nacme,tenant\r\n'
  assert.deepEqual(readFleetList(text, 'f'), [
    { tenant: 'acme', device: 'pump-7', site: 'north' },
    { tenant: 'acme', device: 'p "8", left', site: undefined },
    { tenant: 'acme', device: 'tenant', site: undefined },
  ])
})

test('a numbered fleet has names of one length', () => {
  const fleet = numberedFleet('acme', 'dev', 10, 'north')
  assert.deepEqual([fleet[0]?.device, fleet.at(-1)?.device], ['dev-01', 'dev-10'])
  assert.equal(fleet.length, 10)
})

async function made(t: TestContext) {
  const shell = await pkiShell(t)
  await shell.run('init')
  const folder = join(shell.directory, 'devices', 'acme')
  const isPair = (name: string) =>
    new X509Certificate(readFileSync(join(folder, `${name}.crt`))).checkPrivateKey(
      createPrivateKey(readFileSync(join(folder, `${name}.key`))),
    )
  return { ...shell, folder, isPair }
}

test('a fleet is issued, and what is missing of it when the command is given again', async (t) => {
  const { run, folder, isPair } = await made(t)
  // More than one hold of the lock.
  const first = await run('issue', 'acme', 'dev', '--count', '150')
  assert.deepEqual(first, {
    code: 0,
    stdout: 'DIR/devices: 150 issued, 0 were there already\n',
    stderr: '',
  })
  assert.equal(readdirSync(folder).length, 300)
  assert.ok(
    readdirSync(folder).every((name) => !name.endsWith('.key') || isPair(name.slice(0, -4))),
  )
  const serials = new Set(
    readdirSync(folder)
      .filter((name) => name.endsWith('.crt'))
      .map((name) => new X509Certificate(readFileSync(join(folder, name))).serialNumber),
  )
  assert.equal(serials.size, 150)
  const untouched = statSync(join(folder, 'dev-001.crt')).ino
  const key = readFileSync(join(folder, 'dev-077.key'), 'latin1')
  rmSync(join(folder, 'dev-077.crt'))
  rmSync(join(folder, 'dev-150.crt'))
  rmSync(join(folder, 'dev-150.key'))
  const again = await run('issue', 'acme', 'dev', '--count', '151')
  assert.equal(again.stdout, 'DIR/devices: 3 issued, 148 were there already\n')
  assert.equal(readFileSync(join(folder, 'dev-077.key'), 'latin1'), key)
  assert.equal(isPair('dev-077'), true)
  assert.equal(statSync(join(folder, 'dev-001.crt')).ino, untouched)
})

test('one device that fails is named, and keeps no other from its certificate', async (t) => {
  const { run, root, folder, isPair } = await made(t)
  await run('issue', 'acme', 'revoked')
  await run('revoke', 'acme/revoked')
  mkdirSync(folder, { recursive: true })
  const foreign = issue(makeCa('Midge device CA'), 'acme/foreign')
  writeFileSync(join(folder, 'foreign.crt'), foreign.certificatePem)
  writeFileSync(join(folder, 'broken.key'), 'no key')
  await run('issue', 'acme', 'other')
  writeFileSync(join(folder, 'named.crt'), readFileSync(join(folder, 'other.crt')))
  const list = join(root, 'list.csv')
  writeFileSync(list, 'acme,foreign\nacme,revoked\nacme,broken\nacme,named\nacme,good,north\n')
  const { code, stdout, stderr } = await run('issue', '--list', list)
  assert.equal(code, 1)
  assert.equal(stdout, 'DIR/devices: 1 issued, 0 were there already\n')
  assert.deepEqual(
    stderr.split('\n').map((line) => line.replace(/PEM without a passphrase: .*/u, 'PEM')),
    [
      'acme/foreign: DIR/devices/acme/foreign.crt: issued by another CA',
      'acme/revoked: DIR/devices/acme/revoked.crt: revoked; midge pki renew acme/revoked --new-key makes another',
      'acme/broken: DIR/devices/acme/broken.key: expected PEM',
      'acme/named: DIR/devices/acme/named.crt: expected the CN "acme/named", found "acme/other"',
      'midge pki: not all is done (4 problems); the same command goes on from here',
      '',
    ],
  )
  assert.equal(isPair('good'), true)
})

test('two fleets at once share the work, and no device has two certificates', async (t) => {
  const { run, directory, folder, clock } = await made(t)
  clock.sleep = () => new Promise((resolve) => setImmediate(resolve))
  const both = await Promise.all([1, 2].map(() => run('issue', 'acme', 'dev', '--count', '120')))
  assert.deepEqual(
    both.map(({ code, stderr }) => [code, stderr]),
    [
      [0, ''],
      [0, ''],
    ],
  )
  const issued = both.map(({ stdout }) => Number(/: (\d+) issued/u.exec(stdout)?.[1]))
  assert.equal((issued[0] ?? 0) + (issued[1] ?? 0), 120)
  assert.equal(readdirSync(folder).length, 240)
  const state: unknown = JSON.parse(readFileSync(join(directory, 'authority.json'), 'utf8'))
  assert.ok(typeof state === 'object' && state !== null && 'issued' in state)
  assert.equal(Array.isArray(state.issued) && state.issued.length, 120)
})

test('a list that is wrong on one line issues nothing', async (t) => {
  const { run, root, directory } = await made(t)
  const list = join(root, 'list.csv')
  writeFileSync(list, 'acme,good\nacme,b/d\n')
  const { code, stdout } = await run('issue', '--list', list)
  assert.deepEqual([code, stdout], [1, ''])
  assert.equal(readdirSync(directory).includes('devices'), false)
})

const MISUNDERSTOOD: readonly (readonly [readonly string[], RegExp])[] = [
  [['issue', 'acme', 'dev', '--count', '0'], /--count: expected a whole number .* found 0/u],
  [['issue', 'acme', 'dev', '--count', '1e3'], /found 1e3/u],
  [['issue', 'acme', 'dev', '--count', '1000001'], /found 1000001/u],
  [['issue', 'acme', '--count', '3'], /expected 2 arguments, found 1/u],
  [['issue', 'acme', 'dev', '--list', 'x'], /expected 0 arguments, found 2/u],
  [['issue', '--list', 'x', '--count', '3'], /either --list or --count/u],
  [['issue', 'acme', 'dev', '--count', '3', '--csr', 'x'], /a --csr is of one device/u],
]

test('a fleet that cannot be meant shows the usage', async (t) => {
  const { run } = await made(t)
  for (const [argv, message] of MISUNDERSTOOD) {
    const { code, stdout, stderr } = await run(...argv)
    assert.deepEqual([code, stdout], [2, ''], argv.join(' '))
    assert.match(stderr, message)
  }
})

test('progress is a bar on a terminal, lines elsewhere, and nothing for a few', () => {
  const told = (isTTY: boolean, total: number): string => {
    let text = ''
    const progress = new Progress({ isTTY, write: (more: string) => (text += more) }, total)
    for (let done = 100; done <= total; done += 100) progress.at(done)
    return text
  }
  const bar = `\r[${'#'.repeat(15)}${'.'.repeat(15)}] 100 of 200\r[${'#'.repeat(30)}] 200 of 200\n`
  assert.equal(told(true, 200), bar)
  assert.equal(told(false, 200), '')
  assert.equal(told(false, 2000).split('\n').length, 11)
})
