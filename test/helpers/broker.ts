/** A broker of its own for one test, on ports the system chooses. */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import {
  Broker,
  type AccessRules,
  type ListenerFiles,
  type PasswordAccounts,
} from '../../broker/index.ts'
import { DEFAULT_MQTT } from '../../broker/mqtt-rules.ts'
import type {
  ClientCertificates,
  ConnectionObserver,
  DeviceRegistry,
  PreSharedKeys,
  ServerCredentials,
  TelemetrySink,
} from '../../broker/ports.ts'
import type { Config, LimitsConfig, ListenerConfig, MqttConfig } from '../../config/types.ts'
import { systemClock, type Clock } from '../../core/clock.ts'
import { silentLog, type Log } from '../../core/log.ts'
import { createMetrics, type Metrics } from '../../core/metrics.ts'
import { limits } from './limits.ts'
import { RawClient } from './raw-client.ts'

/** One listener and what stands behind it. */
export interface TestListenerOptions {
  /** Its name is `test` unless told. */
  readonly listener?: Partial<ListenerConfig>
  readonly rules?: AccessRules
  readonly accounts?: PasswordAccounts
  readonly certificates?: ClientCertificates
  /** For a listener with `psk`. */
  readonly keys?: PreSharedKeys
  /** For a listener with `tls`. */
  readonly credentials?: ServerCredentials
}

export interface TestBrokerOptions extends TestListenerOptions {
  readonly tenancy?: boolean
  readonly limits?: Partial<LimitsConfig>
  readonly mqtt?: Partial<MqttConfig>
  readonly sink?: TelemetrySink
  readonly registry?: DeviceRegistry
  readonly observer?: ConnectionObserver
  readonly deniedPublish?: Config['deniedPublish']
  readonly revokedSession?: Config['revokedSession']
  readonly deviceRetain?: NonNullable<Config['deviceRetain']>
  readonly clock?: Clock
  readonly keylog?: (line: Buffer) => void
  readonly log?: Log
  /** Further listeners, each with a name of its own; their ports are `broker.portOf(name)`. */
  readonly also?: readonly TestListenerOptions[]
}

export interface TestBroker {
  readonly broker: Broker
  /** As it was started with. */
  readonly config: Config
  readonly port: number
  readonly metrics: Metrics
  /** A raw TCP client that has sent nothing yet. */
  raw(): Promise<RawClient>
  /** A raw TCP client that has got its CONNACK 0. */
  client(clientId: string, options?: Parameters<RawClient['connect']>[0]): Promise<RawClient>
  /** The same on another of its listeners. */
  clientOf(
    listener: string,
    clientId: string,
    options?: Parameters<RawClient['connect']>[0],
  ): Promise<RawClient>
}

/** Nobody has a certificate here. */
export const noCertificates: ClientCertificates = {
  admit: () => ({ admitted: false, reason: 'no_certificate', detail: 'none expected' }),
  stillGood: () => ({ good: false, reason: 'none' }),
}

export async function startBroker(
  t: TestContext,
  options: TestBrokerOptions = {},
): Promise<TestBroker> {
  const metrics = createMetrics()
  const behind = [options, ...(options.also ?? [])].map((one) => ({
    ...one,
    listener: listenerOf(one),
  }))
  const config: Config = {
    listeners: behind.map(({ listener }) => listener),
    tenancy: options.tenancy ?? false,
    limits: limits(options.limits),
    ingest: undefined,
    revocation: { whenMissing: 'wait', whenStale: 'serve-stale', withoutCrl: 'accept' },
    admin: undefined,
    log: { level: 'silent' },
    sysInterval: 0,
    deniedPublish: options.deniedPublish ?? 'drop',
    ...(options.revokedSession === undefined ? {} : { revokedSession: options.revokedSession }),
    deviceRetain: options.deviceRetain ?? 'honour',
    ...(options.mqtt === undefined ? {} : { mqtt: { ...DEFAULT_MQTT, ...options.mqtt } }),
  }
  const files = new Map<string, ListenerFiles>()
  for (const { listener, certificates = noCertificates, accounts, rules, keys } of behind) {
    const everything = {
      tenancy: config.tenancy,
      acl: undefined,
      accountAccess: 'everything',
    } as const
    files.set(listener.name, { certificates, accounts, rules: rules ?? everything, keys })
  }
  const broker = await Broker.start({
    config,
    clock: options.clock ?? systemClock,
    log: options.log ?? silentLog,
    metrics,
    version: '0.0.0',
    sink: options.sink,
    keylog: options.keylog,
    observer: options.observer,
    registry: options.registry,
    files,
  })
  t.after(() => broker.stop())
  for (const { listener, credentials } of behind) await broker.open(listener.name, credentials)
  const { name, socketPath } = listenerOf(options)
  const port = socketPath === undefined ? broker.portOf(name) : 0
  const rawOf = async (at: number) => {
    const client = await RawClient.tcp(at)
    t.after(() => client.destroy())
    return client
  }
  const raw = () => rawOf(port)
  const clientOf: TestBroker['clientOf'] = async (listener, clientId, connect = {}) => {
    const client = await rawOf(broker.portOf(listener))
    const { returnCode } = await client.connect({ clientId, ...connect })
    assert.equal(returnCode, 0)
    return client
  }
  return {
    broker,
    config,
    port,
    metrics,
    raw,
    client: (clientId, connect) => clientOf(name, clientId, connect),
    clientOf,
  }
}

function listenerOf({ listener }: TestListenerOptions): ListenerConfig {
  return {
    name: 'test',
    address: '127.0.0.1',
    port: 0,
    protocol: 'mqtt',
    tls: undefined,
    allowAnonymous: true,
    passwordFile: undefined,
    aclFile: undefined,
    accountAccess: 'everything',
    maxConnections: -1,
    ...listener,
  }
}
