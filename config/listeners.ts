/**
 * Listener blocks to ListenerConfigs: who may connect (allow_anonymous, listener_allow_anonymous,
 * password files), what belongs to which listener (`per_listener_settings`), and local-only mode,
 * where no listener is configured and only this machine is served.
 */
import { Block } from './blocks.ts'
import type { Blocks, ListenerBlock } from './blocks.ts'
import type { SettingValues } from './environment.ts'
import { placeText } from './errors.ts'
import type { Problems } from './problems.ts'
import { pskOf, tlsOf } from './tls.ts'
import type { ListenerConfig, Place } from './types.ts'

const LOCAL_ONLY = [
  'Starting in local only mode. Connections will only be possible from clients running on this machine.',
  'Create a configuration file which defines a listener to allow remote access.',
  'For more details see docs/mosquitto.md.',
]

/** @param ports of the command line; they count in local-only mode only */
export function listenersOf(
  blocks: Blocks,
  ports: readonly number[],
  values: SettingValues,
  problems: Problems,
): readonly ListenerConfig[] {
  if (blocks.localOnly) {
    for (const line of LOCAL_ONLY) problems.warn(blocks.global.place, line)
    return localListeners(blocks, ports, values, problems)
  }
  const listeners = blocks.listeners.map((block) => {
    const listener = listenerOf(block, blocks, false, values, problems)
    refuseProxyConflicts(block, listener, problems)
    return listener
  })
  refuseTakenPorts(blocks.listeners, listeners, problems)
  warnOfLackingAcl(blocks, listeners, problems)
  return listeners
}

function localListeners(
  blocks: Blocks,
  ports: readonly number[],
  values: SettingValues,
  problems: Problems,
): readonly ListenerConfig[] {
  const place = blocks.global.place
  const block = blocks.listeners[0] ?? {
    opening: undefined,
    settings: new Block(place),
    security: new Block(place),
  }
  const base = listenerOf(block, blocks, true, values, problems)
  return (ports.length === 0 ? [1883] : ports).flatMap((port) =>
    ['127.0.0.1', '::1'].map((address) => ({
      ...base,
      address,
      port,
      name: nameOf(address, port, block.settings),
      optional: address === '::1',
    })),
  )
}

function listenerOf(
  block: ListenerBlock,
  blocks: Blocks,
  anonymousByDefault: boolean,
  values: SettingValues,
  problems: Problems,
): ListenerConfig {
  const { settings, security } = block
  const { port, address, socketPath } = addressOf(block)
  const text = (key: string): string | undefined => security.text(key) ?? blocks.security.text(key)
  const boolean = (key: string): boolean | undefined =>
    security.boolean(key) ?? blocks.security.boolean(key)
  const protocol = protocolOf(settings, problems)
  const listener: ListenerConfig = {
    name: socketPath ?? nameOf(address, port, settings),
    address,
    port,
    protocol,
    tls: tlsOf(block, values, problems),
    allowAnonymous:
      settings.boolean('listener_allow_anonymous') ??
      boolean('allow_anonymous') ??
      anonymousByDefault,
    passwordFile: text('password_file'),
    aclFile: text('acl_file'),
    accountAccess: 'everything',
    maxConnections: settings.integer('max_connections') ?? -1,
    ...(socketPath === undefined ? {} : { socketPath }),
    ...extrasOf(settings, text, boolean('allow_zero_length_clientid'), values),
  }
  if (listener.protocolLevels?.every((level) => level === 5) === true) {
    problems.warn(
      settings.placeOf('accept_protocol_versions'),
      `Nobody can connect to listener ${listener.name}: MQTT 5 is not spoken here yet.`,
    )
  }
  const { tls, psk } = listener
  if (psk !== undefined && psk.file === undefined) {
    problems.warn(
      settings.placeOf('psk_hint'),
      `Nobody can connect to listener ${listener.name}: psk_hint without a psk_file.`,
    )
  }
  const byCertificate =
    tls?.useIdentityAsUsername === true ||
    tls?.useSubjectAsUsername === true ||
    listener.proxyProtocol?.useIdentityAsUsername === true
  if (
    !listener.allowAnonymous &&
    listener.passwordFile === undefined &&
    !byCertificate &&
    psk === undefined
  ) {
    problems.warn(
      settings.place,
      `Nobody can connect to listener ${listener.name}: there is no password_file and allow_anonymous is false.`,
    )
  }
  return listener
}

function addressOf({ opening, settings }: ListenerBlock): {
  port: number
  address: string | undefined
  socketPath?: string
} {
  if (opening === undefined) {
    return { port: settings.integer('port') ?? 1883, address: settings.text('bind_address') }
  }
  if (opening.port !== 0 || opening.address === undefined) return opening
  return { port: 0, address: undefined, socketPath: opening.address }
}

/** What tells listeners on one port apart is in it. */
function nameOf(address: string | undefined, port: number, settings: Block): string {
  const at = address ?? settings.text('bind_interface')
  if (at !== undefined) return at.includes(':') ? `[${at}]:${port}` : `${at}:${port}`
  const family = settings.text('socket_domain')
  return family === undefined ? String(port) : `${family}:${port}`
}

function protocolOf(settings: Block, problems: Problems): 'mqtt' | 'websockets' {
  const protocol = settings.text('protocol')
  if (protocol === 'http_api') {
    problems.error(
      settings.placeOf('protocol'),
      "The 'protocol' option is refused: there is no http_api here, and MQTT would answer in its place; MIDGE_HTTP_PORT opens health and metrics.",
    )
  }
  return protocol === 'websockets' ? 'websockets' : 'mqtt'
}

const PROTOCOL_LEVELS = [3, 4, 5] as const
const QOS = [0, 1, 2] as const

/** Fields that are absent unless the file has them. */
function extrasOf(
  settings: Block,
  security: (key: string) => string | undefined,
  allowZeroLengthClientId: boolean | undefined,
  values: SettingValues,
): Partial<ListenerConfig> {
  const bindInterface = settings.text('bind_interface')
  const family = settings.text('socket_domain')
  const levels = settings.words('accept_protocol_versions')
  const prefix = settings.text('listener_auto_id_prefix') ?? security('auto_id_prefix')
  const mountPoint = settings.text('mount_point')
  const maxQos = QOS.find((qos) => qos === settings.integer('max_qos'))
  const origins = settings.texts('websockets_origin')
  const proxy = settings.integer('enable_proxy_protocol')
  const requireTls = settings.boolean('proxy_protocol_v2_require_tls') ?? false
  const psk = pskOf(settings, security('psk_file'), values)
  return {
    ...(bindInterface === undefined ? {} : { bindInterface }),
    ...(family === 'ipv4' || family === 'ipv6' ? { family } : {}),
    ...(levels === undefined
      ? {}
      : { protocolLevels: PROTOCOL_LEVELS.filter((level) => levels.includes(String(level))) }),
    ...(allowZeroLengthClientId === undefined ? {} : { allowZeroLengthClientId }),
    ...(prefix === undefined ? {} : { autoIdPrefix: prefix }),
    ...(mountPoint === undefined ? {} : { mountPoint }),
    ...(maxQos === undefined ? {} : { maxQos }),
    ...(settings.boolean('use_username_as_clientid') === true
      ? { useUsernameAsClientId: true }
      : {}),
    ...(origins.length === 0 ? {} : { websocketOrigins: origins }),
    ...(proxy === 1 || proxy === 2
      ? { proxyProtocol: { version: proxy, requireTls, ...byProxy(settings, proxy) } }
      : {}),
    ...(psk === undefined ? {} : { psk }),
  }
}

/** With version 2 TLS ends at the proxy, and these ask for its word. */
function byProxy(settings: Block, version: 1 | 2): Partial<ListenerConfig['proxyProtocol']> {
  if (version === 1) return {}
  const isOn = (key: string): boolean => settings.boolean(key) === true
  return {
    ...(isOn('require_certificate') ? { requireCertificate: true } : {}),
    ...(isOn('use_identity_as_username') ? { useIdentityAsUsername: true } : {}),
  }
}

function refuseProxyConflicts(
  { settings }: ListenerBlock,
  { tls, proxyProtocol }: ListenerConfig,
  problems: Problems,
): void {
  if (proxyProtocol?.version !== 2) {
    if (settings.boolean('proxy_protocol_v2_require_tls') === true) {
      const text = 'proxy_protocol_v2_require_tls true needs `enable_proxy_protocol 2`.'
      problems.error(settings.placeOf('proxy_protocol_v2_require_tls'), text)
    }
    return
  }
  const place = settings.placeOf('enable_proxy_protocol')
  if (settings.boolean('use_subject_as_username') === true) {
    problems.error(place, 'use_subject_as_username cannot be used with `enable_proxy_protocol 2`.')
  }
  if (tls !== undefined) {
    problems.error(place, 'certfile and keyfile cannot be used with `enable_proxy_protocol 2`.')
  }
}

/** Mosquitto fails when it opens the second one; we know it before the first. */
function refuseTakenPorts(
  blocks: readonly ListenerBlock[],
  listeners: readonly ListenerConfig[],
  problems: Problems,
): void {
  const taken: { listener: ListenerConfig; place: Place }[] = []
  for (const [i, listener] of listeners.entries()) {
    const place = blocks[i]?.settings.place
    if (place === undefined) continue
    const other = taken.find((taken) => isSameSocket(taken.listener, listener))
    if (other === undefined) taken.push({ listener, place })
    else if (listener.socketPath !== undefined) {
      const { socketPath } = listener
      problems.error(place, `${socketPath} is taken by the listener of ${placeText(other.place)}.`)
    } else {
      problems.error(
        place,
        `Port ${listener.port} is taken by the listener of ${placeText(other.place)}.`,
      )
    }
  }
}

function isSameSocket(one: ListenerConfig, other: ListenerConfig): boolean {
  if (one.socketPath !== other.socketPath) return false
  if (one.socketPath !== undefined) return true
  const mayMeet = (key: 'address' | 'family' | 'bindInterface'): boolean =>
    one[key] === undefined || other[key] === undefined || one[key] === other[key]
  return (
    one.port === other.port && mayMeet('address') && mayMeet('family') && mayMeet('bindInterface')
  )
}

/** Since the file reads as if one acl_file stood for all listeners, and does not mean it. */
function warnOfLackingAcl(
  { perListener, listeners: blocks }: Blocks,
  listeners: readonly ListenerConfig[],
  problems: Problems,
): void {
  const holder = listeners.find(({ aclFile }) => aclFile !== undefined)
  if (!perListener || holder === undefined) return
  for (const [i, { name, aclFile }] of listeners.entries()) {
    const place = blocks[i]?.settings.place
    if (aclFile !== undefined || place === undefined) continue
    problems.warn(
      place,
      `Listener ${name} has no acl_file: with per_listener_settings true each listener needs its own, and this file gives one to ${holder.name}.`,
    )
  }
}
