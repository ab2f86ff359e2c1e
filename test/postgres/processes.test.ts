import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { identify, pidSpace } from '../../postgres/processes.ts'

const skip = process.platform === 'linux' ? false : 'compares /proc with ps'

test('a pid that nobody has, or nobody can have, is no process', { skip }, async () => {
  for (const platform of ['linux', 'darwin', 'win32'] as const) {
    for (const pid of [4_194_304, 0, -1, 1.5, Number.NaN]) {
      assert.equal(await identify(pid, platform), undefined, `${pid} on ${platform}`)
    }
  }
})

test('/proc and ps say the same of a process', { skip }, async (t) => {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' })
  t.after(() => void child.kill())
  await once(child, 'spawn')
  const pid = child.pid ?? 0
  const [byProc, byPs] = [await identify(pid, 'linux'), await identify(pid, 'darwin')]
  assert.equal(byProc?.commandLine, 'sleep 600')
  assert.equal(byPs?.commandLine, 'sleep 600')
  assert.equal(byProc.uid, process.geteuid?.())
  assert.equal(byPs.uid, byProc.uid)
  for (const platform of ['linux', 'darwin'] as const) {
    const [first, again] = [await identify(pid, platform), await identify(pid, platform)]
    assert.ok(first !== undefined && first.start !== '')
    assert.equal(first.start, again?.start, platform)
  }
  const own = await identify(process.pid, 'linux')
  assert.notEqual(own?.start, byProc.start)
})

test('a process that is dead and not reaped by its parent is none', { skip }, async (t) => {
  const parent = spawn('sh', ['-c', 'sleep 0.2 & echo $!; exec sleep 600'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  t.after(() => void parent.kill())
  const [line] = (await once(parent.stdout, 'data')) as [Buffer]
  const pid = Number(line.toString())
  while ((await identify(pid, 'linux')) !== undefined) await new Promise(setImmediate)
  assert.ok(process.kill(pid, 0), 'the system still knows the pid')
  assert.equal(await identify(pid, 'darwin'), undefined)
})

test('a pid has its meaning in one place', async () => {
  assert.equal(await pidSpace(), await pidSpace())
  assert.notEqual((await pidSpace()).trim(), '')
})
