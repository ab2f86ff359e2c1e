import assert from 'node:assert/strict'
import { mkdtemp, readFile, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { silentLog as log } from '../../core/log.ts'
import { lockDirectory } from '../../postgres/lock.ts'
import { identify, pidSpace } from '../../postgres/processes.ts'
import { FakeClock } from '../helpers/clock.ts'

/** Every sleep passes at once, and something may happen meanwhile. */
class PassingClock extends FakeClock {
  meanwhile: () => Promise<void> = async () => undefined
  override async sleep(ms: number): Promise<void> {
    this.advance(ms)
    await this.meanwhile()
  }
}

async function lockFile(t: TestContext): Promise<{ path: string; clock: PassingClock }> {
  const directory = await mkdtemp(join(tmpdir(), 'midge-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return { path: join(directory, 'lock'), clock: new PassingClock(Date.now()) }
}

const since = '2026-03-01T00:00:00.000Z'
const OUT_OF_SIGHT = 'otherhost 0 pid:[1]'

test('a lock is refused to all others until it is released', async (t) => {
  const { path, clock } = await lockFile(t)
  const lock = await lockDirectory(path, { clock, log })
  await assert.rejects(lockDirectory(path, { clock, log }), { code: 'EMBEDDED_POSTGRES_IN_USE' })
  assert.equal((JSON.parse(await readFile(path, 'utf8')) as { pid: number }).pid, process.pid)
  await lock.release()
  await (await lockDirectory(path, { clock, log })).release()
  assert.deepEqual(await readdir(join(path, '..')), [])
})

test('the lock of a living process is refused, with its pid and since when', async (t) => {
  const { path, clock } = await lockFile(t)
  const start = (await identify(process.ppid))?.start
  const space = await pidSpace()
  await writeFile(path, JSON.stringify({ pid: process.ppid, start, space, since }))
  await assert.rejects(lockDirectory(path, { clock, log }), {
    message: `another Midge (pid ${process.ppid}, since ${since}) uses the data directory, as ${path} says: stop that one first, or give this one its own directory with --data or MIDGE_DATA`,
  })
})

test('a lock that is touched in another container or machine is refused', async (t) => {
  const { path, clock } = await lockFile(t)
  await writeFile(path, JSON.stringify({ pid: 1, start: 's', space: OUT_OF_SIGHT, since }))
  let touches = 0
  clock.meanwhile = async () => {
    if (++touches === 4) await utimes(path, clock.now() / 1000, clock.now() / 1000)
  }
  await assert.rejects(lockDirectory(path, { clock, log }), {
    message: /^another Midge \(pid 1, since 2026-03-01T00:00:00\.000Z\)/u,
  })
  assert.equal(touches, 4)
})

test('the lock of whoever is gone is taken', async (t) => {
  const space = await pidSpace()
  const start = (await identify(process.ppid))?.start
  for (const [title, text, silent] of [
    ['a pid that nobody has', JSON.stringify({ pid: 4_194_304, start, space, since }), false],
    [
      'a pid that is another process',
      JSON.stringify({ pid: process.ppid, start: 's', space, since }),
      false,
    ],
    [
      'another container, silent for long',
      JSON.stringify({ pid: 1, start, space: OUT_OF_SIGHT, since }),
      true,
    ],
    [
      'another container, silent now',
      JSON.stringify({ pid: 1, start, space: OUT_OF_SIGHT, since }),
      false,
    ],
    ['a writer killed at once', '', false],
    ['a writer killed in the middle', '{"pid":12', false],
    ['no lock of ours', '[]', false],
  ] as const) {
    const { path, clock } = await lockFile(t)
    await writeFile(path, text)
    if (silent) {
      const then = clock.now() / 1000 - 60
      await utimes(path, then, then)
      clock.meanwhile = async () => assert.fail('nothing to wait for')
    }
    const lock = await lockDirectory(path, { clock, log })
    assert.match(await readFile(path, 'utf8'), new RegExp(`"pid":${process.pid},`, 'u'), title)
    await lock.release()
    assert.deepEqual(await readdir(join(path, '..')), [], title)
  }
})

test('an owner shows every second that it is alive, and leaves a lock alone that is not its own', async (t) => {
  const { path, clock } = await lockFile(t)
  const lock = await lockDirectory(path, { clock, log })
  const before = (await stat(path)).mtimeMs
  clock.advance(10_000)
  while ((await stat(path)).mtimeMs === before) await new Promise(setImmediate)
  await writeFile(path, 'another’s')
  await lock.release()
  assert.equal(clock.pending, 0)
  assert.equal(await readFile(path, 'utf8'), 'another’s')
})
