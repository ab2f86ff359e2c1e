/** What every connection shares; made once in assemble.ts. */
import type { LimitsConfig, MqttConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import type { Engine } from './engine/engine.ts'
import type { Inbound } from './inbound.ts'
import type { ConnectionObserver } from './ports.ts'
import type { Portions } from './portions.ts'
import type { RateLimitedNotes } from './rate-limited-notes.ts'
import type { Receiving } from './receiving.ts'
import type { RevokedSessions } from './revoked-sessions.ts'
import type { Router } from './router.ts'
import type { MemoryStore } from './store/index.ts'
import type { TenantConnections } from './tenant-connections.ts'
import type { Wire } from './wire.ts'

export interface BrokerParts {
  /** These three as they are in force now: a reload changes their fields. Read them at each use. */
  readonly limits: LimitsConfig
  readonly mqtt: MqttConfig
  readonly deniedPublish: 'drop' | 'disconnect'
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  readonly engine: Engine
  readonly store: MemoryStore
  readonly revokedSessions: RevokedSessions
  readonly router: Router
  readonly inbound: Inbound
  readonly receiving: Receiving
  readonly portions: Portions
  /** Each connection takes itself out of it when it closes. */
  readonly connections: { delete(connection: unknown): void }
  readonly tenantConnections: TenantConnections
  readonly observer: ConnectionObserver | undefined
  /** Log lines of refused peers, at a bounded rate. */
  readonly refusals: RateLimitedNotes
  /** Counts packets and, when asked to, writes them down. */
  readonly wire: Wire
  /** `clock.monotonic()` as of the last sweep: cheap enough for every packet. */
  sweptAt(): number
}
