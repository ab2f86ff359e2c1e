/**
 * Stored Sessions, by the certificate they were last opened with: a Session belongs to a name
 * (`tenant/device` and Client Identifier), and outlives the certificate that named it. What is queued
 * for a certificate that was revoked meanwhile must not wait for whoever bears the name next.
 */
import { keyOf, type Identity } from './identity/index.ts'
import type { ClientCertificates, PeerCertificate } from './ports.ts'
import type { MemoryStore } from './store/index.ts'

interface Owner {
  /** Undefined: of a device that came by a key or a password. */
  readonly certificate: PeerCertificate | undefined
  /** Of the listener it came in on. */
  readonly judge: Pick<ClientCertificates, 'stillGood'>
}

/** Entries beyond the Sessions there are, before those that are gone are looked for. */
const SLACK = 1024

export class RevokedSessions {
  readonly #store: Pick<MemoryStore, 'sessions' | 'drop'>
  readonly #policy: 'discard' | 'keep'
  /** By name, then by the Session's key. */
  readonly #owners = new Map<string, Map<string, Owner>>()
  #size = 0

  constructor(store: Pick<MemoryStore, 'sessions' | 'drop'>, policy: 'discard' | 'keep') {
    this.#store = store
    this.#policy = policy
  }

  /** Entries held: about as many as there are Sessions. */
  get size(): number {
    return this.#size
  }

  /** A connection has opened the Session of this key. */
  opened(key: string, identity: Identity, judge: Owner['judge']): void {
    if (this.#policy === 'keep' || !('certificate' in identity)) return
    const { certificate } = identity
    if (this.#size > this.#store.sessions.size + SLACK) this.#prune()
    const name = keyOf(identity)
    let ofName = this.#owners.get(name)
    if (ofName === undefined) this.#owners.set(name, (ofName = new Map<string, Owner>()))
    if (!ofName.has(key)) this.#size++
    ofName.set(key, { certificate, judge })
  }

  /**
   * The connection that had it was closed for a revocation.
   *
   * @returns whether it was discarded
   */
  discard(key: string): boolean {
    return this.#policy === 'discard' && this.#store.drop(key)
  }

  /**
   * Discards the Sessions without a connection whose certificate was revoked. Asks about each: call
   * it when there is news, not at intervals.
   *
   * @returns how many there were
   */
  discardAbsent(): number {
    let discarded = 0
    for (const [name, ofName] of this.#owners) {
      discarded += this.#discardOf(name, ofName, ({ certificate, judge }) => {
        if (certificate === undefined) return false
        const state = judge.stillGood(certificate)
        return !state.good && state.reason === 'revoked'
      })
    }
    return discarded
  }

  /** The same for a device that the registry bars. @returns how many there were */
  discardDevice({
    tenantId,
    deviceId,
    fingerprint,
  }: {
    readonly tenantId: string
    readonly deviceId: string
    readonly fingerprint: string | undefined
  }): number {
    const name = keyOf({ kind: 'device', userName: `${tenantId}/${deviceId}` })
    const ofName = this.#owners.get(name)
    if (ofName === undefined) return 0
    return this.#discardOf(
      name,
      ofName,
      ({ certificate }) => fingerprint === undefined || certificate?.fingerprint === fingerprint,
    )
  }

  #discardOf(
    name: string,
    ofName: Map<string, Owner>,
    isRevoked: (owner: Owner) => boolean,
  ): number {
    let discarded = 0
    for (const [key, owner] of ofName) {
      const session = this.#store.sessions.get(key)
      if (session !== undefined && (session.connected || !isRevoked(owner))) continue
      if (session !== undefined && this.#store.drop(key)) discarded++
      ofName.delete(key)
      this.#size--
    }
    if (ofName.size === 0) this.#owners.delete(name)
    return discarded
  }

  #prune(): void {
    for (const [name, ofName] of this.#owners) this.#discardOf(name, ofName, () => false)
  }
}
