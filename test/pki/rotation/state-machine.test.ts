import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Outcome,
  type Reading,
  RotationStateMachine,
  type StateMachineSettings,
} from '../../../pki/rotation/state-machine.ts'

interface Files {
  readonly hash: string
}

const A: Files = { hash: 'a' }
const B: Files = { hash: 'b' }
const valid = (candidate: Files, identity = candidate.hash): Reading<Files> => ({
  kind: 'valid',
  identity,
  candidate,
})
const missing: Reading<Files> = { kind: 'missing', identity: 'none', problem: 'no server.crt' }
const malformed: Reading<Files> = {
  kind: 'malformed',
  identity: 'half',
  code: 'certificate_key_mismatch',
  problem: 'not its key',
}
const expired: Reading<Files> = { kind: 'expired', identity: 'old', problem: 'expired' }
const early: Reading<Files> = { kind: 'not_yet_valid', identity: 'early', problem: 'too early' }

const settings: StateMachineSettings = {
  stabilityWindowMs: 10,
  cooldownMs: 100,
  checkIntervalMs: 5,
  swap: true,
}

/** Of a listener that waits for its first files. */
function waiting(changes: Partial<StateMachineSettings> = {}) {
  return new RotationStateMachine<Files>({ ...settings, ...changes })
}

/** Of a listener that serves with A. */
function machine(changes: Partial<StateMachineSettings> = {}) {
  const made = waiting(changes)
  made.begin(A)
  return made
}

/** State, what it says, when it wants to look again. */
function shown({ state, notes, lookInMs }: Outcome<Files>): string {
  const said = notes.map((note) => (note.what === 'suppressed' ? note.reason : note.what))
  return [state, ...said, ...(lookInMs === undefined ? [] : [`${lookInMs} ms`])].join(', ')
}

type Look = readonly [at: number, reading: Reading<Files>, expected: string]

/** Each row: what is on disk from look to look, and where each look comes to rest. */
const TABLE: readonly (readonly [string, Partial<StateMachineSettings>, readonly Look[]])[] = [
  [
    'missing files are told once, after they stood still',
    {},
    [
      [0, missing, 'check, 10 ms'],
      [9, missing, 'check, 1 ms'],
      [10, missing, 'check, missing'],
      [20, missing, 'check'],
    ],
  ],
  [
    'half a pair that is completed in time is nobody’s mistake',
    {},
    [
      [0, malformed, 'parse, 10 ms'],
      [5, valid(B), 'stability, parsed, 10 ms'],
      [15, valid(B), 'probe'],
    ],
  ],
  [
    'a broken file is told once, and again after it was good',
    {},
    [
      [0, malformed, 'parse, 10 ms'],
      [10, malformed, 'parse, malformed'],
      [15, malformed, 'parse'],
      [20, valid(A), 'stability, 10 ms'],
      [30, valid(A), 'hash, restored'],
      [40, malformed, 'parse, 10 ms'],
      [50, malformed, 'parse, malformed'],
    ],
  ],
  [
    'an expired file is never let through',
    {},
    [
      [0, expired, 'validate, 10 ms'],
      [10, expired, 'validate, expired'],
      [10_000, expired, 'validate'],
    ],
  ],
  [
    'a certificate from the future waits for its time',
    {},
    [
      [0, early, 'validate, 10 ms'],
      [10, early, 'validate, not_yet_valid'],
      [20, valid(B, 'early'), 'probe, parsed'],
    ],
  ],
  [
    'each change begins the window anew',
    {},
    [
      [0, valid(B, 'b1'), 'stability, parsed, 10 ms'],
      [9, valid(B, 'b2'), 'stability, 10 ms'],
      [18, valid(B, 'b2'), 'stability, 1 ms'],
      [19, valid(B, 'b2'), 'probe'],
    ],
  ],
  [
    'the same content written again changes nothing',
    {},
    [
      [0, valid(A, 'touched'), 'stability, 10 ms'],
      [10, valid(A, 'touched'), 'hash'],
      [20, valid(A, 'touched'), 'hash'],
    ],
  ],
  [
    'without a swap nothing is put in force, which is told once for each change',
    { swap: false },
    [
      [0, valid(B), 'stability, parsed, 10 ms'],
      [10, valid(B), 'swap, disabled'],
      [20, valid(B), 'swap'],
      [30, valid(A), 'stability, parsed, 10 ms'],
      [40, valid(A), 'hash'],
    ],
  ],
]

for (const [title, changes, looks] of TABLE) {
  test(title, () => {
    const rotation = machine(changes)
    for (const [at, reading, expected] of looks) {
      assert.equal(shown(rotation.look(reading, at)), expected, `at ${at}`)
    }
  })
}

test('what a start without files finds first is told at once', () => {
  for (const [reading, expected] of [
    [missing, 'check, missing'],
    [expired, 'validate, expired'],
    [early, 'validate, not_yet_valid'],
  ] as const) {
    assert.equal(shown(waiting().look(reading, 0)), expected)
  }
})

test('the first files of a listener that waits: one swap, also where swaps are off', () => {
  const rotation = waiting({ swap: false })
  rotation.look(missing, 0)
  assert.equal(shown(rotation.look(valid(A), 20)), 'stability, parsed, 10 ms')
  assert.equal(rotation.look(valid(A), 30).candidate, A)
  rotation.swapped(A, 30)
  assert.equal(rotation.state, 'update')
  assert.equal(shown(rotation.look(valid(A), 40)), 'hash')
  assert.equal(rotation.look(valid(A), 50).candidate, undefined)
})

test('after a swap the next one waits for the cooldown, told once', () => {
  const rotation = waiting()
  rotation.look(missing, 0)
  rotation.look(valid(A), 20)
  rotation.look(valid(A), 30)
  rotation.swapped(A, 30)
  rotation.look(valid(B), 40)
  assert.equal(shown(rotation.look(valid(B), 50)), 'cooldown, cooldown, 80 ms')
  assert.equal(shown(rotation.look(valid(B), 129)), 'cooldown, 1 ms')
  assert.equal(rotation.look(valid(B), 130).candidate, B)
})

test('what is in use is not suppressed by the cooldown', () => {
  const rotation = machine()
  rotation.look(valid(B), 0)
  rotation.look(valid(B), 10)
  rotation.swapped(B, 10)
  assert.equal(shown(rotation.look(valid(B), 20)), 'hash')
})

test('a candidate that fails is tried again after delays that double, up to five minutes', () => {
  const rotation = machine({ checkIntervalMs: 5000 })
  rotation.look(valid(B), 0)
  let at = 10
  const delays: number[] = []
  for (let n = 0; n < 9; n++) {
    assert.equal(rotation.look(valid(B), at).candidate, B, `at ${at}`)
    const delay = rotation.failed(B, at, 'no handshake')
    delays.push(delay)
    assert.equal(shown(rotation.look(valid(B), at + delay - 1)), 'probe, 1 ms')
    at += delay
  }
  assert.deepEqual(
    delays,
    [5, 10, 20, 40, 80, 160, 300, 300, 300].map((s) => s * 1000),
  )
  assert.equal(rotation.problem, 'no handshake')
})

test('other files are tried at once after a failure, and a success ends the problem', () => {
  const rotation = machine()
  rotation.look(valid(B), 0)
  rotation.look(valid(B), 10)
  rotation.failed(B, 10, 'no handshake')
  const C = { hash: 'c' }
  rotation.look(valid(C), 11)
  assert.equal(rotation.look(valid(C), 21).candidate, C)
  rotation.swapped(C, 21)
  assert.equal(rotation.problem, undefined)
})

test('an operator who insists waits for nothing, and still gets no broken files', () => {
  const rotation = machine({ swap: false })
  assert.equal(rotation.look(valid(B), 0, true).candidate, B)
  rotation.swapped(B, 0)
  const C = { hash: 'c' }
  assert.equal(rotation.look(valid(C), 1, true).candidate, C)
  rotation.failed(C, 1, 'no handshake')
  assert.equal(rotation.look(valid(C), 1, true).candidate, C)
  assert.equal(shown(rotation.look(malformed, 2, true)), 'parse, malformed')
  assert.equal(shown(rotation.look(expired, 2, true)), 'validate, expired')
  assert.equal(shown(rotation.look(missing, 2, true)), 'check, missing')
})

test('a problem whose text holds the time is told once', () => {
  const rotation = machine()
  const at = (now: number): Reading<Files> => ({ ...expired, problem: `expired, it is ${now}` })
  rotation.look(at(0), 0)
  assert.equal(shown(rotation.look(at(10), 10)), 'validate, expired')
  assert.equal(shown(rotation.look(at(20), 20)), 'validate')
})
