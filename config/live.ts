/**
 * What a reload puts in force, field by field: who may connect and do what, bounds, policies and the
 * log. Everything else is built into open sockets, files and pools, and waits for a restart.
 */
import type { Config } from './types.ts'
import type { LimitsConfig, ListenerConfig, LogConfig } from './types.ts'
import type { MqttConfig, RevocationConfig } from './types.ts'

const LOG = ['level', 'destination', 'mosquitto'] as const satisfies (keyof LogConfig)[]

const LIMITS = [
  'maxPacketBytes',
  'maxConnections',
  'maxInflightMessages',
  'maxQueuedMessages',
  'maxQueuedBytes',
  'maxSessions',
] as const satisfies (keyof LimitsConfig)[]

/** All but `checkRetainSource`, which Mosquitto does not reload either. */
const MQTT = [
  'clientIdPrefix',
  'connectionMessages',
  'maxInflightBytes',
  'maxKeepAlive',
  'maxPayloadBytes',
  'queueQos0',
  'retainAvailable',
  'sessionExpirySeconds',
  'tcpNoDelay',
  'upgradeOutgoingQos',
] as const satisfies (keyof MqttConfig)[]

const POLICIES = [
  'whenMissing',
  'whenStale',
  'intermediatesWithoutCrl',
  'requireCrlNumber',
] as const satisfies (keyof RevocationConfig)[]

const LISTENER = [
  'allowAnonymous',
  'passwordFile',
  'aclFile',
  'allowZeroLengthClientId',
  'autoIdPrefix',
] as const satisfies (keyof ListenerConfig)[]

const LIVE: readonly string[] = [
  'sysInterval',
  'deniedPublish',
  ...LOG.map((key) => `log.${key}`),
  ...LIMITS.map((key) => `limits.${key}`),
  ...MQTT.map((key) => `mqtt.${key}`),
  ...POLICIES.map((key) => `revocation.${key}`),
  ...LISTENER.map((key) => `listener: ${key}`),
]

/**
 * @param path of a field, as `difference` names it, with `listener: ` in place of the listener's name
 */
export function isLive(path: string, before: Config, after: Config): boolean {
  if (path === 'revocation.withoutCrl') return !changesCrlFiles(before, after)
  if (path === 'listener: accountAccess') return before.tenancy === after.tenancy
  return LIVE.some((live) => path === live || path.startsWith(`${live}.`))
}

/** The Config in force once the live part of `after` is, and what waits for a restart waits. */
export function withLivePart(before: Config, after: Config): Config {
  const { withoutCrl } = changesCrlFiles(before, after) ? before.revocation : after.revocation
  const listeners = new Map(after.listeners.map((listener) => [listener.name, listener]))
  const mqtt = before.mqtt === undefined ? undefined : taken(before.mqtt, after.mqtt, MQTT)
  return {
    ...before,
    sysInterval: after.sysInterval,
    deniedPublish: after.deniedPublish,
    log: taken(before.log, after.log, LOG),
    limits: taken(before.limits, after.limits, LIMITS),
    ...(mqtt === undefined ? {} : { mqtt }),
    revocation: { ...taken(before.revocation, after.revocation, POLICIES), withoutCrl },
    listeners: before.listeners.map((listener) =>
      withLivePartOf(
        listener,
        listeners.get(listener.name),
        // What accounts may do without an acl_file follows from tenancy, and waits with it.
        before.tenancy === after.tenancy ? [...LISTENER, 'accountAccess'] : LISTENER,
      ),
    ),
  }
}

function withLivePartOf(
  before: ListenerConfig,
  after: ListenerConfig | undefined,
  keys: readonly (keyof ListenerConfig)[],
): ListenerConfig {
  const listener = taken(before, after, keys)
  const { psk } = listener
  if (psk === undefined || after?.psk === undefined) return listener
  return { ...listener, psk: { ...psk, file: after.psk.file } }
}

/**
 * Is there a crlfile in one and in the other none? What the lack of a list means may follow from that
 * (`auto`), and must not be in force before the list is, or after it was given up: the one shuts out
 * every certificate, the other lets every revoked one in.
 */
function changesCrlFiles(before: Config, after: Config): boolean {
  const [one, other] = [before, after].map(({ listeners }) =>
    listeners.some(({ tls }) => tls?.crlfile !== undefined),
  )
  return one !== other
}

function taken<T extends object>(from: T, to: T | undefined, keys: readonly (keyof T)[]): T {
  const result = { ...from }
  if (to !== undefined) for (const key of keys) result[key] = to[key]
  return result
}
