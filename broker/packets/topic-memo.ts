import type { TopicName } from '../../core/names.ts'
import { readTopicName } from './topic.ts'
import { readUtf8 } from './utf8.ts'

const MAX_ENTRIES = 4
/** Longer topics are read anew each time, so that a connection cannot make the memo large. */
const MAX_TOPIC_BYTES = 256
const WHERE = 'PUBLISH: Topic Name'

interface Entry {
  readonly bytes: Uint8Array
  readonly topic: TopicName
}

/**
 * The last few Topic Names of one connection: a device sends the same ones over and over, so they
 * are decoded and checked once and found again by their bytes. What it returns is always what the
 * bytes say. The same string object each time also spares its users the hashing.
 */
export class TopicMemo {
  readonly #entries: Entry[] = []
  #oldest = 0

  /**
   * The Topic Name in `bytes[start, end)`. Hot path.
   *
   * @throws MalformedPacket when it is none (MQTT 3.1.1 §4.7)
   */
  read(bytes: Buffer, start: number, end: number): TopicName {
    const entries = this.#entries
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]
      if (entry !== undefined && isSame(entry.bytes, bytes, start, end)) return entry.topic
    }
    const topic = readTopicName(readUtf8(bytes, start, end, WHERE), WHERE, 'MQTT-3.3.2-2')
    if (end - start <= MAX_TOPIC_BYTES) {
      entries[this.#oldest] = { bytes: new Uint8Array(bytes.subarray(start, end)), topic }
      this.#oldest = (this.#oldest + 1) % MAX_ENTRIES
    }
    return topic
  }
}

/** From the end, where the topics of one device differ. */
function isSame(known: Uint8Array, bytes: Buffer, start: number, end: number): boolean {
  if (known.length !== end - start) return false
  for (let i = known.length - 1; i >= 0; i--) {
    if (known[i] !== bytes[start + i]) return false
  }
  return true
}
