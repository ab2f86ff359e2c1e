/** One client floods, and another asks once: how much of the flood is served before it is answered. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  PacketType,
  encodeDisconnect,
  encodePingreq,
  encodeSubscribe,
  encodeUnsubscribe,
} from '../../broker/packets/index.ts'
import { PACKETS_OF_TURN, TurnShare, currentTurn } from '../../broker/turn.ts'
import { publishBytes } from '../helpers/bystanders.ts'
import { startBroker } from '../helpers/broker.ts'

function repeat(count: number, ...packets: readonly Buffer[]): Buffer {
  return Buffer.concat(Array.from({ length: count }, () => packets).flat())
}

test('so many in a turn, and as many again in the next', async () => {
  let turns = 0
  const share = new TurnShare(() => turns++)
  const take = () => {
    let taken = 0
    while (share.take()) taken++
    return taken
  }
  assert.equal(take(), PACKETS_OF_TURN)
  assert.deepEqual([share.isOver, take(), turns], [true, 0, 0])
  await nextTurn()
  assert.deepEqual([share.isOver, turns, take()], [false, 1, PACKETS_OF_TURN])
})

test('a share that was not used up is whole again in the next turn', async () => {
  const share = new TurnShare(() => assert.fail('nobody was kept waiting'))
  for (let turn = 0; turn < 3; turn++) {
    for (let i = 0; i < PACKETS_OF_TURN; i++) assert.equal(share.take(), true)
    const before = currentTurn()
    while (currentTurn() === before) await nextTurn()
  }
})

const topics = Array.from({ length: 50 }, (_, i) => `flood/${i}`)
const floods: readonly (readonly [
  title: string,
  bytes: Buffer,
  answer: PacketType,
  most: number,
])[] = [
  ['PINGREQ', repeat(30_000, encodePingreq()), PacketType.PINGRESP, 2500],
  [
    'SUBSCRIBE',
    repeat(20_000, encodeSubscribe(1, [{ topic: 'flood/#', qos: 0 }])),
    PacketType.SUBACK,
    2500,
  ],
  ['UNSUBSCRIBE', repeat(20_000, encodeUnsubscribe(1, ['flood/#'])), PacketType.UNSUBACK, 2500],
  ['PUBLISH', repeat(20_000, publishBytes('flood/1', 'x', 1)), PacketType.PUBACK, 2500],
  [
    'long SUBSCRIBE and UNSUBSCRIBE',
    repeat(
      400,
      encodeSubscribe(
        1,
        topics.map((topic) => ({ topic, qos: 0 })),
      ),
      encodeUnsubscribe(1, topics),
    ),
    PacketType.SUBACK,
    100,
  ],
]
for (const [title, bytes, answer, most] of floods) {
  test(`a flood of ${title} is not served to its end before others are`, async (t) => {
    const { client } = await startBroker(t)
    const flooder = await client('flooder')
    const bystander = await client('bystander')
    flooder.send(bytes)
    let answered = 0
    const counting = (async () => {
      for (;;) {
        await flooder.next(answer)
        answered++
      }
    })()
    await bystander.ping()
    const before = answered
    // Both wrote in one turn; a few pass until the broker has read both.
    assert.ok(before <= most, `${before} before the bystander's`)
    flooder.destroy()
    await assert.rejects(counting)
  })
}

test('what was sent before the end of the stream is served, however much it is', async (t) => {
  const { client } = await startBroker(t)
  const watcher = await client('watcher')
  await watcher.subscribe(['end/#', 'will'], 0)
  const peer = await client('peer', { will: { topic: 'will', payload: 'not this' } })
  const count = 3000
  peer.stream.end(Buffer.concat([repeat(count, publishBytes('end/n', 'x', 0)), encodeDisconnect()]))
  for (let i = 0; i < count; i++) assert.equal((await watcher.receive()).topic, 'end/n')
  await peer.closed
  await watcher.ping()
  assert.deepEqual(watcher.unread, [])
})

test('what was sent before a client hung up without DISCONNECT is served, and its Will comes after', async (t) => {
  const { client } = await startBroker(t)
  const watcher = await client('watcher')
  await watcher.subscribe(['end/#', 'will'], 0)
  const peer = await client('peer', { will: { topic: 'will', payload: 'gone' } })
  const count = 3000
  peer.stream.end(repeat(count, publishBytes('end/n', 'x', 0)))
  for (let i = 0; i < count; i++) assert.equal((await watcher.receive()).topic, 'end/n')
  assert.equal((await watcher.receive()).topic, 'will')
})
