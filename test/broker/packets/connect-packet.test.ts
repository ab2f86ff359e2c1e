import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ConnectRejected,
  encodeConnect,
  MalformedPacket,
  parseConnect,
} from '../../../broker/packets/index.ts'
import { connectBytes, lengthPrefixed, packetOf } from '../../helpers/raw-client.ts'
import { BAD_STRINGS, frameOf, hex, refuseEach, type BadPacket } from './corpus.ts'

const NAME_AND_LEVEL = Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54, 4])
const LEVEL_3 = { protocolName: 'MQIsdp', protocolLevel: 3 }
const SECTION = '(MQTT 3.1.1 §2.2.3)'

/** A body cut off after `length` bytes, in a packet that says so. */
const cutTo = (bytes: Buffer, length: number) => packetOf(0x10, bytes.subarray(2, 2 + length))

const full = connectBytes({
  clientId: 'pump-7',
  will: { topic: 'gone', payload: 'bye' },
  userName: 'acme',
  password: 'secret',
})

refuseEach([
  [
    'another protocol name',
    connectBytes({ protocolName: 'HTTP' }),
    'CONNECT: Protocol Name is "HTTP", neither "MQTT" nor "MQIsdp" [MQTT-3.1.2-1]',
  ],
  [
    'a protocol name in lower case',
    connectBytes({ protocolName: 'mqtt' }),
    'CONNECT: Protocol Name is "mqtt", neither "MQTT" nor "MQIsdp" [MQTT-3.1.2-1]',
  ],
  [
    'a protocol name that goes on',
    connectBytes({ protocolName: 'MQTTS' }),
    'CONNECT: Protocol Name is "MQTTS", neither "MQTT" nor "MQIsdp" [MQTT-3.1.2-1]',
  ],
  [
    'a protocol name with U+0000 behind it',
    connectBytes({ protocolName: 'MQTT\0' }),
    String.raw`CONNECT: Protocol Name is "MQTT\u0000", neither "MQTT" nor "MQIsdp" [MQTT-3.1.2-1]`,
  ],
  [
    'an empty protocol name',
    connectBytes({ protocolName: '' }),
    'CONNECT: Protocol Name is "", neither "MQTT" nor "MQIsdp" [MQTT-3.1.2-1]',
  ],
  [
    'a long protocol name, cut in the message',
    connectBytes({ protocolName: 'x'.repeat(500) }),
    `CONNECT: Protocol Name is "${'x'.repeat(60)}…", neither "MQTT" nor "MQIsdp" [MQTT-3.1.2-1]`,
  ],
  ['no body', '10 00', `CONNECT: ends inside Protocol Name: 2 bytes expected, 0 left ${SECTION}`],
  [
    'one byte of body',
    '10 01 00',
    `CONNECT: ends inside Protocol Name: 2 bytes expected, 1 left ${SECTION}`,
  ],
  [
    'a protocol name past the end',
    '10 04 00 04 4d 51',
    `CONNECT: ends inside Protocol Name: 4 bytes expected, 2 left ${SECTION}`,
  ],
  [
    'a protocol name of 65 535 bytes that are not there',
    '10 06 ff ff 4d 51 54 54',
    `CONNECT: ends inside Protocol Name: 65535 bytes expected, 4 left ${SECTION}`,
  ],
  [
    'no protocol level',
    cutTo(full, 6),
    `CONNECT: ends inside Protocol Level: 1 bytes expected, 0 left ${SECTION}`,
  ],
  [
    'no connect flags',
    cutTo(full, 7),
    `CONNECT: ends inside Connect Flags: 1 bytes expected, 0 left ${SECTION}`,
  ],
  [
    'no keep alive',
    cutTo(full, 8),
    `CONNECT: ends inside Keep Alive: 2 bytes expected, 0 left ${SECTION}`,
  ],
  [
    'half a keep alive',
    cutTo(full, 9),
    `CONNECT: ends inside Keep Alive: 2 bytes expected, 1 left ${SECTION}`,
  ],
  [
    'no client identifier [MQTT-3.1.3-3]',
    cutTo(full, 10),
    `CONNECT: ends inside Client Identifier: 2 bytes expected, 0 left ${SECTION}`,
  ],
  [
    'half a client identifier',
    cutTo(full, 15),
    `CONNECT: ends inside Client Identifier: 6 bytes expected, 3 left ${SECTION}`,
  ],
  [
    'Will Flag without a will topic [MQTT-3.1.2-9]',
    cutTo(full, 18),
    `CONNECT: ends inside Will Topic: 2 bytes expected, 0 left ${SECTION}`,
  ],
  [
    'half a will topic',
    cutTo(full, 22),
    `CONNECT: ends inside Will Topic: 4 bytes expected, 2 left ${SECTION}`,
  ],
  [
    'Will Flag without a will message [MQTT-3.1.2-9]',
    cutTo(full, 24),
    `CONNECT: ends inside Will Message: 2 bytes expected, 0 left ${SECTION}`,
  ],
  [
    'half a will message',
    cutTo(full, 28),
    `CONNECT: ends inside Will Message: 3 bytes expected, 2 left ${SECTION}`,
  ],
  [
    'User Name Flag without a user name [MQTT-3.1.2-19]',
    cutTo(full, 29),
    `CONNECT: ends inside User Name: 2 bytes expected, 0 left ${SECTION}`,
  ],
  [
    'half a user name',
    cutTo(full, 34),
    `CONNECT: ends inside User Name: 4 bytes expected, 3 left ${SECTION}`,
  ],
  [
    'Password Flag without a password [MQTT-3.1.2-21]',
    cutTo(full, 35),
    `CONNECT: ends inside Password: 2 bytes expected, 0 left ${SECTION}`,
  ],
  [
    'half a password, which is not quoted',
    cutTo(full, 40),
    `CONNECT: ends inside Password: 6 bytes expected, 3 left ${SECTION}`,
  ],
  [
    'half a user name in MQTT 3.1',
    connectBytes({ ...LEVEL_3, clientId: 'a', flags: 0x82, trailing: Buffer.from([0, 4, 0x61]) }),
    `CONNECT: ends inside User Name: 4 bytes expected, 1 left ${SECTION}`,
  ],
  [
    'half a password in MQTT 3.1',
    connectBytes({
      ...LEVEL_3,
      clientId: 'a',
      flags: 0xc2,
      userName: 'u',
      trailing: Buffer.from([0]),
    }),
    `CONNECT: ends inside Password: 2 bytes expected, 1 left ${SECTION}`,
  ],
  [
    'a byte after the client identifier',
    connectBytes({ clientId: 'a', trailing: Buffer.from([0]) }),
    `CONNECT: 1 bytes after the last field ${SECTION}`,
  ],
  [
    'a user name without its flag [MQTT-3.1.2-18]',
    connectBytes({ clientId: 'a', flags: 0x02, userName: 'acme' }),
    `CONNECT: 6 bytes after the last field ${SECTION}`,
  ],
  [
    'a password without its flag [MQTT-3.1.2-20]',
    connectBytes({ clientId: 'a', flags: 0x82, userName: 'acme', password: 'secret' }),
    `CONNECT: 8 bytes after the last field ${SECTION}`,
  ],
  [
    'a byte after the password',
    connectBytes({ userName: 'a', password: 'b', trailing: Buffer.from([0]) }),
    `CONNECT: 1 bytes after the last field ${SECTION}`,
  ],
  [
    'a byte after the client identifier in MQTT 3.1',
    connectBytes({ ...LEVEL_3, clientId: 'a', trailing: Buffer.from([0]) }),
    `CONNECT: 1 bytes after the last field ${SECTION}`,
  ],
  [
    'a second packet inside the first',
    connectBytes({ clientId: 'a', trailing: connectBytes() }),
    `CONNECT: 14 bytes after the last field ${SECTION}`,
  ],
  [
    'the reserved flag',
    connectBytes({ clientId: 'a', flags: 0x03 }),
    'CONNECT: the reserved Connect Flag is set [MQTT-3.1.2-3]',
  ],
  [
    'Will QoS 1 without Will Flag',
    connectBytes({ clientId: 'a', flags: 0x0a }),
    'CONNECT: Will QoS is 1 without Will Flag [MQTT-3.1.2-11, -13]',
  ],
  [
    'Will QoS 2 without Will Flag',
    connectBytes({ clientId: 'a', flags: 0x12 }),
    'CONNECT: Will QoS is 2 without Will Flag [MQTT-3.1.2-11, -13]',
  ],
  [
    'Will QoS 3 without Will Flag',
    connectBytes({ clientId: 'a', flags: 0x1a }),
    'CONNECT: Will QoS is 3 without Will Flag [MQTT-3.1.2-11, -13]',
  ],
  [
    'Will Retain without Will Flag',
    connectBytes({ clientId: 'a', flags: 0x22 }),
    'CONNECT: Will Retain is set without Will Flag [MQTT-3.1.2-11, -15]',
  ],
  [
    'Will QoS 3',
    connectBytes({ clientId: 'a', will: { topic: 't', payload: '', qos: 3 } }),
    'CONNECT: Will QoS is 3 [MQTT-3.1.2-14]',
  ],
  [
    'Will QoS 3 in MQTT 3.1',
    connectBytes({ ...LEVEL_3, clientId: 'a', will: { topic: 't', payload: '', qos: 3 } }),
    'CONNECT: Will QoS is 3 [MQTT-3.1.2-14]',
  ],
  [
    'a password without a user name',
    connectBytes({ clientId: 'a', password: 'secret' }),
    'CONNECT: Password Flag without User Name Flag [MQTT-3.1.2-22]',
  ],
  [
    'a password without a user name in MQTT 3.1',
    connectBytes({ ...LEVEL_3, clientId: 'a', password: 'secret' }),
    'CONNECT: Password Flag without User Name Flag [MQTT-3.1.2-22]',
  ],
  [
    'an empty will topic',
    connectBytes({ will: { topic: '', payload: 'x' } }),
    'CONNECT: Will Topic is empty [MQTT-4.7.3-1]',
  ],
  [
    'a + in a will topic',
    connectBytes({ will: { topic: 'a/+/b', payload: 'x' } }),
    'CONNECT: Will Topic "a/+/b" holds a wildcard [MQTT-4.7.1-1]',
  ],
  [
    'a # in a will topic',
    connectBytes({ will: { topic: 'a/#', payload: 'x' } }),
    'CONNECT: Will Topic "a/#" holds a wildcard [MQTT-4.7.1-1]',
  ],
  [
    'a will topic of 201 levels',
    connectBytes({ will: { topic: '/'.repeat(200), payload: 'x' } }),
    `CONNECT: Will Topic "${'/'.repeat(60)}…" has 201 levels, too many`,
  ],
  ...BAD_STRINGS.flatMap(([title, octets, ending]): BadPacket[] => {
    const bad = hex(octets)
    return [
      [
        `a client identifier with ${title}`,
        connectBytes({ clientId: bad }),
        `CONNECT: Client Identifier ${ending}`,
      ],
      [
        `a will topic with ${title}`,
        connectBytes({ will: { topic: bad, payload: 'x' } }),
        `CONNECT: Will Topic ${ending}`,
      ],
      [
        `a user name with ${title} [MQTT-3.1.3-11]`,
        connectBytes({ userName: bad, password: 'secret' }),
        `CONNECT: User Name ${ending}`,
      ],
    ]
  }),
])

const CONNACK_1 = '20020001'
const CONNACK_2 = '20020002'
const CONNACK_MQTT5_UNSUPPORTED = '2003008400'

type Rejection = readonly [
  title: string,
  packet: Buffer,
  reply: string,
  reason: ConnectRejected['reason'],
  message: string,
]

const levelMessage = (level: number, name: string) =>
  `CONNECT: Protocol Level is ${level} of "${name}", not 4 of "MQTT" or 3 of "MQIsdp" [MQTT-3.1.2-2]`

const rejections: readonly Rejection[] = [
  ...[0, 1, 2, 3, 6, 127].map(
    (level): Rejection => [
      `MQTT of level ${level} is answered with return code 1`,
      connectBytes({ protocolLevel: level, clientId: 'a' }),
      CONNACK_1,
      'protocol_level',
      levelMessage(level, 'MQTT'),
    ],
  ),
  ...[0, 2, 4, 5, 127].map(
    (level): Rejection => [
      `MQIsdp of level ${level} is answered with return code 1`,
      connectBytes({ protocolName: 'MQIsdp', protocolLevel: level, clientId: 'a' }),
      CONNACK_1,
      'protocol_level',
      levelMessage(level, 'MQIsdp'),
    ],
  ),
  [
    'a bridge of MQTT level 3 is answered with return code 1',
    connectBytes({ protocolLevel: 0x83, clientId: 'a' }),
    CONNACK_1,
    'protocol_level',
    levelMessage(3, 'MQTT'),
  ],
  [
    'a level alone is enough to be answered, whatever should follow',
    packetOf(0x10, lengthPrefixed('MQTT'), [6]),
    CONNACK_1,
    'protocol_level',
    levelMessage(6, 'MQTT'),
  ],
  [
    'MQTT 5 is answered in MQTT 5, so that the client can fall back',
    // Clean Start, Keep Alive 60, Session Expiry Interval, an empty Client Identifier.
    packetOf(0x10, lengthPrefixed('MQTT'), [5, 2, 0, 60, 5, 0x11, 0, 0, 0, 10, 0, 0]),
    CONNACK_MQTT5_UNSUPPORTED,
    'protocol_level',
    levelMessage(5, 'MQTT'),
  ],
  [
    'MQTT 5 is answered before its flags are looked at',
    connectBytes({ protocolLevel: 5, flags: 0xff }),
    CONNACK_MQTT5_UNSUPPORTED,
    'protocol_level',
    levelMessage(5, 'MQTT'),
  ],
  [
    'an empty Client Identifier with Clean Session 0 is answered with return code 2',
    connectBytes({ clientId: '', clean: false }),
    CONNACK_2,
    'client_id',
    'CONNECT: Client Identifier is empty with Clean Session 0 [MQTT-3.1.3-8]',
  ],
  [
    'an empty Client Identifier in MQTT 3.1 is answered with return code 2',
    connectBytes({ ...LEVEL_3, clientId: '' }),
    CONNACK_2,
    'client_id',
    'CONNECT: Client Identifier is empty in MQTT 3.1',
  ],
  [
    'an empty Client Identifier in MQTT 3.1 with Clean Session 0 is answered with return code 2',
    connectBytes({ ...LEVEL_3, clientId: '', clean: false }),
    CONNACK_2,
    'client_id',
    'CONNECT: Client Identifier is empty in MQTT 3.1',
  ],
]

for (const [title, packet, reply, reason, message] of rejections) {
  test(title, () => {
    assert.throws(
      () => parseConnect(frameOf(packet)),
      (err) => {
        assert.ok(err instanceof ConnectRejected, String(err))
        assert.equal(err.reply.toString('hex'), reply)
        assert.equal(err.reason, reason)
        assert.equal(err.code, 'CONNECT_REJECTED')
        assert.equal(err.message, message)
        return true
      },
    )
  })
}

test('an empty Client Identifier in a malformed CONNECT gets no answer', () => {
  const packet = connectBytes({ clientId: '', clean: false, trailing: Buffer.from([0]) })
  assert.throws(() => parseConnect(frameOf(packet)), MalformedPacket)
})

test('a CONNECT of every field is read', () => {
  const packet = connectBytes({
    clean: false,
    keepAlive: 65_535,
    clientId: 'pumpe-ä-😀',
    will: { topic: 'tenant/acme/gone', payload: Buffer.from([0, 255, 1]), qos: 2, retain: true },
    userName: 'acme/pump-7',
    password: Buffer.from([0, 0xff, 0]),
  })
  assert.deepEqual(parseConnect(frameOf(packet)), {
    protocolName: 'MQTT',
    protocolLevel: 4,
    bridge: false,
    clean: false,
    keepAlive: 65_535,
    clientId: 'pumpe-ä-😀',
    will: { topic: 'tenant/acme/gone', payload: Buffer.from([0, 255, 1]), qos: 2, retain: true },
    userName: 'acme/pump-7',
    password: Buffer.from([0, 0xff, 0]),
  })
})

test('a CONNECT of no optional field is read', () => {
  assert.deepEqual(parseConnect(frameOf(packetOf(0x10, NAME_AND_LEVEL, [2, 1, 2, 0, 0]))), {
    protocolName: 'MQTT',
    protocolLevel: 4,
    bridge: false,
    clean: true,
    keepAlive: 258,
    clientId: '',
    will: undefined,
    userName: undefined,
    password: undefined,
  })
})

test('each flag is read on its own', () => {
  const read = (fields: Parameters<typeof connectBytes>[0]) =>
    parseConnect(frameOf(connectBytes({ clientId: 'a', ...fields })))
  assert.equal(read({ clean: true }).clean, true)
  assert.equal(read({ clean: false }).clean, false)
  for (const qos of [0, 1, 2]) {
    for (const retain of [false, true]) {
      const { will } = read({ will: { topic: 't', payload: '', qos, retain } })
      assert.deepEqual(will, { topic: 't', payload: Buffer.alloc(0), qos, retain })
    }
  }
  const { userName, password } = read({ userName: '' })
  assert.deepEqual([userName, password], ['', undefined])
  assert.deepEqual(read({ userName: 'u', password: '' }).password, Buffer.alloc(0))
})

test('bit 7 of the level tells a bridge, in both versions', () => {
  const levels = [
    { protocolName: 'MQTT', protocolLevel: 0x84 },
    { protocolName: 'MQIsdp', protocolLevel: 0x83 },
  ]
  for (const fields of levels) {
    const packet = parseConnect(frameOf(connectBytes({ ...fields, clientId: 'a' })))
    assert.equal(packet.bridge, true)
    assert.equal(packet.protocolLevel, fields.protocolLevel & 0x7f)
    assert.equal(packet.protocolName, fields.protocolName)
  }
})

test('a Client Identifier may be longer than 23 characters, in MQTT 3.1 too', () => {
  const clientId = 'x'.repeat(4000)
  assert.equal(parseConnect(frameOf(connectBytes({ clientId }))).clientId, clientId)
  assert.equal(parseConnect(frameOf(connectBytes({ ...LEVEL_3, clientId }))).clientId, clientId)
})

test('in MQTT 3.1 the reserved flag and Will bits without Will Flag mean nothing', () => {
  const packet = connectBytes({ ...LEVEL_3, clientId: 'a', flags: 0x2b })
  const { clean, will } = parseConnect(frameOf(packet))
  assert.deepEqual([clean, will], [true, undefined])
})

test('in MQTT 3.1 User Name and Password may be left out though their flags are set', () => {
  const neither = connectBytes({ ...LEVEL_3, clientId: 'a', flags: 0xc2 })
  const noPassword = connectBytes({ ...LEVEL_3, clientId: 'a', flags: 0xc2, userName: 'u' })
  const read = (packet: Buffer) => {
    const { userName, password } = parseConnect(frameOf(packet))
    return [userName, password]
  }
  assert.deepEqual(read(neither), [undefined, undefined])
  assert.deepEqual(read(noPassword), ['u', undefined])
})

test('a will topic of 200 levels is taken', () => {
  const will = { topic: '/'.repeat(199), payload: '' }
  assert.equal(parseConnect(frameOf(connectBytes({ will }))).will?.topic, will.topic)
})

test('a byte order mark stays in a Client Identifier [MQTT-1.5.3-3]', () => {
  const { clientId } = parseConnect(frameOf(connectBytes({ clientId: '\u{feff}a' })))
  assert.equal(clientId, '\u{feff}a')
})

test('a body cut anywhere is refused', () => {
  const body = full.subarray(2)
  for (let length = 0; length < body.length; length++) {
    assert.throws(
      () => parseConnect(frameOf(cutTo(full, length))),
      (err) => err instanceof MalformedPacket && /: ends inside /u.test(err.message),
      `${length} bytes`,
    )
  }
})

test('a refusal tells neither password nor user name nor will message', () => {
  const secret = { userName: 'sesame-user', password: 'sesame-password' }
  const will = { topic: 'a/+', payload: 'sesame-will' }
  const packets = [
    connectBytes({ ...secret, trailing: Buffer.from('sesame-trailing') }),
    connectBytes({ ...secret, flags: 0x42 }),
    connectBytes({ ...secret, will }),
    connectBytes({ ...secret, userName: Buffer.from('sesame\xff', 'latin1') }),
    connectBytes({ ...secret, flags: 0xc3 }),
    connectBytes({ ...secret, protocolLevel: 5 }),
  ]
  for (const packet of packets) {
    assert.throws(
      () => parseConnect(frameOf(packet)),
      (err: Error) => !/sesame/u.test(`${err.message} ${err.stack} ${JSON.stringify(err)}`),
    )
  }
})

test('what encodeConnect writes is read as it was meant', () => {
  const will = { topic: 'gone/ü', payload: Buffer.from('bye'), qos: 1 as const, retain: true }
  for (const clean of [false, true]) {
    for (const one of [undefined, will, { ...will, qos: 2 as const, retain: false }]) {
      const packet = parseConnect(frameOf(encodeConnect({ clientId: 'é-1', clean, will: one })))
      assert.deepEqual(packet, {
        protocolName: 'MQTT',
        protocolLevel: 4,
        bridge: false,
        clean,
        keepAlive: 0,
        clientId: 'é-1',
        will: one,
        userName: undefined,
        password: undefined,
      })
    }
  }
  const old = encodeConnect({ clientId: 'a', clean: true, will: undefined, protocolLevel: 3 })
  assert.equal(parseConnect(frameOf(old)).protocolName, 'MQIsdp')
  assert.equal(parseConnect(frameOf(old)).protocolLevel, 3)
})
