/** The sections of Config that both starts share, from settings and what a file says. */
import { join } from 'node:path'
import type { Block } from './blocks.ts'
import type { SettingValues } from './environment.ts'
import { ENVIRONMENT } from './problems.ts'
import type { Problems } from './problems.ts'
import { mosquittoLogOf } from './mosquitto-log.ts'
import { DATABASE, GENERAL } from './settings/general.ts'
import { INGEST } from './settings/ingest.ts'
import { LIMITS } from './settings/limits.ts'
import { PLATFORM } from './settings/platform.ts'
import { ROTATION } from './settings/rotation.ts'
import type { Setting } from './settings/setting.ts'
import type {
  AdminConfig,
  CrlWriterConfig,
  DatabaseConfig,
  DeviceTrustConfig,
  IngestSettings,
  LimitsConfig,
  ListenerConfig,
  LogConfig,
  RegistryConfig,
  RevocationConfig,
} from './types.ts'

/** 0 is "no bound" in Mosquitto: the bound above it, which always is one, stays. */
const unless0 = (value: number | undefined, otherwise: number): number | undefined =>
  value === 0 ? otherwise : value

/** -1, and any other negative number, is "no bound" in Mosquitto: ours stays. */
const unlessNegative = (value: number | undefined): number | undefined =>
  value !== undefined && value < 0 ? undefined : value

/** @param global of mosquitto.conf, if there is one */
export function limitsOf(
  values: SettingValues,
  global: Block | undefined,
  problems: Problems,
  tenancy: boolean,
): LimitsConfig {
  const maxQueuedBytesTotal = values.of(LIMITS.maxQueuedBytesTotal)
  const limits: LimitsConfig = {
    maxConnectBytes: values.of(LIMITS.maxConnectBytes),
    maxPacketBytes: values.of(
      LIMITS.maxPacketBytes,
      global === undefined
        ? undefined
        : (global.integer('max_packet_size') ?? MOSQUITTO_MAX_PACKET),
    ),
    connectTimeoutMs: values.of(LIMITS.connectTimeoutMs),
    maxConnections: values.of(
      LIMITS.maxConnections,
      unlessNegative(global?.integer('global_max_connections')),
    ),
    maxSessions: values.of(
      LIMITS.maxSessions,
      unlessNegative(global?.integer('global_max_clients')),
    ),
    maxInflightMessages: values.of(
      LIMITS.maxInflightMessages,
      unless0(global?.integer('max_inflight_messages'), 65_535),
    ),
    maxQueuedMessages: values.of(
      LIMITS.maxQueuedMessages,
      unless0(global?.integer('max_queued_messages'), Number.MAX_SAFE_INTEGER),
    ),
    maxQueuedBytes: values.of(
      LIMITS.maxQueuedBytes,
      unless0(global?.integer('max_queued_bytes'), maxQueuedBytesTotal),
    ),
    maxQueuedBytesTotal,
    tenantSharePercent: tenancy ? values.of(LIMITS.tenantSharePercent) : 100,
    maxSubscriptionsPerSession: values.of(LIMITS.maxSubscriptionsPerSession),
    maxRetainedMessages: values.of(LIMITS.maxRetainedMessages),
    maxRetainedBytes: values.of(LIMITS.maxRetainedBytes),
    maxSocketBacklogBytes: values.of(LIMITS.maxSocketBacklogBytes),
    maxWaitingPublishes: values.of(LIMITS.maxWaitingPublishes),
    maxWaitingBytes: values.of(LIMITS.maxWaitingBytes),
  }
  if (limits.maxConnections === 0) {
    problems.warn(global?.placeOf('global_max_connections') ?? ENVIRONMENT, NOBODY_CONNECTS)
  }
  return limits
}

/** What Mosquitto 2.1 takes without `max_packet_size`; a fleet may send that much. */
const MOSQUITTO_MAX_PACKET = 2_000_000

const NOBODY_CONNECTS = 'global_max_connections 0 lets nobody connect.'

/** @param listeners those the policy is for; a crlfile anywhere makes `auto` the strict choice */
export function revocationOf(
  values: SettingValues,
  listeners: readonly ListenerConfig[],
): RevocationConfig {
  const withoutCrl = values.of(GENERAL.withoutCrl)
  const anyCrl = listeners.some(({ tls }) => tls?.crlfile !== undefined)
  return {
    whenMissing: values.of(GENERAL.crlMissing),
    whenStale: values.of(GENERAL.crlStale),
    withoutCrl: withoutCrl === 'auto' ? (anyCrl ? 'refuse' : 'accept') : withoutCrl,
    intermediatesWithoutCrl: values.of(GENERAL.intermediatesWithoutCrl),
    requireCrlNumber: values.of(GENERAL.requireCrlNumber) === 'on',
  }
}

export function deviceTrustOf(values: SettingValues): DeviceTrustConfig {
  const deviceCafile = values.of(GENERAL.deviceCa)
  const pinnedCertificates = values.of(GENERAL.pinnedCertificates)
  return {
    ...(deviceCafile === undefined ? {} : { deviceCafile }),
    ...(pinnedCertificates === undefined ? {} : { pinnedCertificates }),
  }
}

const DATABASE_SETTINGS = [
  DATABASE.url,
  DATABASE.host,
  DATABASE.port,
  DATABASE.name,
  DATABASE.user,
  DATABASE.password,
]

/** Undefined when none is configured. */
function databaseOf(values: SettingValues, problems: Problems): DatabaseConfig | undefined {
  if (DATABASE_SETTINGS.every((setting) => values.given<unknown>(setting) === undefined)) {
    return undefined
  }
  const shared = {
    poolMax: values.of(DATABASE.poolMax),
    poolMin: values.of(DATABASE.poolMin),
    migrate: values.of(DATABASE.migrate) === 'on',
  }
  if (shared.poolMin > shared.poolMax) {
    problems.error(
      ENVIRONMENT,
      `PG_POOL_MIN is ${shared.poolMin}, expected at most PG_POOL_MAX, which is ${shared.poolMax}.`,
    )
  }
  const connectionString = values.of(DATABASE.url)
  if (connectionString !== undefined) {
    const none = { host: undefined, port: undefined, user: undefined, password: undefined }
    return { connectionString, ...none, database: undefined, ...shared }
  }
  const password = values.of(DATABASE.password)
  if (password === undefined) {
    problems.error(ENVIRONMENT, 'PG_PASS is not set, expected the password of PG_USER.')
  }
  return {
    connectionString: undefined,
    host: values.of(DATABASE.host),
    port: values.of(DATABASE.port),
    user: values.of(DATABASE.user),
    password,
    database: values.of(DATABASE.name),
    ...shared,
  }
}

/** @param always `auto` means on even when no database is configured */
export function ingestOf(
  values: SettingValues,
  always: boolean,
  problems: Problems,
): IngestSettings | undefined {
  const wanted = values.of(INGEST.ingest)
  const configured = databaseOf(values, problems)
  const database = configured ?? (always || wanted === 'on' ? 'embedded' : undefined)
  if (database === undefined || wanted === 'off') return undefined
  const expires = values.of(PLATFORM.expireCertificates)
  return {
    database,
    maxPayloadBytes: values.of(INGEST.maxPayloadBytes),
    batchSize: values.of(INGEST.batchSize),
    writers: values.of(INGEST.writers),
    maxWaitingRecords: values.of(INGEST.queueSize) + values.of(INGEST.bufferSize),
    maxWaitingBytes: values.of(INGEST.maxWaitingBytes),
    statementTimeoutMs: values.of(INGEST.statementTimeoutMs),
    storeRejects: values.of(INGEST.storeRejects),
    acknowledge: values.of(INGEST.acknowledge),
    registry: registryOf(values, database),
    timestamps: { numeric: values.of(INGEST.numericTs), clamp: values.of(INGEST.clampTs) },
    connectionEvents: values.of(INGEST.connectionEvents) === 'on',
    auditTelemetry: values.of(INGEST.auditTelemetry) === 'on',
    messageKey: values.of(INGEST.messageKey) === 'on',
    metricLimits: values.of(INGEST.metricLimits) === 'on',
    expireCertificates: expires === 'auto' ? isOurs(database) : expires === 'on',
    statisticsEverySeconds: values.of(PLATFORM.logStatsEverySeconds),
  }
}

/** In a database of ours a device's certificate is registered when it is made, and no token is. */
function registryOf(values: SettingValues, database: IngestSettings['database']): RegistryConfig {
  return {
    mode: values.of(INGEST.registry),
    certAuthEnabled: values.given(PLATFORM.certAuthEnabled) ?? isOurs(database),
    requireToken: values.of(PLATFORM.requireToken),
    autoProvision: values.of(PLATFORM.autoProvision),
    unlistedCertificate: values.of(INGEST.unlistedCertificate),
    countersEnabled: values.of(PLATFORM.countersEnabled),
    settingsPollSeconds: values.of(PLATFORM.settingsPollSeconds),
    listen: values.of(INGEST.registryListen),
    authCacheTtlSeconds: values.of(PLATFORM.authCacheTtlSeconds),
    authCacheMaxSize: values.of(PLATFORM.authCacheMaxSize),
    bucketTtlSeconds: values.of(PLATFORM.bucketTtlSeconds),
    bucketCleanupSeconds: values.of(PLATFORM.bucketCleanupSeconds),
  }
}

/** We make the tables, and nobody else looks after them. */
function isOurs(database: IngestSettings['database']): boolean {
  return database === 'embedded' || database.migrate
}

export function tenancyOf(values: SettingValues, ingest: IngestSettings | undefined): boolean {
  const tenancy = values.of(GENERAL.tenancy)
  return tenancy === 'auto' ? ingest !== undefined : tenancy === 'on'
}

/** @param always open it even when nothing asks for it */
export function adminOf(values: SettingValues, always: boolean): AdminConfig | undefined {
  const host = values.given(GENERAL.httpHost)
  const given = values.given(GENERAL.httpPort)
  const metricsPort = values.of(ROTATION.metrics) ? values.of(ROTATION.metricsPort) : undefined
  const wanted = always || host !== undefined || given !== undefined
  const port = wanted ? (given ?? GENERAL.httpPort.default).port : undefined
  const address = host ?? GENERAL.httpHost.default
  if (port === undefined) {
    return metricsPort === undefined ? undefined : { host: address, port: metricsPort }
  }
  const second = metricsPort === undefined || metricsPort === port ? {} : { metricsPort }
  return { host: address, port, ...second }
}

export type Verbosity = 'normal' | 'verbose' | 'quiet'

const LOG_TYPE_LEVELS: readonly (readonly [LogConfig['level'], readonly string[]])[] = [
  ['debug', ['all', 'debug', 'subscribe', 'unsubscribe', 'websockets', 'internal']],
  ['info', ['information', 'notice']],
  ['warn', ['warning']],
  ['error', ['error']],
]

/** Mosquitto logs sets of types and we log from a level on: the lowest that has one of them. */
function levelOfFile(global: Block | undefined): LogConfig['level'] | undefined {
  if (global?.texts('log_dest').at(-1) === 'none') return 'silent'
  const all = global?.texts('log_type') ?? []
  const types = all.slice(all.lastIndexOf('none') + 1)
  if (all.length > 0 && types.length === 0) return 'silent'
  return LOG_TYPE_LEVELS.find(([, names]) => names.some((name) => types.includes(name)))?.[0]
}

export function logOf(
  values: SettingValues,
  verbosity: Verbosity,
  global: Block | undefined,
  problems: Problems,
): LogConfig {
  const given = values.given(GENERAL.logLevel) ?? values.given(PLATFORM.logLevel)
  const level = given ?? levelOfFile(global)
  const levels = { normal: level ?? 'info', verbose: 'trace', quiet: 'silent' } as const
  const to = (global?.texts('log_dest') ?? []).filter((one) => one === 'stdout' || one === 'stderr')
  const mosquitto = mosquittoLogOf(global, verbosity, given, problems)
  return {
    level: levels[verbosity],
    destination: to.at(-1) ?? 'stderr',
    service: values.of(PLATFORM.serviceName),
    ...(mosquitto === undefined ? {} : { mosquitto }),
  }
}

const WRITE_CRL_WITHOUT_INGEST =
  'MIDGE_WRITE_CRL is "on", expected off: without ingest there is no table of certificates.'

/** @param directory where the files are unless they are named; undefined: the platform's own place */
export function crlWriterOf(
  values: SettingValues,
  ingest: IngestSettings | undefined,
  directory: string | undefined,
  problems: Problems,
): CrlWriterConfig | undefined {
  if (values.of(PLATFORM.writeCrl) === 'off') return undefined
  if (ingest === undefined) problems.error(ENVIRONMENT, WRITE_CRL_WITHOUT_INGEST)
  const pathOf = (setting: Setting<string>, name: string) =>
    values.given(setting) ?? (directory === undefined ? setting.default : join(directory, name))
  return {
    caCertificate: pathOf(PLATFORM.deviceCaCertificate, 'device-ca.crt'),
    caKey: pathOf(PLATFORM.deviceCaKey, 'device-ca.key'),
    output: pathOf(PLATFORM.crlOutput, 'device-crl.pem'),
  }
}
