import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { runMidge, spawnMidge } from '../helpers/midge-process.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { scratchDirectory } from '../helpers/scratch.ts'
import { freePort } from '../helpers/free-port.ts'

const MOSQUITTO = '/usr/sbin/mosquitto'
const THEIRS = '/usr/bin/mosquitto_passwd'
const skip = existsSync(MOSQUITTO) && existsSync(THEIRS) ? false : 'mosquitto is not installed'

async function returnCode(port: number, userName: string, password: string): Promise<number> {
  const client = await RawClient.tcp(port)
  try {
    return (await client.connect({ clientId: userName, userName, password })).returnCode
  } finally {
    client.destroy()
  }
}

/** Mosquitto says on standard error when it listens. */
async function startMosquitto(t: TestContext, conf: string): Promise<void> {
  const child = spawn(MOSQUITTO, ['-c', conf, '-v'], { stdio: ['ignore', 'ignore', 'pipe'] })
  t.after(() => child.kill())
  let said = ''
  for await (const piece of child.stderr) {
    said += String(piece)
    if (/version \S+ running/u.test(said)) return
  }
  throw new Error(`mosquitto ended: ${said}`)
}

test('a file of ours lets in at Mosquitto, one of mosquitto_passwd lets in here, and both edit both', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const folder = await scratchDirectory(t)
  const file = join(folder, 'passwd')
  const ours = async (...args: string[]) => {
    const { code, output } = await runMidge(t, { args: ['passwd', ...args] })
    assert.equal(code, 0, output)
  }
  const theirs = (...args: string[]) => execFileSync(THEIRS, args)
  await ours('-c', '-b', file, 'ours-7', 'secret 1')
  await ours('-H', 'sha512', '-b', file, 'ours-6', 'secret 2')
  await ours('-I', '101', '-b', file, 'ours-101', 'sécret 3')
  theirs('-b', file, 'theirs-7', 'secret 4')
  theirs('-H', 'sha512', '-b', file, 'theirs-6', 'secret 5')
  theirs('-b', file, 'gone', 'secret 6')
  await ours('-D', file, 'gone')
  await ours('-b', file, 'changed', 'before')
  theirs('-b', file, 'changed', 'secret 7')
  const plain = join(folder, 'plain')
  writeFileSync(plain, 'hashed:secret 8\n')
  await ours('-U', plain)
  writeFileSync(file, readFileSync(file, 'utf8') + readFileSync(plain, 'utf8'))

  const [one, other] = [await freePort(), await freePort()]
  const conf = (port: number, extra: string) => {
    const path = join(folder, `${port}.conf`)
    writeFileSync(path, `${extra}listener ${port} 127.0.0.1\npassword_file ${file}\n`)
    return path
  }
  const midge = spawnMidge(t, { args: ['-c', conf(one, '')] })
  await midge.printed(/midge\.running/u)
  await startMosquitto(t, conf(other, 'user root\n'))
  const accounts: readonly (readonly [name: string, password: string, code: number])[] = [
    ['gone', 'secret 6', 5],
    ['changed', 'before', 5],
    ['ours-7', 'secret 2', 5],
    ['ours-7', 'secret 1', 0],
    ['ours-6', 'secret 2', 0],
    ['ours-101', 'sécret 3', 0],
    ['theirs-7', 'secret 4', 0],
    ['theirs-6', 'secret 5', 0],
    ['changed', 'secret 7', 0],
    ['hashed', 'secret 8', 0],
  ]
  for (const [name, password, code] of accounts) {
    assert.equal(await returnCode(one, name, password), code, `midge: ${name}`)
    assert.equal(await returnCode(other, name, password), code, `mosquitto: ${name}`)
  }
})
