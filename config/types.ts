/**
 * One frozen Config, made by `loadConfig` from mosquitto.conf, the environment and argv, or by the
 * newcomer's start. Units and defaults stand at each field; docs/configuration.md lists the names
 * users set them by.
 */
import type { AdminConfig, LimitsConfig, MqttConfig, PersistenceConfig } from './types/broker.ts'
import type {
  CrlWriterConfig,
  DeviceTrustConfig,
  RevocationConfig,
  RotationConfig,
} from './types/certificates.ts'
import type { IngestSettings } from './types/ingest.ts'
import type { ListenerConfig } from './types/listener.ts'
import type { LogConfig } from './types/log.ts'

export type * from './types/access-files.ts'
export type * from './types/broker.ts'
export type * from './types/certificates.ts'
export type * from './types/ingest.ts'
export type * from './types/listener.ts'
export type * from './types/log.ts'

export interface Config {
  readonly listeners: readonly ListenerConfig[]
  /**
   * On: a certificate must name `tenant/device` and a device stays below its own prefix. Off:
   * Mosquitto's semantics to the letter. Default: on when ingest is on.
   */
  readonly tenancy: boolean
  readonly limits: LimitsConfig
  /** Undefined: a plain broker, nothing is stored. */
  readonly ingest: IngestSettings | undefined
  readonly revocation: RevocationConfig
  /** Absent: every CA of a listener's cafile stands for devices, and no certificate is pinned. */
  readonly deviceTrust?: DeviceTrustConfig
  /** How changed certificate files come into force; absent: at once (tests). */
  readonly rotation?: RotationConfig
  /** HTTP for health, readiness and metrics; undefined: none. */
  readonly admin: AdminConfig | undefined
  readonly log: LogConfig
  /** Seconds between `$SYS` publications; 0: never. Default 10. */
  readonly sysInterval: number
  /** What a PUBLISH without the right to it gets. Default `drop`. */
  readonly deniedPublish: 'drop' | 'disconnect'
  /** What becomes of the stored Session of a revoked certificate or barred device. Default `discard`. */
  readonly revokedSession?: 'discard' | 'keep'
  /** A device may retain messages; `clear`: they are delivered as if they were not. Default `honour`. */
  readonly deviceRetain?: 'honour' | 'clear'
  /** Certificates, password file and embedded database of a start without configuration file. */
  readonly dataDirectory?: string
  /** What a mosquitto.conf says beyond the defaults; absent: the defaults. */
  readonly mqtt?: MqttConfig
  readonly persistence?: PersistenceConfig
  /** Absent: somebody else writes the CRL, or nobody does. */
  readonly crlWriter?: CrlWriterConfig
  /** Write the process id here. */
  readonly pidFile?: string
  /** Change to this user once ports and files are open; only when started as root. */
  readonly user?: string
}
