import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HeldFrames } from '../../broker/held-frames.ts'
import { PacketType, type Frame } from '../../broker/packets/index.ts'

const frame = (bytes: Buffer): Frame => ({ type: PacketType.PUBACK, flags: 0, bytes, bodyStart: 2 })
const numbered = (n: number) => frame(Buffer.from(`${n}`))
const text = (taken: Frame | undefined) => taken?.bytes.toString()

test('first in, first out, and what is put back comes first', () => {
  const held = new HeldFrames()
  for (let n = 0; n < 1000; n++) held.push(numbered(n))
  for (let n = 0; n < 1000; n++) {
    const taken = held.shift()
    assert.equal(text(taken), `${n}`)
    if (n % 3 === 0 && taken !== undefined) {
      held.unshift(taken)
      assert.equal(text(held.shift()), `${n}`)
    }
    if (n % 2 === 0) held.push(numbered(1000 + n / 2))
  }
  for (let n = 1000; n < 1500; n++) assert.equal(text(held.shift()), `${n}`)
  assert.equal(held.shift(), undefined)
  assert.equal(held.isEmpty, true)
  assert.equal(held.bytes, 0)
  held.unshift(numbered(1))
  assert.equal(text(held.shift()), '1')
})

test('a small packet counts with what it costs, and keeps nothing but itself', () => {
  const held = new HeldFrames()
  const chunk = Buffer.alloc(65_536)
  for (let n = 0; n < 100; n++) held.push(frame(chunk.subarray(4 * n, 4 * n + 4)))
  assert.ok(held.bytes >= 100 * 256)
  assert.equal(held.shift()?.bytes.buffer.byteLength, 4)
  held.clear()
  assert.equal(held.bytes, 0)
  assert.equal(held.shift(), undefined)
})
