import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PasswordChecksBusy, Turns, type Applicant } from '../../../broker/identity/turns.ts'

const from = (address: string, isGone = () => false): Applicant => ({ address, isGone })

/** Work that ends when told to; `order` says who has begun. */
function workbench(maxRunning: number, maxWaiting: number) {
  const turns = new Turns(maxRunning, maxWaiting)
  const order: string[] = []
  const ends = new Map<string, () => void>()
  const begin = (name: string, applicant: Applicant): Promise<string> =>
    turns
      .take(() => {
        order.push(name)
        return new Promise<void>((end) => ends.set(name, end))
      }, applicant)
      .then(
        () => 'done',
        (err: unknown) => {
          assert.ok(err instanceof PasswordChecksBusy)
          return err.message
        },
      )
  /** Ends one; whoever has the next turn has begun when it settles. */
  const end = async (name: string): Promise<void> => {
    ends.get(name)?.()
    await new Promise(setImmediate)
  }
  return { begin, end, order }
}

const FULL = "2 log ins already wait for their password's hash"

const NETWORKS: readonly (readonly [one: string, other: string, isOne: boolean])[] = [
  ['192.0.2.1', '192.0.2.1', true],
  ['2001:db8:0:7::1', '2001:db8::7:1:2:3:4', true],
  ['2001:db8:0:7::1', '2001:db8:0:7:ffff:ffff:ffff:ffff', true],
  ['::1', '::2', true],
  ['unix', 'unix', true],
  ['192.0.2.1', '192.0.2.2', false],
  ['2001:db8:0:7::1', '2001:db8:0:8::1', false],
  ['::ffff:192.0.2.1', '::ffff:192.0.2.2', false],
  ['fe80::1', '2001:db8::1', false],
]

for (const [one, other, isOne] of NETWORKS) {
  test(`${one} and ${other} ${isOne ? 'share their' : 'have their own'} turns`, async () => {
    const { begin, end } = workbench(1, 2)
    const first = begin('running', from('198.51.100.1'))
    const waiting = [begin('a', from(one)), begin('b', from(one))]
    const late = begin('c', from(other))
    const answers = isOne ? ['done', 'done', FULL] : ['done', FULL, 'done']
    for (const name of ['running', 'a', 'b', 'c']) await end(name)
    assert.equal(await first, 'done')
    assert.deepEqual(await Promise.all([...waiting, late]), answers)
  })
}

test('whoever waits behind a flood from elsewhere has the turn after the next', async () => {
  const { begin, end, order } = workbench(1, 100)
  for (let i = 0; i < 50; i++) void begin(`flood${i}`, from('192.0.2.1'))
  void begin('right', from('192.0.2.2'))
  for (let i = 0; i < 3; i++) await end(order.at(-1) ?? '')
  assert.deepEqual(order, ['flood0', 'flood1', 'right', 'flood2'])
})

test('a flood that fills the room makes place for others, and for them only', async () => {
  const { begin, end, order } = workbench(1, 4)
  const flood = [0, 1, 2, 3, 4].map((i) => begin(`flood${i}`, from('192.0.2.1')))
  const late = begin('flood5', from('192.0.2.1'))
  const right = [0, 1].map((i) => begin(`right${i}`, from('192.0.2.2')))
  // Both have two places now, and neither takes one of the other.
  const more = begin('right2', from('192.0.2.2'))
  for (let i = 0; i < 5; i++) await end(order.at(-1) ?? '')
  const full = FULL.replace('2', '4')
  assert.deepEqual(await Promise.all([late, more]), [full, full])
  assert.deepEqual(await Promise.all(flood), ['done', 'done', 'done', full, full])
  assert.deepEqual(await Promise.all(right), ['done', 'done'])
  assert.deepEqual(order, ['flood0', 'flood1', 'right0', 'flood2', 'right1'])
})

test('who has gone holds no place, and has no turn', async () => {
  const { begin, end, order } = workbench(1, 2)
  let isGone = false
  const gone = (name: string) =>
    begin(
      name,
      from('192.0.2.1', () => isGone),
    )
  const running = gone('running')
  const waiting = [gone('a'), gone('b')]
  isGone = true
  // The room is full of them, and this one is of the same address.
  const next = begin('c', from('192.0.2.1'))
  const over = gone('d')
  await end('running')
  await end('c')
  const hung = 'the client has gone before its password was looked at'
  assert.deepEqual(await Promise.all(waiting), [hung, hung])
  assert.deepEqual(await Promise.all([running, next, over]), ['done', 'done', hung])
  assert.deepEqual(order, ['running', 'c'])
  // Everything has been given back.
  void begin('e', from('192.0.2.1'))
  assert.deepEqual(order, ['running', 'c', 'e'])
})
