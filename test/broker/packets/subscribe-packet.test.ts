import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  encodeSubscribe,
  encodeUnsubscribe,
  MalformedPacket,
  MAX_FILTERS_PER_PACKET,
  parseSubscribe,
  parseUnsubscribe,
} from '../../../broker/packets/index.ts'
import { lengthPrefixed, packetOf } from '../../helpers/raw-client.ts'
import { BAD_STRINGS, frameOf, hex, refuseEach, type BadPacket } from './corpus.ts'

const SECTION = '(MQTT 3.1.1 §2.2.3)'
const ID = [0, 7]
const subscribe = (filter: string | Buffer, qos = 0) =>
  packetOf(0x82, ID, lengthPrefixed(filter), [qos])
const unsubscribe = (filter: string | Buffer) => packetOf(0xa2, ID, lengthPrefixed(filter))

/** Filters MQTT 3.1.1 §4.7.1 and §4.7.3 do not allow, and how the refusal ends. */
const BAD_FILTERS: readonly (readonly [filter: string, ending: string])[] = [
  ['', 'is empty [MQTT-4.7.3-1]'],
  ['a#', '"a#" has # elsewhere than alone on the last level [MQTT-4.7.1-2]'],
  ['#a', '"#a" has # elsewhere than alone on the last level [MQTT-4.7.1-2]'],
  ['##', '"##" has # elsewhere than alone on the last level [MQTT-4.7.1-2]'],
  ['#/', '"#/" has # elsewhere than alone on the last level [MQTT-4.7.1-2]'],
  ['#/a', '"#/a" has # elsewhere than alone on the last level [MQTT-4.7.1-2]'],
  ['a/#/b', '"a/#/b" has # elsewhere than alone on the last level [MQTT-4.7.1-2]'],
  ['a/b#', '"a/b#" has # elsewhere than alone on the last level [MQTT-4.7.1-2]'],
  ['a/+#', '"a/+#" has # elsewhere than alone on the last level [MQTT-4.7.1-2]'],
  ['#/#', '"#/#" has # elsewhere than alone on the last level [MQTT-4.7.1-2]'],
  ['a+', '"a+" has + not alone on its level [MQTT-4.7.1-3]'],
  ['+a', '"+a" has + not alone on its level [MQTT-4.7.1-3]'],
  ['++', '"++" has + not alone on its level [MQTT-4.7.1-3]'],
  ['a/b+/c', '"a/b+/c" has + not alone on its level [MQTT-4.7.1-3]'],
  ['+/a+/#', '"+/a+/#" has + not alone on its level [MQTT-4.7.1-3]'],
  ['/'.repeat(200), `"${'/'.repeat(60)}…" has 201 levels, too many`],
  [`${'+/'.repeat(200)}#`, `"${'+/'.repeat(30)}…" has 201 levels, too many`],
]

refuseEach([
  [
    'no body',
    '82 00',
    `SUBSCRIBE: ends inside Packet Identifier: 2 bytes expected, 0 left ${SECTION}`,
  ],
  [
    'half a packet identifier',
    '82 01 00',
    `SUBSCRIBE: ends inside Packet Identifier: 2 bytes expected, 1 left ${SECTION}`,
  ],
  [
    'packet identifier 0',
    '82 06 00 00 00 01 61 00',
    'SUBSCRIBE: Packet Identifier is 0 [MQTT-2.3.1-1]',
  ],
  ['no filter', '82 02 00 07', 'SUBSCRIBE: no Topic Filter [MQTT-3.8.3-3]'],
  [
    'half a length',
    '82 03 00 07 00',
    `SUBSCRIBE: ends inside Topic Filter: 2 bytes expected, 1 left ${SECTION}`,
  ],
  [
    'half a filter',
    '82 05 00 07 00 02 61',
    `SUBSCRIBE: ends inside Topic Filter: 2 bytes expected, 1 left ${SECTION}`,
  ],
  [
    'a filter without QoS',
    '82 05 00 07 00 01 61',
    `SUBSCRIBE: ends inside Requested QoS: 1 bytes expected, 0 left ${SECTION}`,
  ],
  [
    'a second filter without QoS',
    '82 09 00 07 00 01 61 00 00 01 62',
    `SUBSCRIBE: ends inside Requested QoS: 1 bytes expected, 0 left ${SECTION}`,
  ],
  [
    'a byte after the last QoS',
    '82 07 00 07 00 01 61 00 00',
    `SUBSCRIBE: ends inside Topic Filter: 2 bytes expected, 1 left ${SECTION}`,
  ],
  [
    'two bytes after the last QoS',
    '82 08 00 07 00 01 61 00 00 00',
    'SUBSCRIBE: Topic Filter is empty [MQTT-4.7.3-1]',
  ],
  [
    'a filter of 65 535 bytes that are not there',
    '82 05 00 07 ff ff 61',
    `SUBSCRIBE: ends inside Topic Filter: 65535 bytes expected, 1 left ${SECTION}`,
  ],
  ...[3, 4, 7, 8, 0x40, 0x80, 0x81, 0xff].map(
    (qos): BadPacket => [
      `QoS byte ${qos}`,
      subscribe('a', qos),
      `SUBSCRIBE: Requested QoS byte is ${qos}, not 0, 1 or 2 [MQTT-3-8.3-4]`,
    ],
  ),
  [
    'a good filter before a bad one',
    packetOf(0x82, ID, lengthPrefixed('a'), [0], lengthPrefixed('b#'), [0]),
    'SUBSCRIBE: Topic Filter "b#" has # elsewhere than alone on the last level [MQTT-4.7.1-2]',
  ],
  [
    'no body',
    'a2 00',
    `UNSUBSCRIBE: ends inside Packet Identifier: 2 bytes expected, 0 left ${SECTION}`,
  ],
  [
    'packet identifier 0',
    'a2 05 00 00 00 01 61',
    'UNSUBSCRIBE: Packet Identifier is 0 [MQTT-2.3.1-1]',
  ],
  ['no filter', 'a2 02 00 07', 'UNSUBSCRIBE: no Topic Filter [MQTT-3.10.3-2]'],
  [
    'half a length',
    'a2 03 00 07 00',
    `UNSUBSCRIBE: ends inside Topic Filter: 2 bytes expected, 1 left ${SECTION}`,
  ],
  [
    'half a filter',
    'a2 05 00 07 00 02 61',
    `UNSUBSCRIBE: ends inside Topic Filter: 2 bytes expected, 1 left ${SECTION}`,
  ],
  [
    'a QoS byte',
    'a2 06 00 07 00 01 61 00',
    `UNSUBSCRIBE: ends inside Topic Filter: 2 bytes expected, 1 left ${SECTION}`,
  ],
  ...BAD_FILTERS.flatMap(([filter, ending]): BadPacket[] => {
    const title = `the filter ${filter.length > 20 ? `${filter.slice(0, 20)}…` : `"${filter}"`}`
    return [
      [title, subscribe(filter), `SUBSCRIBE: Topic Filter ${ending}`],
      [title, unsubscribe(filter), `UNSUBSCRIBE: Topic Filter ${ending}`],
    ]
  }),
  ...BAD_STRINGS.flatMap(([what, octets, ending]): BadPacket[] => {
    const bad = hex(octets)
    return [
      [`a filter with ${what}`, subscribe(bad), `SUBSCRIBE: Topic Filter ${ending}`],
      [`a filter with ${what}`, unsubscribe(bad), `UNSUBSCRIBE: Topic Filter ${ending}`],
    ]
  }),
])

test('a SUBSCRIBE of several filters is read in its order', () => {
  const frame = frameOf(hex('8210 ffff 0001 2b 02 0003 612f23 00 0001 2b 01'))
  assert.deepEqual(parseSubscribe(frame), {
    packetId: 65_535,
    subscriptions: [
      { topic: '+', qos: 2 },
      { topic: 'a/#', qos: 0 },
      { topic: '+', qos: 1 },
    ],
  })
})

test('an UNSUBSCRIBE of several filters is read in its order', () => {
  const frame = frameOf(hex('a20a 0001 0003 612f23 0001 2b'))
  assert.deepEqual(parseUnsubscribe(frame), { packetId: 1, topics: ['a/#', '+'] })
})

test('every filter MQTT allows is taken', () => {
  const filters = [
    'a',
    '/',
    '//',
    '#',
    '+',
    '+/+',
    '/#',
    '/+',
    '+/#',
    'a/+/b',
    'a/#',
    ' ',
    '$SYS/#',
    '$share/g/t',
    'é/€/😀',
    '\u{feff}a',
    '/'.repeat(199),
    'x'.repeat(65_535),
  ]
  for (const topic of filters) {
    assert.equal(parseSubscribe(frameOf(subscribe(topic))).subscriptions[0]?.topic, topic)
    assert.equal(parseUnsubscribe(frameOf(unsubscribe(topic))).topics[0], topic)
  }
})

test('what encodeSubscribe and encodeUnsubscribe write is read as it was meant', () => {
  for (const count of [1, 2, 40, 4000]) {
    const subscriptions = Array.from({ length: count }, (_, i) => ({
      topic: `tä/${i}/+`,
      qos: (i % 3) as 0 | 1 | 2,
    }))
    const topics = subscriptions.map(({ topic }) => topic)
    assert.deepEqual(parseSubscribe(frameOf(encodeSubscribe(count, subscriptions))), {
      packetId: count,
      subscriptions,
    })
    assert.deepEqual(parseUnsubscribe(frameOf(encodeUnsubscribe(count, topics))), {
      packetId: count,
      topics,
    })
  }
})

test('one packet names a bounded number of filters', () => {
  const topics = Array.from({ length: MAX_FILTERS_PER_PACKET }, () => 'a')
  const subscriptions = topics.map((topic) => ({ topic, qos: 0 as const }))
  const one = { topic: 'a', qos: 0 as const }
  assert.equal(
    parseSubscribe(frameOf(encodeSubscribe(1, subscriptions))).subscriptions.length,
    10_000,
  )
  assert.equal(parseUnsubscribe(frameOf(encodeUnsubscribe(1, topics))).topics.length, 10_000)
  assert.throws(
    () => parseSubscribe(frameOf(encodeSubscribe(1, [...subscriptions, one]))),
    new MalformedPacket('SUBSCRIBE: more than 10000 Topic Filters'),
  )
  assert.throws(
    () => parseUnsubscribe(frameOf(encodeUnsubscribe(1, [...topics, 'a']))),
    new MalformedPacket('UNSUBSCRIBE: more than 10000 Topic Filters'),
  )
})
