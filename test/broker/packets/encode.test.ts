import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  encodeAcknowledgement,
  encodeAcknowledgements,
  encodeConnack,
  encodeConnect,
  encodeDisconnect,
  encodePingreq,
  encodePublish,
  encodePublishHead,
  encodeSuback,
  encodeSubscribe,
  encodeUnsuback,
  encodeUnsubscribe,
  PacketType,
  PINGRESP,
} from '../../../broker/packets/index.ts'
import { hex } from './corpus.ts'

const PLAIN = { topic: 'a', payload: Buffer.from('xy'), dup: false, retain: false } as const

test('every packet has the bytes of the specification', () => {
  const rows: readonly (readonly [Buffer, string])[] = [
    [encodeConnack(0, false), '20020000'],
    [encodeConnack(0, true), '20020100'],
    [encodeConnack(5, false), '20020005'],
    [PINGRESP, 'd000'],
    [encodeSuback(258, [0, 1, 2, 0x80]), '90060102 00010280'],
    [encodeUnsuback(65_535), 'b002ffff'],
    [encodePublish({ ...PLAIN, qos: 0, packetId: 0 }), '3005000161 7879'],
    [encodePublish({ ...PLAIN, qos: 0, packetId: 9 }), '3005000161 7879'],
    [encodePublish({ ...PLAIN, qos: 1, packetId: 258 }), '3207000161 0102 7879'],
    [encodePublish({ ...PLAIN, qos: 2, packetId: 65_535 }), '3407000161 ffff 7879'],
    [encodePublish({ ...PLAIN, qos: 0, packetId: 0, retain: true }), '3105000161 7879'],
    [
      encodePublish({ ...PLAIN, qos: 1, packetId: 1, dup: true, retain: true }),
      '3b07000161 0001 7879',
    ],
    [
      encodePublish({ ...PLAIN, topic: 'é€😀', payload: Buffer.alloc(0), qos: 0, packetId: 0 }),
      '300b0009c3a9e282acf09f9880',
    ],
    [encodeAcknowledgement(PacketType.PUBACK, 1), '40020001'],
    [encodeAcknowledgement(PacketType.PUBREC, 256), '50020100'],
    [encodeAcknowledgement(PacketType.PUBREL, 65_535), '6202ffff'],
    [encodeAcknowledgement(PacketType.PUBCOMP, 7), '70020007'],
    [encodeAcknowledgements(PacketType.PUBACK, []), ''],
    [encodeAcknowledgements(PacketType.PUBACK, [1, 515, 2]), '40020001 40020203 40020002'],
    [encodeAcknowledgements(PacketType.PUBREL, [1, 2]), '62020001 62020002'],
    [
      encodeConnect({ clientId: 'a', clean: true, will: undefined }),
      '100d00044d515454 04020000 000161',
    ],
    [
      encodeConnect({ clientId: '', clean: false, will: undefined, protocolLevel: 3 }),
      '100e00064d5149736470 03000000 0000',
    ],
    [
      encodeConnect({
        clientId: 'a',
        clean: true,
        will: { topic: 't', payload: Buffer.from([0]), qos: 2, retain: true },
      }),
      '101300044d515454 04360000 000161 000174 000100',
    ],
    [
      encodeSubscribe(1, [
        { topic: 'a', qos: 2 },
        { topic: '#', qos: 0 },
      ]),
      '820a0001 00016102 00012300',
    ],
    [encodeUnsubscribe(258, ['a', '#']), 'a2080102 000161 000123'],
    [encodeDisconnect(), 'e000'],
    [encodePingreq(), 'c000'],
  ]
  for (const [bytes, text] of rows) assert.equal(bytes.toString('hex'), hex(text).toString('hex'))
})

test('a refusing CONNACK never says that a Session is present [MQTT-3.2.2-4]', () => {
  assert.equal(encodeConnack(5, true).toString('hex'), '20020005')
})

test('the Remaining Length takes the bytes it needs', () => {
  const rows = [
    [127, '307f'],
    [128, '308001'],
    [16_383, '30ff7f'],
    [16_384, '30808001'],
    [2_097_151, '30ffff7f'],
    [2_097_152, '3080808001'],
    [268_435_455, '30ffffff7f'],
  ] as const
  for (const [remaining, header] of rows) {
    const head = encodePublishHead(
      { topic: 'a', qos: 0, dup: false, retain: false, packetId: 0 },
      remaining - 3,
    )
    assert.equal(head.toString('hex'), `${header}000161`)
  }
})

test('a head and its payload are the whole packet', () => {
  for (const qos of [0, 1, 2] as const) {
    for (const bytes of [0, 1, 121, 122, 123, 20_000]) {
      const message = {
        topic: 't/ü',
        payload: Buffer.alloc(bytes, 'p'),
        qos,
        dup: qos > 0,
        retain: true,
        packetId: 513,
      }
      const joined = Buffer.concat([encodePublishHead(message, bytes), message.payload])
      assert.deepEqual(joined, encodePublish(message))
    }
  }
})

test('what MQTT cannot write is an error, not a wrong packet', () => {
  const head = { qos: 1, dup: false, retain: false, packetId: 1 } as const
  assert.throws(() => encodePublishHead({ ...head, topic: 'x'.repeat(65_536) }, 0), RangeError)
  assert.throws(() => encodePublishHead({ ...head, topic: 'é'.repeat(32_768) }, 0), RangeError)
  assert.throws(() => encodePublishHead({ ...head, topic: 'a' }, 268_435_455), RangeError)
  assert.throws(() => encodePublishHead({ ...head, topic: 'a', packetId: 65_536 }, 0), RangeError)
  assert.throws(() => encodeAcknowledgements(PacketType.PUBACK, [1, -1]), RangeError)
})
