import assert from 'node:assert/strict'
import {
  chmodSync,
  chownSync,
  existsSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { issueServer, makeCa, type TestCertificate } from '../helpers/certificates.ts'
import { runMidge, spawnMidge, type MidgeProcess } from '../helpers/midge-process.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { scratchDirectory } from '../helpers/scratch.ts'
import { freePort } from '../helpers/free-port.ts'

const skip = process.getuid?.() !== 0 || process.platform !== 'linux'
const NOBODY = 65_534

/** A folder of `nobody`'s with a certificate of its own, and a configuration for it. */
async function prepared(t: TestContext, conf: string) {
  const scratch = await scratchDirectory(t)
  const own = join(scratch, 'own')
  await mkdir(own)
  chownSync(own, NOBODY, NOBODY)
  const [plain, tls] = [await freePort(), await freePort()]
  const file = join(scratch, 'm.conf')
  writeFileSync(
    file,
    conf
      .replaceAll('OWN', own)
      .replaceAll('PLAIN', `${plain} 127.0.0.1`)
      .replaceAll('TLS', `${tls} 127.0.0.1`),
  )
  const put = ({ certificatePem, privateKeyPem }: TestCertificate, owner: number) => {
    for (const [name, content] of [
      ['crt', certificatePem],
      ['key', privateKeyPem],
    ] as const) {
      const path = join(own, name)
      writeFileSync(`${path}.new`, content, { mode: 0o600 })
      chownSync(`${path}.new`, owner, owner)
      renameSync(`${path}.new`, path)
    }
  }
  return { scratch, own, file, put, plain, tls }
}

/** Of each thread: libuv's and V8's must have changed too. */
function identities(pid: number): Set<string> {
  return new Set(
    readdirSync(`/proc/${pid}/task`).map((thread) => {
      const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')
      const field = (name: string) =>
        new RegExp(`^${name}:\\s*(.*?)\\s*$`, 'mu').exec(status)?.[1]?.replaceAll('\t', ' ')
      return ['Uid', 'Gid', 'Groups', 'CapEff', 'CapPrm'].map(field).join(' | ')
    }),
  )
}

const pidOf = ({ child }: Pick<MidgeProcess, 'child'>): number => child.pid ?? 0

test('as root with a user it opens what it needs, becomes that user, and goes on as before', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const ca = makeCa('CA')
  const { own, file, put, plain, tls } = await prepared(
    t,
    'user nobody\npid_file OWN/pid\npassword_file OWN/passwd\nlog_dest file OWN/log\nlog_dest stderr\nlog_type all\nlistener PLAIN\nlistener TLS\ncertfile OWN/crt\nkeyfile OWN/key\n',
  )
  put(issueServer(ca), 0)
  const midge = spawnMidge(t, { args: ['-c', file], env: { PUID: '' } })
  await midge.printed(/^\d+: midge version .+ running$/mu)
  assert.deepEqual(
    [...identities(pidOf(midge))],
    [
      `${Array(4).fill(NOBODY).join(' ')} | ${Array(4).fill(NOBODY).join(' ')} | ${NOBODY} | ${'0'.repeat(16)} | ${'0'.repeat(16)}`,
    ],
  )
  assert.match(
    midge.output(),
    /Warning: \S+\/own\/key cannot be read again.*\(mode 0600, owner 0:0; this process is uid 65534, gid 65534\)/u,
  )
  for (const name of ['pid', 'passwd', 'log']) assert.equal(statSync(join(own, name)).uid, NOBODY)

  const passwd = join(own, 'passwd')
  assert.equal((await runMidge(t, { args: ['passwd', '-b', passwd, 'ann', 'secret'] })).code, 0)
  assert.equal(statSync(passwd).uid, NOBODY)
  // The line about files in force may be that of the empty file made at the start.
  for (let returnCode = 5; returnCode !== 0; ) {
    const client = await RawClient.tcp(plain)
    t.after(() => client.destroy())
    const answer = await client.connect({ clientId: 'a', userName: 'ann', password: 'secret' })
    returnCode = answer.returnCode
    assert.ok(returnCode === 0 || returnCode === 5, `CONNACK ${returnCode}`)
  }

  put(issueServer(ca), 0)
  await midge.printed(
    /Error: .*own\/(?:key|crt).*\(mode 0600, owner 0:0; this process is uid 65534/u,
  )
  const third = issueServer(ca)
  put(third, NOBODY)
  await midge.printed(/new certificate files in use/u)
  const other = await RawClient.tls({ host: '127.0.0.1', port: tls, ca: ca.certificatePem })
  other.destroy()

  const log = join(own, 'log')
  renameSync(log, `${log}.1`)
  midge.child.kill('SIGHUP')
  while (!existsSync(log)) await new Promise((resolve) => setTimeout(resolve, 20))
  assert.deepEqual(await midge.end(), { code: 0, signal: null })
  assert.equal(existsSync(join(own, 'pid')), false)
})

test('without a user line it becomes mosquitto or nobody, with PUID and PGID whom they name', {
  skip,
}, async (t) => {
  const { file, scratch } = await prepared(t, 'listener PLAIN\npid_file OWN/../pid\n')
  chmodSync(scratch, 0o755)
  const names = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  const [, , uid = ''] =
    names.find(([name]) => name === 'mosquitto') ?? names.find(([name]) => name === 'nobody') ?? []
  for (const [env, expected] of [
    [{ PUID: '' }, uid],
    [{ PUID: '1234', PGID: '4321', UMASK_SET: '077' }, '1234'],
    [{ PUID: '0' }, '0'],
  ] as const) {
    const midge = spawnMidge(t, { args: ['-c', file], env })
    await midge.printed(/midge\.running/u)
    const [only = '', ...others] = identities(pidOf(midge))
    assert.deepEqual(others, [])
    assert.equal(only.split(' ')[0], expected)
    if (expected === '1234') {
      assert.match(only, /\| 4321 4321 4321 4321 \| 4321 \|/u)
      assert.match(readFileSync(`/proc/${pidOf(midge)}/status`, 'utf8'), /^Umask:\s*0077$/mu)
      assert.match(midge.output(), /will keep an empty pid when the broker has ended/u)
    }
    assert.equal((await midge.end()).code, 0)
    // A directory of root's: the number at least must not outlive the process.
    if (expected !== '0') assert.equal(readFileSync(join(scratch, 'pid'), 'utf8'), '')
    else assert.equal(existsSync(join(scratch, 'pid')), false)
  }
})

const REFUSED: readonly (readonly [conf: string, env: NodeJS.ProcessEnv, code: number, RegExp])[] =
  [
    [
      'user no-such-user\n',
      { PUID: '' },
      1,
      /Unable to drop privileges to 'no-such-user' because this/u,
    ],
    ['', { PUID: 'joe' }, 3, /PUID is "joe", expected a number/u],
    ['', { PUID: '1', PGID: '-1' }, 3, /PGID is "-1", expected a number/u],
    ['', { UMASK_SET: '9' }, 3, /UMASK_SET is "9", expected an octal number/u],
  ]

test('a user that cannot be changed to ends the start', { skip }, async (t) => {
  for (const [conf, env, code, message] of REFUSED) {
    const { file } = await prepared(t, `${conf}listener PLAIN\n`)
    const ended = await runMidge(t, { args: ['-c', file], env })
    assert.equal(ended.code, code, ended.output)
    assert.match(ended.output, message)
    assert.doesNotMatch(ended.output, /listening on/u)
  }
})
