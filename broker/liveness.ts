/**
 * Whether a connection still lives: CONNECT in time, Keep Alive [MQTT-3.1.2-24], and a socket that
 * takes what it is sent. Looked at about once a second, with times as coarse: an assignment for each
 * packet is all it costs.
 */

/** A socket that took no byte for so long, with bytes waiting, is cut (Aedes: drainTimeout). */
const STALLED_MS = 60_000

export class Liveness {
  /** Milliseconds; 0: the client asked for none. */
  keepAliveMs = 0
  readonly #openedAt: number
  #lastHeard: number
  #lastProgress: number

  constructor(now: number) {
    this.#openedAt = now
    this.#lastHeard = now
    this.#lastProgress = now
  }

  /** A packet came. */
  heard(now: number): void {
    this.#lastHeard = now
  }

  /** The socket took bytes, or there are none for it. */
  progressed(now: number): void {
    this.#lastProgress = now
  }

  isLate(now: number, connectTimeoutMs: number): boolean {
    return now - this.#openedAt > connectTimeoutMs
  }

  /** Why an open connection is over, if so; what we keep from it does not count against it. */
  look(
    now: number,
    state: { readonly isWaiting: boolean; readonly isRead: boolean; readonly backlogBytes: number },
  ): { reason: 'keep_alive_timeout' | 'too_slow'; detail?: string } | undefined {
    const { isWaiting, isRead, backlogBytes } = state
    if (isWaiting || backlogBytes === 0) this.progressed(now)
    // Who is not read cannot be heard.
    if (isWaiting || !isRead) this.heard(now)
    const reason = this.failing(now)
    if (reason !== 'too_slow') return reason === undefined ? undefined : { reason }
    return { reason, detail: `${backlogBytes} bytes unsent for ${STALLED_MS} ms` }
  }

  /** Why it is over, if so. */
  failing(now: number): 'keep_alive_timeout' | 'too_slow' | undefined {
    if (this.keepAliveMs > 0 && now - this.#lastHeard > this.keepAliveMs)
      return 'keep_alive_timeout'
    return now - this.#lastProgress > STALLED_MS ? 'too_slow' : undefined
  }
}
