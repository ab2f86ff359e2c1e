import assert from 'node:assert/strict'
import { chmodSync, chownSync, lchownSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { LogOutput } from '../../start/log-output.ts'
import { openKeylog, writePidFile } from '../../start/process-file.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const BROKER_UID = 65534
const asRoot =
  process.getuid?.() === 0 ? {} : { skip: 'only root writes where another user laid a link' }

/** A directory of the broker's user, with a link there to a file of root's. */
async function linked(t: TestContext, owner: number) {
  const folder = await scratchDirectory(t)
  const victim = join(folder, 'victim')
  writeFileSync(victim, "root's own\n", { mode: 0o600 })
  const directory = join(folder, 'broker')
  mkdirSync(directory)
  chmodSync(directory, 0o755)
  chownSync(directory, BROKER_UID, BROKER_UID)
  const file = join(directory, 'file')
  symlinkSync(victim, file)
  lchownSync(file, owner, owner)
  return { file, victimText: () => readFileSync(victim, 'utf8') }
}

function logTo(file: string) {
  const told: string[] = []
  const stream = { write: (text: string) => told.push(text) }
  const output = new LogOutput(
    {
      level: 'info',
      mosquitto: {
        destinations: ['file'],
        file,
        types: ['information'],
        timestamp: false,
        timestampFormat: undefined,
      },
    },
    { stdout: stream, stderr: stream },
  )
  output.write(JSON.stringify({ level: 'info', event: 'x', msg: 'a line' }))
  output.close()
  return told
}

test('as root, a link that the user of the broker laid leads nowhere', asRoot, async (t) => {
  await t.test('log_dest file', async (t) => {
    const { file, victimText } = await linked(t, BROKER_UID)
    assert.match(logTo(file).join(''), /Unable to open log file .*link of another user/u)
    assert.equal(victimText(), "root's own\n")
  })

  await t.test('pid_file: a file takes its place', async (t) => {
    const { file, victimText } = await linked(t, BROKER_UID)
    await writePidFile(file, 4711)
    assert.equal(victimText(), "root's own\n")
    assert.equal(readFileSync(file, 'utf8'), '4711')
  })

  await t.test('--tls-keylog', async (t) => {
    const { file, victimText } = await linked(t, BROKER_UID)
    assert.throws(() => openKeylog(file), { code: 'KEYLOG' })
    assert.equal(victimText(), "root's own\n")
  })
})

test("a link of one's own is followed", asRoot, async (t) => {
  const log = await linked(t, 0)
  logTo(log.file)
  assert.equal(log.victimText(), "root's own\na line\n")
  const pid = await linked(t, 0)
  await writePidFile(pid.file, 4711)
  assert.equal(pid.victimText(), '4711')
})
