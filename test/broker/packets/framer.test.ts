import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import {
  encodeAcknowledgement,
  encodeConnect,
  encodeDisconnect,
  encodePingreq,
  encodePublish,
  encodeSubscribe,
  encodeUnsubscribe,
  Framer,
  MalformedPacket,
  PacketTooLarge,
  PacketType,
  type Frame,
} from '../../../broker/packets/index.ts'
import { connectBytes, packetOf } from '../../helpers/raw-client.ts'
import { MAX_BYTES, refuseEach, type BadPacket } from './corpus.ts'

const publishOf = (topic: string, payloadBytes: number) => {
  const payload = Buffer.alloc(payloadBytes, topic)
  return encodePublish({ topic, payload, qos: 1, dup: false, retain: false, packetId: 7 })
}

const STREAM: readonly Buffer[] = [
  connectBytes({ clientId: 'pump-7', userName: 'u', password: 'p' }),
  publishOf('t/1', 20),
  encodePingreq(),
  encodeSubscribe(1, [{ topic: 'a/#', qos: 1 }]),
  publishOf('t/two-byte-length', 200),
  encodeAcknowledgement(PacketType.PUBACK, 1),
  encodeAcknowledgement(PacketType.PUBREL, 2),
  encodeUnsubscribe(2, ['a/#']),
  encodePingreq(),
  encodePingreq(),
  encodeConnect({ clientId: 'x', clean: true, will: undefined }),
  encodeDisconnect(),
]

function drain(framer: Framer): Frame[] {
  const frames: Frame[] = []
  for (let frame = framer.next(); frame !== undefined; frame = framer.next()) frames.push(frame)
  return frames
}

function framesOf(chunks: readonly Buffer[], pullAfterEach = true): Frame[] {
  const framer = new Framer(MAX_BYTES)
  const frames: Frame[] = []
  for (const chunk of chunks) {
    framer.append(chunk)
    if (pullAfterEach) frames.push(...drain(framer))
  }
  frames.push(...drain(framer))
  assert.equal(framer.pendingBytes, 0)
  return frames
}

function assertSame(frames: readonly Frame[], packets: readonly Buffer[]): void {
  assert.deepEqual(
    frames.map(({ type, flags, bytes }) => ({ first: (type << 4) | flags, hex: hex(bytes) })),
    packets.map((bytes) => ({ first: bytes[0], hex: hex(bytes) })),
  )
  for (const { bytes, bodyStart } of frames) {
    assert.equal(bodyStart, bytes.length < 130 ? 2 : bytes.length < 16_387 ? 3 : 4)
  }
}

const hex = (bytes: Buffer) => bytes.toString('hex')

const FIRST_BYTES = {
  CONNECT: [0x10, '0b0000'],
  PUBACK: [0x40, '0b0000'],
  PUBREC: [0x50, '0b0000'],
  PUBREL: [0x62, '0b0010'],
  PUBCOMP: [0x70, '0b0000'],
  SUBSCRIBE: [0x82, '0b0010'],
  UNSUBSCRIBE: [0xa2, '0b0010'],
  PINGREQ: [0xc0, '0b0000'],
  DISCONNECT: [0xe0, '0b0000'],
} as const

const wrongFlags: BadPacket[] = Object.entries(FIRST_BYTES).flatMap(([name, [first, right]]) =>
  [0b0000, 0b0001, 0b0010, 0b0100, 0b1010, 0b1111]
    .filter((flags) => flags !== (first & 0x0f))
    .map((flags): BadPacket => {
      const found = `0b${flags.toString(2).padStart(4, '0')}`
      return [
        `flags ${found} [MQTT-2.2.2-2]`,
        // Without a Remaining Length: the first byte is enough.
        Buffer.from([(first & 0xf0) | flags]),
        `${name}: flags are ${found}, not ${right} [MQTT-2.2.2-2]`,
      ]
    }),
)

refuseEach([
  ['type 0', '00 00', 'fixed header: packet type 0 is reserved (MQTT 3.1.1 §2.2.1)'],
  ['type 0 with flags', '0f', 'fixed header: packet type 0 is reserved (MQTT 3.1.1 §2.2.1)'],
  ['type 15', 'f0 00', 'fixed header: packet type 15 is reserved (MQTT 3.1.1 §2.2.1)'],
  ['type 15 with flags', 'ff', 'fixed header: packet type 15 is reserved (MQTT 3.1.1 §2.2.1)'],
  [
    'an HTTP request',
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    'PUBACK: flags are 0b0111, not 0b0000 [MQTT-2.2.2-2]',
  ],
  [
    'a TLS ClientHello',
    '16 03 01 02 00 01',
    'CONNECT: flags are 0b0110, not 0b0000 [MQTT-2.2.2-2]',
  ],
  [
    'a Remaining Length of five bytes',
    '30 80 80 80 80 01',
    'PUBLISH: Remaining Length does not end with its fourth byte (MQTT 3.1.1 §2.2.3)',
  ],
  [
    'a Remaining Length that could go on, at its fourth byte',
    '30 ff ff ff ff',
    'PUBLISH: Remaining Length does not end with its fourth byte (MQTT 3.1.1 §2.2.3)',
  ],
  [
    'five length bytes',
    'c0 80 80 80 80 00',
    'PINGREQ: Remaining Length does not end with its fourth byte (MQTT 3.1.1 §2.2.3)',
  ],
])
refuseEach(wrongFlags)

test('one chunk gives all its packets', () => {
  assertSame(framesOf([Buffer.concat(STREAM)]), STREAM)
})

test('every split of the stream into two chunks gives the same packets', () => {
  const stream = Buffer.concat(STREAM)
  for (let i = 0; i <= stream.length; i++) {
    const chunks = [Buffer.from(stream.subarray(0, i)), Buffer.from(stream.subarray(i))]
    assertSame(framesOf(chunks), STREAM)
    assertSame(framesOf(chunks, false), STREAM)
  }
})

test('the stream byte by byte gives the same packets, pulled at once or at the end', () => {
  const bytes = Array.from(Buffer.concat(STREAM), (byte) => Buffer.from([byte]))
  assertSame(framesOf(bytes), STREAM)
  assertSame(framesOf(bytes, false), STREAM)
})

test('a chunk size that fits nothing gives the same packets', () => {
  const packets = [...STREAM, ...STREAM, publishOf('t/three-byte-length', 20_000), ...STREAM]
  const stream = Buffer.concat(packets)
  for (const size of [3, 5, 7, 64, 999, 1460, 16_384]) {
    const chunks: Buffer[] = []
    for (let i = 0; i < stream.length; i += size) chunks.push(stream.subarray(i, i + size))
    assertSame(framesOf(chunks), packets)
    assertSame(framesOf(chunks, false), packets)
  }
})

// Copying what is there for each byte that comes would move 34 GB here.
test('a large packet may come in one-byte chunks', () => {
  const packet = publishOf('t', MAX_BYTES - 10)
  const bytes = Array.from(packet, (byte) => Buffer.from([byte]))
  assertSame(framesOf(bytes), [packet])
  assertSame(framesOf(bytes, false), [packet])
})

test('packets of one chunk are views of it, also behind one that began before', () => {
  const chunk = Buffer.concat([STREAM[1]!.subarray(5), STREAM[4]!, STREAM[2]!])
  const frames = framesOf([Buffer.from(STREAM[1]!.subarray(0, 5)), chunk])
  assertSame(frames, [STREAM[1]!, STREAM[4]!, STREAM[2]!])
  const begin = STREAM[1]!.length - 5
  assert.notEqual(frames[0]?.bytes.buffer, chunk.buffer)
  assert.equal(frames[1]?.bytes.buffer, chunk.buffer)
  assert.equal(frames[1]?.bytes.byteOffset, chunk.byteOffset + begin)
  assert.equal(frames[2]?.bytes.byteOffset, chunk.byteOffset + begin + STREAM[4]!.length)
})

test('a packet that was handed out does not change when more arrives', () => {
  const framer = new Framer(MAX_BYTES)
  const seen: { bytes: Buffer; copy: string }[] = []
  const stream = Buffer.concat([...STREAM, ...STREAM, ...STREAM])
  for (let i = 0; i < stream.length; i += 11) {
    framer.append(Buffer.from(stream.subarray(i, i + 11)))
    for (const { bytes } of drain(framer)) seen.push({ bytes, copy: hex(bytes) })
  }
  assert.equal(seen.length, 3 * STREAM.length)
  for (const { bytes, copy } of seen) assert.equal(hex(bytes), copy)
})

test('a caller may stop pulling and go on after more was appended', () => {
  const framer = new Framer(MAX_BYTES)
  const [one, two, three] = [publishOf('a', 9), publishOf('b', 9), publishOf('c', 9)] as const
  // The first pull uses up its chunk exactly, with another one waiting behind it.
  framer.append(one)
  framer.append(two.subarray(0, 4))
  assert.equal(hex(framer.next()!.bytes), hex(one))
  framer.append(two.subarray(4))
  framer.append(three)
  assert.equal(framer.pendingBytes, two.length + three.length)
  assert.equal(hex(framer.next()!.bytes), hex(two))
  assert.equal(hex(framer.next()!.bytes), hex(three))
  assert.equal(framer.next(), undefined)
})

test('a queue of chunks that never runs dry keeps its order', () => {
  const framer = new Framer(MAX_BYTES)
  const ids: number[] = []
  for (let id = 1; id <= 10_000; id++) {
    framer.append(encodeAcknowledgement(PacketType.PUBACK, id))
    if (id > 1500) ids.push(framer.next()!.bytes.readUInt16BE(2))
  }
  for (const frame of drain(framer)) ids.push(frame.bytes.readUInt16BE(2))
  assert.deepEqual(
    ids,
    Array.from({ length: 10_000 }, (_, i) => i + 1),
  )
})

test('pendingBytes counts what is in no frame yet, the begun packet included', () => {
  const framer = new Framer(MAX_BYTES)
  assert.equal(framer.pendingBytes, 0)
  framer.append(Buffer.alloc(0))
  assert.equal(framer.next(), undefined)
  framer.append(Buffer.from('30ff', 'hex'))
  assert.equal(framer.next(), undefined)
  assert.equal(framer.pendingBytes, 2)
  framer.append(Buffer.from([0x01, 0, 1]))
  assert.equal(framer.next(), undefined)
  assert.equal(framer.pendingBytes, 5)
  framer.append(Buffer.alloc(260))
  assert.equal(framer.next()?.bytes.length, 258)
  assert.equal(framer.pendingBytes, 7)
})

test('a Remaining Length of more bytes than it needs is read', () => {
  const framer = new Framer(MAX_BYTES)
  framer.append(Buffer.from('c0808000408280000007', 'hex'))
  assert.deepEqual(
    drain(framer).map(({ type, bodyStart, bytes }) => [type, bodyStart, bytes.length]),
    [
      [PacketType.PINGREQ, 4, 4],
      [PacketType.PUBACK, 4, 6],
    ],
  )
})

test('the longest Remaining Length is read', () => {
  const framer = new Framer(268_435_460)
  framer.append(Buffer.from('30ffffff7f', 'hex'))
  assert.equal(framer.next(), undefined)
  const smaller = new Framer(268_435_459)
  smaller.append(Buffer.from('30ffffff7f', 'hex'))
  assert.throws(() => smaller.next(), {
    name: 'PacketTooLarge',
    message: 'PUBLISH: 268435460 bytes, at most 268435459 are taken here',
  })
})

test('a packet over maxBytes is refused when its fixed header is there', () => {
  for (const chunks of [['30ff7f'], ['30', 'ff', '7f'], ['30ff', '7f0001']]) {
    const framer = new Framer(16_385)
    for (const chunk of chunks.slice(0, -1)) {
      framer.append(Buffer.from(chunk, 'hex'))
      assert.equal(framer.next(), undefined)
    }
    framer.append(Buffer.from(chunks.at(-1)!, 'hex'))
    assert.throws(
      () => framer.next(),
      (err) => {
        assert.ok(err instanceof PacketTooLarge && err instanceof MalformedPacket)
        assert.equal(err.code, 'PACKET_TOO_LARGE')
        assert.equal(err.message, 'PUBLISH: 16386 bytes, at most 16385 are taken here')
        return true
      },
    )
  }
})

test('a packet of exactly maxBytes is taken', () => {
  const packet = publishOf('t', 500)
  const framer = new Framer(packet.length)
  framer.append(packet)
  assert.equal(framer.next()?.bytes.length, packet.length)
})

test('maxBytes holds for headers read after it was set', () => {
  const framer = new Framer(100)
  framer.append(Buffer.concat([encodePingreq(), publishOf('t', 200)]))
  assert.equal(framer.next()?.type, PacketType.PINGREQ)
  framer.maxBytes = 300
  assert.equal(framer.next()?.type, PacketType.PUBLISH)
  framer.maxBytes = 100
  framer.append(publishOf('t', 200))
  assert.throws(() => framer.next(), PacketTooLarge)
})

test('after a refusal every call throws the same, whatever is appended', () => {
  for (const bad of ['f000', '30ffffffff', '8000']) {
    for (const split of [0, 1]) {
      const framer = new Framer(MAX_BYTES)
      const bytes = Buffer.from(bad, 'hex')
      framer.append(Buffer.concat([encodePingreq(), bytes.subarray(0, split)]))
      assert.equal(framer.next()?.type, PacketType.PINGREQ)
      framer.append(bytes.subarray(split))
      let first: unknown
      assert.throws(
        () => framer.next(),
        (err) => {
          first = err
          return err instanceof MalformedPacket
        },
      )
      framer.append(encodePingreq())
      assert.throws(
        () => framer.next(),
        (err) => err === first,
      )
    }
  }
})

/** Bytes of the buffers that were made while `act` ran. */
function allocatedBy(t: TestContext, act: () => void): number {
  const methods = [
    t.mock.method(Buffer, 'alloc'),
    t.mock.method(Buffer, 'allocUnsafe'),
    t.mock.method(Buffer, 'allocUnsafeSlow'),
  ]
  act()
  t.mock.restoreAll()
  let bytes = 0
  for (const { mock } of methods) for (const call of mock.calls) bytes += call.arguments[0]
  return bytes
}

test('a packet that is announced and does not come takes little memory', (t) => {
  const framer = new Framer(MAX_BYTES)
  const chunks = Array.from(
    Buffer.from('30f0ff0f00017461616161616161616161616161', 'hex'),
    (byte) => Buffer.from([byte]),
  )
  const bytes = allocatedBy(t, () => {
    for (const chunk of chunks) {
      framer.append(chunk)
      assert.equal(framer.next(), undefined)
    }
  })
  assert.ok(bytes > 0 && bytes < 2048, `${bytes} bytes`)
})

test('the memory of a packet in pieces follows what came of it, by doubling', (t) => {
  const packet = publishOf('t', MAX_BYTES - 10)
  const framer = new Framer(MAX_BYTES)
  const chunks = Array.from({ length: Math.ceil(packet.length / 100) }, (_, i) =>
    packet.subarray(100 * i, 100 * i + 100),
  )
  const bytes = allocatedBy(t, () => {
    for (const chunk of chunks.slice(0, -1)) {
      framer.append(chunk)
      assert.equal(framer.next(), undefined)
    }
    framer.append(chunks.at(-1)!)
    assert.equal(framer.next()?.bytes.length, packet.length)
  })
  assert.ok(bytes >= packet.length && bytes < 3 * packet.length, `${bytes} bytes`)
})

test('in MQTT 3.1 flags other than of PUBLISH are not checked, and come out as 3.1.1 wants them', () => {
  const packets = [
    Buffer.from([0x6a, 2, 0, 9]),
    Buffer.from([0x60, 2, 0, 9]),
    Buffer.from([0x4f, 2, 0, 9]),
    packetOf(0x8a, [0, 1, 0, 1, 0x61, 0]),
    packetOf(0xaa, [0, 1, 0, 1, 0x61]),
    Buffer.from([0xc1, 0]),
    publishOf('t', 1),
  ]
  for (const chunks of [
    [Buffer.concat(packets)],
    Array.from(Buffer.concat(packets), (b) => Buffer.from([b])),
  ]) {
    const framer = new Framer(MAX_BYTES)
    framer.protocolLevel = 3
    const frames: Frame[] = []
    for (const chunk of chunks) {
      framer.append(chunk)
      frames.push(...drain(framer))
    }
    assert.deepEqual(
      frames.map(({ flags }) => flags),
      [2, 2, 0, 2, 2, 0, 2],
    )
    assert.deepEqual(
      frames.map(({ bytes }) => bytes[0]),
      [0x62, 0x62, 0x40, 0x82, 0xa2, 0xc0, 0x32],
    )
  }
})

test('in MQTT 3.1 the reserved types and lengths are still refused', () => {
  for (const bad of ['f000', '0000', '30ffffffff']) {
    const framer = new Framer(MAX_BYTES)
    framer.protocolLevel = 3
    framer.append(Buffer.from(bad, 'hex'))
    assert.throws(() => framer.next(), MalformedPacket)
  }
})
