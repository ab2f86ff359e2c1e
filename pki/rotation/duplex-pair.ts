import { Duplex } from 'node:stream'

class End extends Duplex {
  other: End | undefined
  #taken: (() => void) | undefined

  override _read(): void {
    const taken = this.#taken
    this.#taken = undefined
    taken?.()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.other?.give(chunk, done)
  }

  override _final(done: () => void): void {
    this.other?.give(null, done)
  }

  give(chunk: Buffer | null, taken: () => void): void {
    const hasRoom = this.push(chunk)
    if (hasRoom || chunk === null) taken()
    else this.#taken = taken
  }
}

/** What is written to one comes out of the other. (Node has its own only from 20.17 and 22.6 on.) */
export function duplexPair(): [Duplex, Duplex] {
  const [a, b] = [new End(), new End()]
  a.other = b
  b.other = a
  return [a, b]
}
