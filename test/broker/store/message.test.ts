import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  MESSAGE_OVERHEAD_BYTES,
  createMessage,
  ownPayload,
  releaseChunk,
} from '../../../broker/store/message.ts'

const chunk = Buffer.alloc(65_536, 'abcdefgh')

function slice(bytes: number, topic = 't') {
  return createMessage({ topic, payload: chunk.subarray(8, 8 + bytes), qos: 1, retain: false })
}

test('a message counts its topic in UTF-8, its payload and the objects around them', () => {
  assert.equal(slice(100, 'a/b').bytes, 3 + 100 + MESSAGE_OVERHEAD_BYTES)
  assert.equal(slice(0, 'Gerät').bytes, 6 + MESSAGE_OVERHEAD_BYTES)
})

test('a payload is not copied while the message only passes through', () => {
  assert.equal(slice(100).payload.buffer, chunk.buffer)
})

const kept: [name: string, bytes: number, isCopied: boolean][] = [
  ['a small slice of a socket chunk', 200, true],
  ['an empty slice', 0, true],
  ['nearly half of a chunk', 32_000, true],
  ['most of a chunk', 60_000, false],
  ['a whole chunk', 65_528, false],
]
for (const [name, bytes, isCopied] of kept) {
  test(`kept for long, ${name} ${isCopied ? 'gets memory of its own' : 'stays where it is'}`, () => {
    const message = slice(bytes)
    ownPayload(message)
    const { payload } = message
    assert.deepEqual(payload, chunk.subarray(8, 8 + bytes))
    assert.equal(payload.buffer === chunk.buffer, !isCopied)
    if (isCopied) assert.equal(payload.buffer.byteLength, bytes)
    ownPayload(message)
    assert.equal(message.payload, payload, 'copied once')
  })
}

test('a payload in the pool of Node gets memory of its own when it stays for long', () => {
  const message = createMessage({ topic: 't', payload: Buffer.from('on'), qos: 0, retain: true })
  ownPayload(message)
  assert.equal(message.payload.buffer.byteLength, 2)
})

test('in flight, a small payload lets go of its chunk and moves into the pool, once', () => {
  const message = slice(200)
  releaseChunk(message)
  const { payload } = message
  assert.deepEqual(payload, chunk.subarray(8, 208))
  assert.ok(payload.buffer.byteLength <= Buffer.poolSize)
  releaseChunk(message)
  assert.equal(message.payload, payload)
})
