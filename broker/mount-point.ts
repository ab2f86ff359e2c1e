/**
 * `mount_point` of a listener: a text put before every topic of its clients, and cut off again on
 * the way out. Within the broker only mounted topics exist: access rules, ingest, retained messages
 * and subscriptions all judge the topic with its prefix, as in Mosquitto.
 */
import { Buffer } from 'node:buffer'

/** MQTT 3.1.1 §1.5.3 */
const MAX_BYTES = 65_535
const SHARE = '$share/'

export class MountPoint {
  readonly #prefix: string

  /** @param prefix without wildcards; empty or undefined: topics stay as they are */
  constructor(prefix: string | undefined) {
    this.#prefix = prefix ?? ''
  }

  /** Empty, which is no Topic Name, when the mounted one would be too long for MQTT. */
  topicIn(topic: string): string {
    return this.#prefix === '' ? topic : bounded(this.#prefix + topic)
  }

  /**
   * `$share/{group}/{filter}` is mounted behind its group. A wildcard right behind a prefix without
   * `/` at its end makes no Topic Filter any more, and is refused as such.
   */
  filterIn(filter: string): string {
    if (this.#prefix === '') return filter
    const slash = filter.startsWith(SHARE) ? filter.indexOf('/', SHARE.length) : -1
    if (slash === -1) return bounded(this.#prefix + filter)
    return bounded(filter.slice(0, slash + 1) + this.#prefix + filter.slice(slash + 1))
  }

  /**
   * Undefined: a topic these clients have no name for. A Session that was opened on another listener
   * may still have subscriptions to such topics.
   */
  topicOut(topic: string): string | undefined {
    const prefix = this.#prefix
    if (prefix === '') return topic
    return topic.length > prefix.length && topic.startsWith(prefix)
      ? topic.slice(prefix.length)
      : undefined
  }
}

function bounded(text: string): string {
  return Buffer.byteLength(text) > MAX_BYTES ? '' : text
}
