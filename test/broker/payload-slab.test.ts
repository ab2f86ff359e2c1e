import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PayloadSlab } from '../../broker/payload-slab.ts'

/** A view in the middle of what one read of a socket brought. */
function viewOf(length: number, fill: string): Buffer {
  const chunk = Buffer.allocUnsafeSlow(65_536)
  return chunk.subarray(100, 100 + length).fill(fill)
}

test('a payload that keeps little but itself stays as it is', () => {
  const slab = new PayloadSlab()
  for (const payload of [
    Buffer.alloc(0),
    Buffer.allocUnsafeSlow(1000),
    Buffer.allocUnsafeSlow(3000).subarray(1000),
    viewOf(40_000, 'x'),
  ]) {
    assert.equal(slab.own(payload), payload)
  }
})

test('a small payload lets go of its chunk, whatever its length, and so does a larger one', () => {
  const slab = new PayloadSlab()
  for (const length of [1, 100, 2047, 2048, 2049, 20_000, 32_255]) {
    const view = viewOf(length, 'y')
    const own = slab.own(view)
    assert.notEqual(own.buffer, view.buffer)
    assert.ok(own.buffer.byteLength <= Math.max(16_384, length), `${own.buffer.byteLength}`)
    assert.deepEqual(own, view)
  }
})

test('payloads do not overlap, and fill their slabs', () => {
  const slab = new PayloadSlab()
  const payloads = Array.from({ length: 1000 }, (_, i) => slab.own(viewOf(100, `${i % 10}`)))
  for (const [i, payload] of payloads.entries()) {
    assert.equal(String(payload), `${i % 10}`.repeat(100))
  }
  const slabs = new Set(payloads.map(({ buffer }) => buffer))
  assert.equal(slabs.size, Math.ceil(1000 / Math.floor(16_384 / 100)))
})
