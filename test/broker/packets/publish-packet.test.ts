import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodePublish, parsePublish, TopicMemo } from '../../../broker/packets/index.ts'
import { lengthPrefixed, packetOf } from '../../helpers/raw-client.ts'
import { BAD_STRINGS, frameOf, hex, refuseEach, type BadPacket } from './corpus.ts'

const SECTION = '(MQTT 3.1.1 §2.2.3)'
const qos0 = (topic: string | Buffer) => packetOf(0x30, lengthPrefixed(topic), Buffer.from('body'))

refuseEach([
  ['QoS 3', '36 05 00 01 61 00 07', 'PUBLISH: both QoS bits are set [MQTT-3.3.1-4]'],
  ['QoS 3 with DUP', '3e 05 00 01 61 00 07', 'PUBLISH: both QoS bits are set [MQTT-3.3.1-4]'],
  ['QoS 3 with RETAIN', '37 05 00 01 61 00 07', 'PUBLISH: both QoS bits are set [MQTT-3.3.1-4]'],
  ['QoS 3 of no body', '36 00', 'PUBLISH: both QoS bits are set [MQTT-3.3.1-4]'],
  ['DUP with QoS 0', '38 03 00 01 61', 'PUBLISH: DUP is set with QoS 0 [MQTT-3.3.1-2]'],
  ['DUP and RETAIN with QoS 0', '39 03 00 01 61', 'PUBLISH: DUP is set with QoS 0 [MQTT-3.3.1-2]'],
  ['no body', '30 00', `PUBLISH: ends inside Topic Name: 2 bytes expected, 0 left ${SECTION}`],
  [
    'one byte of body',
    '30 01 00',
    `PUBLISH: ends inside Topic Name: 2 bytes expected, 1 left ${SECTION}`,
  ],
  [
    'a topic name past the end',
    '30 04 00 03 61 62',
    `PUBLISH: ends inside Topic Name: 3 bytes expected, 2 left ${SECTION}`,
  ],
  [
    'a topic name that would end in the next packet',
    '30 02 00 03',
    `PUBLISH: ends inside Topic Name: 3 bytes expected, 0 left ${SECTION}`,
  ],
  [
    'a topic name of 65 535 bytes that are not there',
    '30 03 ff ff 61',
    `PUBLISH: ends inside Topic Name: 65535 bytes expected, 1 left ${SECTION}`,
  ],
  [
    'QoS 1 without a packet identifier',
    '32 03 00 01 61',
    `PUBLISH: ends inside Packet Identifier: 2 bytes expected, 0 left ${SECTION}`,
  ],
  [
    'QoS 2 with half a packet identifier',
    '34 04 00 01 61 01',
    `PUBLISH: ends inside Packet Identifier: 2 bytes expected, 1 left ${SECTION}`,
  ],
  [
    'packet identifier 0 with QoS 1',
    '32 05 00 01 61 00 00',
    'PUBLISH: Packet Identifier is 0 [MQTT-2.3.1-1]',
  ],
  [
    'packet identifier 0 with QoS 2 and a payload',
    '34 06 00 01 61 00 00 78',
    'PUBLISH: Packet Identifier is 0 [MQTT-2.3.1-1]',
  ],
  ['an empty topic name', '30 02 00 00', 'PUBLISH: Topic Name is empty [MQTT-4.7.3-1]'],
  [
    'an empty topic name before a payload',
    '32 06 00 00 00 01 61 62',
    'PUBLISH: Topic Name is empty [MQTT-4.7.3-1]',
  ],
  ['the topic name +', qos0('+'), 'PUBLISH: Topic Name "+" holds a wildcard [MQTT-3.3.2-2]'],
  ['the topic name #', qos0('#'), 'PUBLISH: Topic Name "#" holds a wildcard [MQTT-3.3.2-2]'],
  [
    'a + among others',
    qos0('a/b+/c'),
    'PUBLISH: Topic Name "a/b+/c" holds a wildcard [MQTT-3.3.2-2]',
  ],
  ['a # at the end', qos0('a/#'), 'PUBLISH: Topic Name "a/#" holds a wildcard [MQTT-3.3.2-2]'],
  [
    'a wildcard in a wider text',
    qos0('ä/#'),
    'PUBLISH: Topic Name "ä/#" holds a wildcard [MQTT-3.3.2-2]',
  ],
  [
    'a topic name of 201 levels',
    qos0('/'.repeat(200)),
    `PUBLISH: Topic Name "${'/'.repeat(60)}…" has 201 levels, too many`,
  ],
  [
    'a topic name of 65 535 slashes',
    qos0('/'.repeat(65_535)),
    `PUBLISH: Topic Name "${'/'.repeat(60)}…" has 65536 levels, too many`,
  ],
  ...BAD_STRINGS.map(
    ([title, octets, ending]): BadPacket => [
      `a topic name with ${title}`,
      qos0(hex(octets)),
      `PUBLISH: Topic Name ${ending}`,
    ],
  ),
])

type Good = readonly [title: string, octets: string, parsed: object]

const GOOD: readonly Good[] = [
  [
    'QoS 0 of no payload',
    '30 03 00 01 61',
    { topic: 'a', qos: 0, dup: false, retain: false, packetId: 0, payload: '' },
  ],
  [
    'QoS 0 with RETAIN: what follows the topic is payload',
    '31 05 00 01 61 00 00',
    { topic: 'a', qos: 0, dup: false, retain: true, packetId: 0, payload: '0000' },
  ],
  [
    'QoS 1',
    '32 06 00 01 61 01 02 ff',
    { topic: 'a', qos: 1, dup: false, retain: false, packetId: 258, payload: 'ff' },
  ],
  [
    'QoS 1 with DUP and RETAIN',
    '3b 05 00 01 61 ff ff',
    { topic: 'a', qos: 1, dup: true, retain: true, packetId: 65_535, payload: '' },
  ],
  [
    'QoS 2 with DUP',
    '3c 06 00 01 61 00 01 00',
    { topic: 'a', qos: 2, dup: true, retain: false, packetId: 1, payload: '00' },
  ],
  [
    'a topic of one slash',
    '30 03 00 01 2f',
    { topic: '/', qos: 0, dup: false, retain: false, packetId: 0, payload: '' },
  ],
  [
    'a topic of two, three and four byte characters',
    '30 0c 00 09 c3a9 e282ac f09f9880 78',
    { topic: 'é€😀', qos: 0, dup: false, retain: false, packetId: 0, payload: '78' },
  ],
  [
    'a topic with a byte order mark, which stays [MQTT-1.5.3-3]',
    '30 06 00 04 efbbbf 61',
    { topic: '\u{feff}a', qos: 0, dup: false, retain: false, packetId: 0, payload: '' },
  ],
  [
    'a Remaining Length of four bytes where one would do',
    '32 86 80 80 00 00 01 61 00 09 2a',
    { topic: 'a', qos: 1, dup: false, retain: false, packetId: 9, payload: '2a' },
  ],
]

for (const [title, octets, expected] of GOOD) {
  test(`${title} is read`, () => {
    const frame = frameOf(hex(octets))
    const topics = new TopicMemo()
    for (const _ of [1, 2]) {
      const packet = parsePublish(frame, topics)
      assert.deepEqual({ ...packet, payload: packet.payload.toString('hex') }, expected)
    }
  })
}

test('a topic name of 200 levels is taken', () => {
  const topic = '/'.repeat(199)
  assert.equal(parsePublish(frameOf(qos0(topic)), new TopicMemo()).topic, topic)
})

test('the longest topic name is taken', () => {
  const topic = 'é'.repeat(32_767) + 'x'
  assert.equal(parsePublish(frameOf(qos0(topic)), new TopicMemo()).topic, topic)
})

test('the payload is a view of the packet, not a copy', () => {
  const frame = frameOf(qos0('a/b'))
  const { payload } = parsePublish(frame, new TopicMemo())
  assert.equal(payload.buffer, frame.bytes.buffer)
  assert.equal(payload.byteOffset, frame.bytes.byteOffset + 7)
  assert.equal(payload.toString(), 'body')
})

test('what encodePublish writes is read as it was meant', () => {
  const topics = new TopicMemo()
  for (const payloadBytes of [0, 1, 100, 122, 123, 124, 16_374, 16_380, 16_384, 200_000]) {
    for (const qos of [0, 1, 2] as const) {
      const message = {
        topic: 'tä/1',
        payload: Buffer.alloc(payloadBytes, 'x'),
        qos,
        dup: qos > 0,
        retain: payloadBytes % 2 === 0,
        packetId: qos === 0 ? 0 : 65_535 - (payloadBytes % 100),
      }
      assert.deepEqual(parsePublish(frameOf(encodePublish(message)), topics), message)
    }
  }
})
