import assert from 'node:assert/strict'
import { once } from 'node:events'
import { EventEmitter } from 'node:events'
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Clock, systemClock } from '../../core/clock.ts'
import { watchFiles } from '../../core/watch-files.ts'

function temporaryDirectory(t: TestContext): string {
  // Neither a watcher nor a poll keeps a process alive, but a test waits for them.
  const alive = setInterval(() => undefined, 60_000)
  t.after(() => clearInterval(alive))
  const directory = mkdtempSync(join(tmpdir(), 'midge-test-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Sleeps for a turn of the event loop; polls when the test says so, and never by itself. */
class PolledClock implements Clock {
  poll: () => void = () => undefined
  sleeps = 0
  onSleep: () => void = () => undefined
  now(): number {
    return Date.now()
  }
  monotonic(): number {
    return this.sleeps * 100
  }
  async sleep(): Promise<void> {
    this.sleeps++
    this.onSleep()
    await nextTurn()
  }
  every(_ms: number, tick: () => void): () => void {
    this.poll = tick
    return () => {
      this.poll = () => undefined
    }
  }
  after(): () => void {
    throw new Error('not used')
  }
}

interface Watched {
  readonly clock: PolledClock
  readonly notices: string[][]
  /** The next notice, past those already taken. */
  next(): Promise<string[]>
  close(): void
}

async function watch(
  t: TestContext,
  files: readonly string[],
  clock = new PolledClock(),
): Promise<Watched> {
  const events = new EventEmitter()
  const notices: string[][] = []
  let taken = 0
  const watching = await watchFiles({
    files,
    clock,
    onChange: (changed) => {
      notices.push([...changed])
      events.emit('notice')
    },
  })
  t.after(() => watching.close())
  const next = async (): Promise<string[]> => {
    while (notices.length <= taken) await once(events, 'notice')
    return notices[taken++] ?? []
  }
  return { clock, notices, next, close: () => watching.close() }
}

const replace = (file: string, text: string): void => {
  writeFileSync(`${file}.new`, text)
  renameSync(`${file}.new`, file)
}

const CHANGES: readonly (readonly [string, (file: string) => void])[] = [
  ['is replaced by rename', (file) => replace(file, 'new')],
  ['is written in place', (file) => writeFileSync(file, 'new')],
  ['is written in place with the same length', (file) => writeFileSync(file, 'dlo')],
  ['is removed', (file) => unlinkSync(file)],
]

for (const [what, change] of CHANGES) {
  test(`the file system tells when a file ${what}`, async (t) => {
    const file = join(temporaryDirectory(t), 'device-crl.pem')
    writeFileSync(file, 'old')
    const { next } = await watch(t, [file])
    change(file)
    assert.deepEqual(await next(), [file])
  })

  test(`a poll finds it when a file ${what} and nothing told`, async (t) => {
    const directory = temporaryDirectory(t)
    const hidden = join(directory, 'mount')
    mkdirSync(hidden)
    const file = join(hidden, 'device-crl.pem')
    writeFileSync(file, 'old')
    const { next, clock } = await watch(t, [file])
    // Another directory of the same name: its events reach no watcher.
    renameSync(hidden, `${hidden}-old`)
    mkdirSync(hidden)
    writeFileSync(file, 'old')
    change(file)
    clock.poll()
    assert.deepEqual(await next(), [file])
  })
}

test('a file that appears is noticed, and so is its directory', async (t) => {
  const directory = join(temporaryDirectory(t), 'certs')
  const file = join(directory, 'server.crt')
  const { next, clock } = await watch(t, [file])
  mkdirSync(directory)
  writeFileSync(file, 'first')
  clock.poll()
  assert.deepEqual(await next(), [file])
  // From now on without a poll: the new directory is watched.
  replace(file, 'second')
  assert.deepEqual(await next(), [file])
})

test('a symbolic link that is swapped is noticed, as Kubernetes mounts secrets', async (t) => {
  const directory = temporaryDirectory(t)
  for (const version of ['1', '2']) {
    mkdirSync(join(directory, `..${version}`))
    writeFileSync(join(directory, `..${version}`, 'tls.crt'), `certificate ${version}`)
  }
  symlinkSync('..1', join(directory, '..data'))
  symlinkSync(join('..data', 'tls.crt'), join(directory, 'tls.crt'))
  const file = join(directory, 'tls.crt')
  const { next } = await watch(t, [file])
  symlinkSync('..2', join(directory, '..data_tmp'))
  renameSync(join(directory, '..data_tmp'), join(directory, '..data'))
  assert.deepEqual(await next(), [file])
  assert.equal(readFileSync(file, 'utf8'), 'certificate 2')
})

test('the same content again is no notice', async (t) => {
  const directory = temporaryDirectory(t)
  const [same, other] = [join(directory, 'same'), join(directory, 'other')]
  for (const file of [same, other]) writeFileSync(file, 'old')
  const { next, notices } = await watch(t, [same, other])
  replace(same, 'old')
  utimesSync(same, 0, 0)
  replace(other, 'new')
  assert.deepEqual(await next(), [other])
  replace(other, 'newer')
  assert.deepEqual(await next(), [other])
  assert.deepEqual(notices, [[other], [other]])
})

test('what still changes is waited for, and one notice names all of it', async (t) => {
  const directory = temporaryDirectory(t)
  const [key, certificate] = [join(directory, 'server.key'), join(directory, 'server.crt')]
  for (const file of [key, certificate]) writeFileSync(file, 'old')
  const clock = new PolledClock()
  const { next, notices } = await watch(t, [key, certificate], clock)
  let rounds = 0
  clock.onSleep = () => {
    rounds++
    if (rounds === 1) writeFileSync(certificate, 'half')
    if (rounds === 2) writeFileSync(certificate, 'whole')
  }
  writeFileSync(key, 'new')
  assert.deepEqual((await next()).toSorted(), [certificate, key])
  assert.ok(rounds >= 3, `${rounds} rounds`)
  assert.equal(notices.length, 1)
})

test('what never stops changing is noticed all the same', async (t) => {
  const file = join(temporaryDirectory(t), 'restless')
  writeFileSync(file, 'old')
  const clock = new PolledClock()
  let size = 0
  clock.onSleep = () => writeFileSync(file, 'x'.repeat(++size))
  const { next, close } = await watch(t, [file], clock)
  writeFileSync(file, 'new')
  assert.deepEqual(await next(), [file])
  close()
  assert.ok(statSync(file).size >= 19, 'patience of 2000 ms in steps of 100')
})

test('a directory in the place of a file does no harm', async (t) => {
  const file = join(temporaryDirectory(t), 'crl.pem')
  mkdirSync(file)
  const { next, clock } = await watch(t, [file])
  rmSync(file, { recursive: true })
  writeFileSync(file, 'a list')
  clock.poll()
  assert.deepEqual(await next(), [file])
})

test('after close there are no notices', async (t) => {
  const directory = temporaryDirectory(t)
  const file = join(directory, 'file')
  writeFileSync(file, 'old')
  const first = await watch(t, [file])
  const second = await watch(t, [file])
  first.close()
  replace(file, 'new')
  first.clock.poll()
  assert.deepEqual(await second.next(), [file])
  assert.deepEqual(first.notices, [])
})

test('with the real clock too', async (t) => {
  const file = join(temporaryDirectory(t), 'file')
  writeFileSync(file, 'old')
  const changed = new Promise<readonly string[]>((resolve, reject) => {
    watchFiles({ files: [file], clock: systemClock, onChange: resolve, settleMs: 5 })
      .then((watching) => {
        t.after(() => watching.close())
        replace(file, 'new')
      })
      .catch(reject)
  })
  assert.deepEqual(await changed, [file])
})
