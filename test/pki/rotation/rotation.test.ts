import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ProbeResult } from '../../../pki/rotation/probe.ts'
import { Rotation } from '../../../pki/rotation/rotation.ts'
import type { Reading } from '../../../pki/rotation/state-machine.ts'
import { FakeClock } from '../../helpers/clock.ts'

interface Files {
  readonly hash: string
}

const good: ProbeResult = { ok: true, fingerprint: '', nameProblem: undefined }
const bad: ProbeResult = { ok: false, diagnosis: 'no handshake' }
const valid = (hash: string): Reading<Files> => ({
  kind: 'valid',
  identity: hash,
  candidate: { hash },
})
const missing: Reading<Files> = { kind: 'missing', identity: '', problem: 'no server.crt' }

/** A rotation among fakes, which writes down what happens. */
function rotating(t: TestContext, inUse: string | undefined) {
  const clock = new FakeClock()
  const world = {
    disk: inUse === undefined ? missing : valid(inUse),
    rehearsal: good as ProbeResult | undefined,
    refuses: false,
    verify: (): Promise<ProbeResult | undefined> => Promise.resolve(good),
  }
  const told: string[] = []
  let reads = 0
  const rotation = new Rotation<Files>(
    { checkIntervalMs: 5000, stabilityWindowMs: 10_000, cooldownMs: 60_000, swap: true },
    clock,
    {
      read: () => {
        reads++
        return Promise.resolve(world.disk)
      },
      rehearse: () => Promise.resolve(world.rehearsal),
      swap: ({ hash }) => {
        if (world.refuses) return Promise.reject(new Error('not taken'))
        told.push(`swap ${hash}`)
        return Promise.resolve()
      },
      verify: () => world.verify(),
      notes: {
        note: (note) => told.push(note.what === 'suppressed' ? note.reason : note.what),
        swapped: () => undefined,
        probed: (_candidate, stage, { ok }) => told.push(`${stage} ${ok ? 'good' : 'bad'}`),
        failed: (_candidate, problem) => told.push(`failed: ${problem}`),
        looked: () => undefined,
      },
    },
    inUse === undefined ? undefined : { hash: inUse },
  )
  t.after(() => rotation.close())
  const turns = async () => {
    for (let n = 0; n < 10; n++) await nextTurn()
  }
  return {
    rotation,
    world,
    told,
    reads: () => reads,
    turns,
    /** Moves the clock as time goes by: timers run, and what they started comes to its end. */
    async pass(seconds: number) {
      for (let s = 0; s < seconds; s++) {
        clock.advance(1000)
        await turns()
      }
    },
  }
}

test('files that appear are swapped in once, a window later, and then left alone', async (t) => {
  const { rotation, world, told, pass } = rotating(t, undefined)
  await rotation.start()
  assert.deepEqual(told, ['missing'])
  await pass(30)
  world.disk = valid('a')
  await pass(600)
  assert.deepEqual(told, ['missing', 'parsed', 'rehearsal good', 'swap a', 'verification good'])
  assert.equal(rotation.state, 'hash')
})

test('a rotation is one swap, and the next waits for the cooldown', async (t) => {
  const { rotation, world, told, pass } = rotating(t, 'a')
  await rotation.start()
  world.disk = valid('b')
  await pass(20)
  world.disk = valid('c')
  await pass(30)
  assert.equal(rotation.state, 'cooldown')
  const first = ['parsed', 'rehearsal good', 'swap b', 'verification good', 'parsed', 'cooldown']
  assert.deepEqual(told, first)
  await pass(600)
  assert.deepEqual(told, [...first, 'rehearsal good', 'swap c', 'verification good'])
})

test('files that cannot be served with are never swapped in, and seldom tried', async (t) => {
  const { rotation, world, told, pass } = rotating(t, 'a')
  world.rehearsal = bad
  await rotation.start()
  world.disk = valid('b')
  await pass(3600)
  assert.deepEqual(new Set(told), new Set(['parsed', 'rehearsal bad', 'failed: no handshake']))
  const tries = told.filter((each) => each === 'rehearsal bad').length
  assert.ok(tries > 5 && tries < 20, `${tries} tries in an hour`)
  assert.deepEqual(rotation.inUse, { hash: 'a' })
  world.disk = valid('a')
  await pass(20)
  assert.equal(told.at(-1), 'restored')
  assert.equal(rotation.problem, undefined)
})

test('a swap that is refused keeps the old, and is tried again', async (t) => {
  const { rotation, world, told, pass } = rotating(t, 'a')
  world.refuses = true
  await rotation.start()
  world.disk = valid('b')
  await pass(15)
  assert.deepEqual(rotation.inUse, { hash: 'a' })
  assert.equal(rotation.problem, 'not taken')
  world.refuses = false
  await pass(60)
  assert.equal(told.filter((each) => each === 'swap b').length, 1)
  assert.equal(rotation.problem, undefined)
})

test('a handshake after the swap that never ends holds up nothing, and is given up at the next swap', async (t) => {
  const { rotation, world, told, pass } = rotating(t, 'a')
  let late: (result: ProbeResult) => void = () => undefined
  world.verify = () => new Promise((resolve) => (late = resolve))
  await rotation.start()
  world.disk = valid('b')
  await pass(20)
  assert.ok(told.includes('swap b'))
  const lateOfB = late
  world.verify = () => Promise.resolve(bad)
  world.disk = valid('c')
  await pass(120)
  lateOfB(bad)
  await pass(1)
  assert.deepEqual(told.slice(-2), ['swap c', 'verification bad'])
  assert.equal(told.filter((each) => each.startsWith('verification')).length, 1)
  assert.deepEqual(rotation.inUse, { hash: 'c' })
})

test('without probes a change is swapped in unseen', async (t) => {
  const { rotation, world, told, pass } = rotating(t, 'a')
  world.rehearsal = undefined
  world.verify = () => Promise.resolve(undefined)
  await rotation.start()
  world.disk = valid('b')
  await pass(20)
  assert.deepEqual(told, ['parsed', 'swap b'])
})

test('a look that is asked for while one runs is not lost, and many asked for are one', async (t) => {
  const { rotation, reads } = rotating(t, 'a')
  await rotation.start()
  const before = reads()
  const looks = [rotation.look(), rotation.look(), rotation.look()]
  await Promise.all(looks)
  // The first read had begun when the others were asked for.
  assert.equal(reads() - before, 2)
  await rotation.look()
  assert.equal(reads() - before, 3)
})

test('nothing is read or swapped after close', async (t) => {
  const { rotation, world, told, pass, reads } = rotating(t, 'a')
  await rotation.start()
  world.disk = valid('b')
  await pass(6)
  rotation.close()
  const before = reads()
  await rotation.look(true)
  await pass(60)
  assert.equal(reads(), before)
  assert.deepEqual(told, ['parsed'])
})
