import type { Link, PublishOptions } from '../../../broker/store/link.ts'
import type { StoreLimits } from '../../../broker/store/memory.ts'
import { createMessage, type Message, type QoS } from '../../../broker/store/message.ts'
import { QueueBudget } from '../../../broker/store/queue-budget.ts'
import { Session } from '../../../broker/store/session.ts'

/** The defaults of config/types.ts, with whatever a test wants otherwise. */
export function storeLimits(otherwise: Partial<StoreLimits> = {}): StoreLimits {
  return {
    maxInflightMessages: 20,
    maxQueuedMessages: 1000,
    maxQueuedBytes: 8 * 1024 * 1024,
    maxQueuedBytesTotal: 256 * 1024 * 1024,
    maxSocketBacklogBytes: 1024 * 1024,
    maxSessions: 200_000,
    maxSubscriptionsPerSession: 1000,
    maxRetainedMessages: 100_000,
    maxRetainedBytes: 256 * 1024 * 1024,
    ...otherwise,
  }
}

export function createSession(
  options: Partial<StoreLimits> & {
    readonly key?: string
    readonly clean?: boolean
    readonly budget?: QueueBudget
  } = {},
): Session {
  const {
    key = 'key',
    clean = false,
    budget = new QueueBudget({ maxQueuedBytesTotal: 1e9 }),
    ...limits
  } = options
  return new Session({ key, clientId: 'client', clean, limits: storeLimits(limits), budget })
}

export function message(topic: string, qos: QoS = 1, payload: string | Buffer = 'x'): Message {
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload
  return createMessage({ topic, payload: bytes, qos, retain: false })
}

export const LIVE = { retained: false } as const
export const always = (): boolean => true

/** Writes down what a Session sends: `1:a` PUBLISH with QoS 1 and topic a, `+` DUP, `r` RETAIN, `R` PUBREL. */
export class FakeLink implements Link {
  backlogBytes = 0
  readonly sent: string[] = []
  readonly publishes: { readonly message: Message; readonly options: PublishOptions }[] = []
  readonly pubrels: number[] = []

  sendPublish(sent: Message, options: PublishOptions): void {
    const { qos, dup, retain, packetId } = options
    this.publishes.push({ message: sent, options })
    const flags = `${dup ? '+' : ''}${retain ? 'r' : ''}`
    this.sent.push(`${qos}${flags}:${sent.topic}${packetId === 0 ? '' : `#${packetId}`}`)
  }

  sendPubrel(packetId: number): void {
    this.pubrels.push(packetId)
    this.sent.push(`R#${packetId}`)
  }

  get topics(): string[] {
    return this.publishes.map(({ message: { topic } }) => topic)
  }

  /** What was sent since the last call. */
  take(): string[] {
    return this.sent.splice(0)
  }
}

/** The same numbers for the same seed (mulberry32). `below(n)` is one of 0 to n - 1. */
export function randomNumbers(seed: number): { below(n: number): number } {
  let state = seed
  return {
    below(n) {
      state = (state + 0x6d2b79f5) | 0
      let t = Math.imul(state ^ (state >>> 15), 1 | state)
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
      return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4_294_967_296) * n)
    },
  }
}

/** MQTT 3.1.1 §4.7 once more, as plainly as it can be said. */
export function matches(filter: string, topic: string): boolean {
  const [first] = filter
  if (topic.startsWith('$') && (first === '+' || first === '#')) return false
  const levels = topic.split('/')
  const pattern = filter.split('/')
  for (let i = 0; i < pattern.length; i++) {
    if (pattern[i] === '#') return true
    if (i >= levels.length || (pattern[i] !== '+' && pattern[i] !== levels[i])) return false
  }
  return pattern.length === levels.length
}
