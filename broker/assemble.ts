/** Builds what a Broker consists of; the listeners are its own to add. */
import { randomBytes } from 'node:crypto'
import type { BrokerOptions } from './broker-options.ts'
import type { BrokerParts } from './broker-parts.ts'
import { Connections } from './connections.ts'
import { Engine } from './engine/engine.ts'
import { Inbound } from './inbound.ts'
import { Portions } from './portions.ts'
import { RateLimitedNotes } from './rate-limited-notes.ts'
import { Receiving } from './receiving.ts'
import { RevokedSessions } from './revoked-sessions.ts'
import { Router } from './router.ts'
import { RulesInForce } from './rules-in-force.ts'
import { MemoryStore } from './store/index.ts'
import { SysTopics } from './sys-topics.ts'
import { TenantConnections } from './tenant-connections.ts'
import { Wire } from './wire.ts'

const SWEEP_MS = 1000

export interface Assembly {
  readonly parts: BrokerParts
  readonly rules: RulesInForce
  readonly connections: Connections
  readonly sys: SysTopics
  stopSweeping(): void
}

export async function assemble(options: BrokerOptions): Promise<Assembly> {
  const { config, clock, metrics, sink } = options
  const log = options.log.child({ part: 'broker' })
  const rules = new RulesInForce(config)
  const { limits, mqtt } = rules
  const store = new MemoryStore(limits, mqtt)
  const router = new Router(store, metrics, mqtt)
  const connections = new Connections()
  // Unique per start and sortable by time, should Aedes ever keep records of ours.
  const id = `${clock.now().toString(36)}-${randomBytes(6).toString('hex')}`
  const engine = await Engine.start(store, log, id)
  const { deviceRetain } = config
  const wire = new Wire(config.log, randomBytes(8).toString('hex'))
  let sweptAt = clock.monotonic()
  const parts: BrokerParts = {
    limits,
    mqtt,
    get deniedPublish() {
      return rules.deniedPublish
    },
    clock,
    log,
    metrics,
    engine,
    store,
    revokedSessions: new RevokedSessions(store, config.revokedSession ?? 'discard'),
    router,
    inbound: new Inbound({ sink, router, metrics, clock, mqtt, deviceRetain }),
    receiving: new Receiving(),
    portions: new Portions(clock, log),
    observer: options.observer,
    connections,
    tenantConnections: new TenantConnections(limits, connections),
    refusals: new RateLimitedNotes(clock, log),
    wire,
    sweptAt: () => sweptAt,
  }
  const stopSweeping = clock.every(SWEEP_MS, () => {
    sweptAt = clock.monotonic()
    connections.sweep(sweptAt)
    const { sessionExpirySeconds } = mqtt
    if (sessionExpirySeconds !== undefined) {
      wire.traffic.sessionsExpired += store.expire(sweptAt, sessionExpirySeconds * 1000)
    }
    metrics.sessionsOpen.set(connections.size)
    metrics.sessionsStored.set(store.sessions.size)
    metrics.retainedMessages.set(store.retained.size)
    metrics.queuedMessages.set(store.counts().queuedMessages)
  })
  const { traffic } = wire
  const sys = new SysTopics({ ...options, config: rules, store, router, connections, traffic })
  return { parts, rules, connections, sys, stopSweeping }
}
