import type { ListenerConfig } from '../config/types.ts'
import type { Log } from '../core/log.ts'
import type { AccessPolicy } from './access-policy.ts'
import type { CloseReason } from './close-reason.ts'
import type { TopicMemo } from './packets/index.ts'
import type { ClientCertificates } from './ports.ts'

/** The connection's own side: its socket, its state, its log. */
export interface NetworkConnection {
  readonly listener: {
    readonly config: ListenerConfig
    readonly policy: AccessPolicy
    readonly certificates: ClientCertificates
  }
  readonly outbox: { readonly backlogBytes: number; write(bytes: Buffer, packets?: number): void }
  readonly topics: TopicMemo
  readonly log: Log
  readonly isOpening: boolean
  /** CONNACK is out. */
  opened(): void
  /** What could not be served before may be now. */
  serve(): void
  close(reason: CloseReason, detail?: string): void
  /** No Session can be had: CONNACK 3, and the end. */
  unavailable(err: unknown): void
}
