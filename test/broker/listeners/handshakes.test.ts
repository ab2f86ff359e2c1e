import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { Handshakes } from '../../../broker/listeners/handshakes.ts'

const socketOf = (remoteAddress?: string, remotePort?: number) =>
  Object.assign(new EventEmitter(), { remoteAddress, remotePort }) as unknown as Socket

test('at a cap no further socket begins, until one has finished or is gone', () => {
  const handshakes = new Handshakes(3, 2)
  const [a1, a2, b1] = [socketOf('a', 1), socketOf('a', 2), socketOf('b', 1)]
  assert.equal(handshakes.begin(a1), true)
  assert.equal(handshakes.begin(a2), true)
  assert.equal(handshakes.begin(socketOf('a', 3)), false)
  assert.equal(handshakes.begin(b1), true)
  assert.equal(handshakes.begin(socketOf('c', 1)), false)
  // A TLSSocket is another object with the same address.
  handshakes.finished(socketOf('a', 1))
  a1.emit('close')
  assert.equal(handshakes.begin(socketOf('a', 4)), true)
  assert.equal(handshakes.begin(socketOf('a', 5)), false)
  b1.emit('close')
  assert.equal(handshakes.begin(socketOf('d', 1)), true)
  assert.equal(handshakes.begin(socketOf('e', 1)), false)
})

test('a Unix socket has no address to be counted by', () => {
  const handshakes = new Handshakes(1, 1)
  for (let i = 0; i < 3; i++) assert.equal(handshakes.begin(socketOf()), true)
  assert.equal(handshakes.begin(socketOf('a', 1)), true)
  assert.equal(handshakes.begin(socketOf('b', 1)), false)
})
