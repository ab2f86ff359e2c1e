/**
 * Mutated packets, the same ones in each run: whatever comes in is parsed or refused, and what is
 * parsed says what the bytes say, which writing it again shows.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ConnectRejected,
  encodeAcknowledgement,
  encodePingreq,
  encodePublish,
  encodeSubscribe,
  encodeUnsubscribe,
  Framer,
  MalformedPacket,
  PacketType,
  parseAcknowledgement,
  parseConnect,
  parsePublish,
  parseSubscribe,
  parseUnsubscribe,
  TopicMemo,
  type Frame,
} from '../../../broker/packets/index.ts'
import { connectBytes, packetOf } from '../../helpers/raw-client.ts'
import { parseAny } from './corpus.ts'
import { seededRandom } from './seeded-random.ts'

const ROUNDS = 30_000
const MAX_BYTES = 4096

const message = { topic: 'tenant/é/device/1/telemetry', dup: false, retain: false, packetId: 258 }
const payload = Buffer.from('{"temperature":21.5}')

const SEEDS: readonly Buffer[] = [
  connectBytes({ clientId: 'pump-7' }),
  connectBytes({
    protocolName: 'MQIsdp',
    protocolLevel: 3,
    clientId: 'pump-7',
    userName: 'u',
    password: 'p',
  }),
  connectBytes({
    clientId: 'é',
    will: { topic: 'a/b', payload: 'x', qos: 1 },
    userName: 'u',
    password: 'p',
  }),
  encodePublish({ ...message, payload, qos: 0 }),
  encodePublish({ ...message, payload, qos: 1 }),
  encodePublish({ ...message, payload: Buffer.alloc(300, 'x'), qos: 2, dup: true }),
  encodeSubscribe(1, [{ topic: 'a/+', qos: 1 }]),
  encodeSubscribe(2, [
    { topic: 'a/+', qos: 1 },
    { topic: '#', qos: 2 },
    { topic: 'é/€/😀', qos: 0 },
  ]),
  encodeUnsubscribe(3, ['a/+/c', '#']),
  encodeAcknowledgement(PacketType.PUBACK, 5),
  encodeAcknowledgement(PacketType.PUBREL, 5),
  encodePingreq(),
  Buffer.from([0xe0, 0]),
]

const random = seededRandom(20_261_122)
const INTERESTING = [0x00, 0x01, 0x02, 0x03, 0x23, 0x2b, 0x2f, 0x7f, 0x80, 0xc0, 0xed, 0xff]
const anyByte = () =>
  random(2) === 0 ? random(256) : (INTERESTING[random(INTERESTING.length)] ?? 0)

function mutate(packet: Buffer): Buffer {
  const bytes = [...packet]
  for (let edits = random(3); edits >= 0; edits--) {
    const at = random(bytes.length + 1)
    switch (random(6)) {
      case 0:
        bytes[Math.min(at, bytes.length - 1)]! ^= 1 << random(8)
        break
      case 1:
        bytes[Math.min(at, bytes.length - 1)] = anyByte()
        break
      case 2:
        bytes.splice(at, 0, anyByte())
        break
      case 3:
        bytes.splice(at, 1 + random(4))
        break
      case 4:
        bytes.splice(at, 0, ...bytes.slice(at, at + 1 + random(12)))
        break
      default:
        bytes.splice(at, 0, ...(SEEDS[random(SEEDS.length)] ?? []))
    }
    if (bytes.length === 0) bytes.push(anyByte())
  }
  // With a Remaining Length that fits, the mutation is seen by the parsers and not by the Framer.
  return random(4) === 0 ? Buffer.from(bytes) : packetOf(bytes[0]!, bytes.slice(2))
}

/** The same content written by us, or undefined for a type whose bytes are not all its content. */
function rewrite(frame: Frame, topics: TopicMemo): Buffer | undefined {
  const { type } = frame
  if (type === PacketType.CONNECT) return rewriteConnect(frame)
  if (type === PacketType.PUBLISH) return encodePublish(parsePublish(frame, topics))
  if (type === PacketType.SUBSCRIBE) {
    const { packetId, subscriptions } = parseSubscribe(frame)
    return encodeSubscribe(packetId, subscriptions)
  }
  if (type === PacketType.UNSUBSCRIBE) {
    const { packetId, topics } = parseUnsubscribe(frame)
    return encodeUnsubscribe(packetId, topics)
  }
  if (
    type === PacketType.PUBACK ||
    type === PacketType.PUBREC ||
    type === PacketType.PUBREL ||
    type === PacketType.PUBCOMP
  ) {
    return encodeAcknowledgement(type, parseAcknowledgement(frame))
  }
  return undefined
}

/** Undefined where MQTT 3.1 lets flags stand that the content does not show. */
function rewriteConnect(frame: Frame): Buffer | undefined {
  const packet = parseConnect(frame)
  if (packet.protocolLevel === 3) return undefined
  const { will, userName, password, bridge, ...rest } = packet
  return connectBytes({
    ...rest,
    protocolLevel: bridge ? 0x84 : 4,
    ...(will === undefined ? {} : { will }),
    ...(userName === undefined ? {} : { userName }),
    ...(password === undefined ? {} : { password }),
  })
}

test(`${ROUNDS} mutated packets are each parsed or refused, and read for what they are`, () => {
  const outcomes = { parsed: 0, rewritten: 0, malformed: 0, rejected: 0, incomplete: 0 }
  const messages = new Set<string>()
  const topics = new TopicMemo()
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = mutate(SEEDS[round % SEEDS.length]!)
    const hex = bytes.toString('hex')
    const framer = new Framer(MAX_BYTES)
    const cut = random(bytes.length + 1)
    framer.append(Buffer.from(bytes.subarray(0, cut)))
    framer.append(Buffer.from(bytes.subarray(cut)))
    let framed = 0
    try {
      for (;;) {
        const frame = framer.next()
        if (frame === undefined) break
        assert.ok(frame.bytes.length >= 2, hex)
        assert.deepEqual(frame.bytes, bytes.subarray(framed, framed + frame.bytes.length), hex)
        framed += frame.bytes.length
        assert.equal(framer.pendingBytes, bytes.length - framed, hex)
        parseAny(frame, topics)
        outcomes.parsed++
        const again = rewrite(frame, topics)
        if (again === undefined) continue
        outcomes.rewritten++
        const body = again.subarray(again.length - (frame.bytes.length - frame.bodyStart))
        assert.deepEqual(body, frame.bytes.subarray(frame.bodyStart), hex)
        assert.equal(again[0], frame.bytes[0], hex)
      }
      if (framed < bytes.length) outcomes.incomplete++
    } catch (err) {
      if (err instanceof MalformedPacket) outcomes.malformed++
      else if (err instanceof ConnectRejected) outcomes.rejected++
      else throw new Error(`round ${round}: ${hex}`, { cause: err })
      messages.add(err.message.replaceAll(/"[^]*"|\d+/gu, '…'))
    }
  }
  // So that nobody turns this into a test of one refusal over and over.
  assert.ok(outcomes.parsed > 5000, JSON.stringify(outcomes))
  assert.ok(outcomes.rewritten > 5000, JSON.stringify(outcomes))
  assert.ok(outcomes.malformed > 5000, JSON.stringify(outcomes))
  assert.ok(outcomes.rejected > 100, JSON.stringify(outcomes))
  assert.ok(messages.size > 60, `${messages.size} different refusals`)
})
