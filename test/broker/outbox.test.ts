import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Outbox } from '../../broker/outbox.ts'

/** A socket whose writes end when the test says so. */
class HeldSocket extends Duplex {
  readonly writes: Buffer[][] = []
  hold = true
  #done: (() => void) | undefined

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#take([chunk], done)
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.#take(
      chunks.map(({ chunk }) => chunk),
      done,
    )
  }

  #take(chunks: Buffer[], done: () => void): void {
    this.writes.push(chunks)
    if (this.hold) this.#done = done
    else done()
  }

  release(): void {
    const done = this.#done
    this.#done = undefined
    done?.()
  }

  get text(): string {
    return Buffer.concat(this.writes.flat()).toString('latin1')
  }
}

const numbered = (count: number) => Array.from({ length: count }, (_, i) => Buffer.from(`${i};`))

test('everything of one turn leaves in one write, in order', async () => {
  const socket = new HeldSocket()
  const outbox = new Outbox(socket)
  const chunks = numbered(100)
  for (const chunk of chunks) outbox.write(chunk)
  assert.equal(outbox.backlogBytes, Buffer.concat(chunks).length)
  assert.equal(socket.writes.length, 0)
  await nextTurn()
  assert.equal(socket.writes.length, 1)
  assert.equal(socket.text, chunks.join(''))
})

test('a large chunk is not copied', async () => {
  const socket = new HeldSocket()
  socket.hold = false
  const outbox = new Outbox(socket)
  const large = Buffer.alloc(100_000, 'x')
  const [before, after] = [Buffer.from('before'), Buffer.from('after')]
  for (const chunk of [before, large, after]) outbox.write(chunk)
  await nextTurn()
  const written = socket.writes.flat()
  assert.deepEqual(written, [before, large, after])
  assert.equal(written[1], large)
})

test('while the socket is busy chunks are joined: memory is what backlogBytes says', async () => {
  const socket = new HeldSocket()
  const outbox = new Outbox(socket)
  outbox.write(Buffer.from('first'))
  await nextTurn()
  const pong = Buffer.from([0xd0, 0])
  const count = 500_000
  for (let i = 0; i < count; i++) {
    outbox.write(pong)
    if (i % 1000 === 0) await nextTurn()
  }
  assert.equal(socket.writes.length, 1)
  assert.equal(outbox.backlogBytes, 'first'.length + 2 * count)
  let writes = 0
  while (outbox.backlogBytes > 0) {
    socket.release()
    await nextTurn()
    writes++
  }
  assert.equal(socket.text.length, 'first'.length + 2 * count)
  assert.ok(writes < 20, `${writes} writes`)
  assert.ok(socket.writes.flat().length < 1000, `${socket.writes.flat().length} buffers`)
})

test('order holds over busy and idle times, and each write that ends is progress', async () => {
  const socket = new HeldSocket()
  let progress = 0
  const outbox = new Outbox(socket, () => progress++)
  const chunks = numbered(5000)
  for (const [i, chunk] of chunks.entries()) {
    outbox.write(i % 700 === 0 ? Buffer.concat([chunk, Buffer.alloc(40_000, '-')]) : chunk)
    if (i % 90 === 0) await nextTurn()
    if (i % 170 === 0) socket.release()
  }
  for (let i = 0; i < 20; i++) {
    socket.release()
    await nextTurn()
  }
  assert.equal(outbox.backlogBytes, 0)
  assert.equal(socket.text.replaceAll('-', ''), chunks.join(''))
  assert.equal(progress, socket.writes.length)
})

test('finish hands over everything, also behind a busy socket', async () => {
  const socket = new HeldSocket()
  const outbox = new Outbox(socket)
  outbox.write(Buffer.from('a'))
  await nextTurn()
  outbox.write(Buffer.alloc(300_000, 'b'))
  outbox.write(Buffer.from('c'))
  outbox.finish()
  socket.hold = false
  socket.release()
  await nextTurn()
  assert.equal(socket.text, `a${'b'.repeat(300_000)}c`)
})

test('what a dead socket cannot take is let go of', async () => {
  const socket = new HeldSocket()
  const outbox = new Outbox(socket)
  outbox.write(Buffer.from('a'))
  await nextTurn()
  outbox.write(Buffer.from('b'))
  socket.destroy()
  socket.release()
  outbox.write(Buffer.alloc(50_000))
  await nextTurn()
  outbox.finish()
  await nextTurn()
  assert.equal(outbox.backlogBytes, socket.writableLength)
  assert.equal(socket.text, 'a')
})

test('packets and bytes are counted as they leave, and what has not left is told', async () => {
  const socket = new HeldSocket()
  const traffic = { bytesSent: 0, packetsSent: 0 }
  const traced: string[] = []
  const trace = { isOn: false }
  const outbox = new Outbox(socket, undefined, {
    trace,
    traffic,
    traced: (bytes) => traced.push(String(bytes)),
  })
  outbox.write(Buffer.from('ab'))
  outbox.write(Buffer.from('cdef'), 2)
  assert.deepEqual(traffic, { bytesSent: 0, packetsSent: 3 })
  assert.equal(outbox.backlogPackets, 3)
  await nextTurn()
  assert.deepEqual(traffic, { bytesSent: 6, packetsSent: 3 })
  assert.equal(outbox.backlogPackets, 0)
  assert.equal(traced.length, 0)

  trace.isOn = true
  // More than one write takes: the last one stays until the socket has taken the first.
  for (const letter of ['x', 'y']) outbox.write(Buffer.alloc(131_072, letter))
  outbox.write(Buffer.from('z'))
  assert.equal(outbox.backlogPackets, 3)
  socket.release()
  assert.equal(outbox.backlogPackets, 2)
  socket.hold = false
  socket.release()
  await nextTurn()
  assert.equal(outbox.backlogPackets, 0)
  assert.deepEqual(traffic, { bytesSent: 6 + 2 * 131_072 + 1, packetsSent: 6 })
  assert.deepEqual(
    traced.map((text) => text[0]),
    ['x', 'y', 'z'],
  )
})

test('what a lost socket no longer takes is not counted as sent', async () => {
  const socket = new HeldSocket()
  const traffic = { bytesSent: 0, packetsSent: 0 }
  const outbox = new Outbox(socket, undefined, {
    trace: { isOn: false },
    traffic,
    traced: () => undefined,
  })
  socket.destroy()
  outbox.write(Buffer.from('abc'))
  await nextTurn()
  assert.equal(traffic.bytesSent, 0)
  assert.equal(outbox.backlogPackets, 0)
})
