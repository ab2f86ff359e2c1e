/** What a Broker is made of, and what can be asked and changed of it while it runs. */
import type { Config } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import type { AccessRules } from './access/index.ts'
import type { PasswordAccounts } from './identity/index.ts'
import type {
  ClientCertificates,
  ConnectionObserver,
  DeviceRegistry,
  PreSharedKeys,
  TelemetrySink,
} from './ports.ts'

/** What stands behind one listener; read from its files by the caller. */
export interface ListenerFiles {
  readonly certificates: ClientCertificates
  readonly accounts: PasswordAccounts | undefined
  readonly rules: AccessRules
  /** Of a listener with TLS by pre-shared keys. */
  readonly keys?: PreSharedKeys | undefined
}

/** The part of it that a reload replaces. */
export interface ListenerAccess {
  /** Undefined: no password_file any more. */
  readonly accounts: PasswordAccounts | undefined
  readonly rules: AccessRules
  /** Is the line of this account (or the key of this identity) gone, new, or another one? */
  isChanged(userName: string): boolean
}

export interface BrokerOptions {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  readonly version: string
  /** Undefined: nothing is ingested. */
  readonly sink: TelemetrySink | undefined
  readonly observer?: ConnectionObserver | undefined
  /** Undefined: a good certificate is all a device needs. */
  readonly registry?: DeviceRegistry | undefined
  /** Lines of NSS key log format, for packet analysers: whoever has them reads the traffic. */
  readonly keylog?: ((line: Buffer) => void) | undefined
  /** By the listener's name. */
  readonly files: ReadonlyMap<string, ListenerFiles>
}

/** One row of what is connected now. */
export interface SessionSummary {
  readonly clientId: string
  readonly user: string | undefined
  readonly kind: string
  readonly listener: string
  readonly peer: string
}
