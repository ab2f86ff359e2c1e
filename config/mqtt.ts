import type { Blocks } from './blocks.ts'
import type { Environment } from './environment.ts'
import type { MqttConfig, PersistenceConfig } from './types.ts'

/** What a mosquitto.conf says for all listeners, Mosquitto's defaults where it is silent. */
export function mqttOf({ global }: Blocks): MqttConfig {
  return {
    checkRetainSource: global.boolean('check_retain_source') ?? true,
    clientIdPrefix: global.text('clientid_prefixes'),
    connectionMessages: global.boolean('connection_messages') ?? true,
    maxInflightBytes: global.integer('max_inflight_bytes') ?? 0,
    maxKeepAlive: global.integer('max_keepalive') ?? 0,
    maxPayloadBytes: global.integer('message_size_limit') ?? 0,
    queueQos0: global.boolean('queue_qos0_messages') ?? false,
    retainAvailable: global.boolean('retain_available') ?? true,
    sessionExpirySeconds: global.integer('persistent_client_expiration'),
    tcpNoDelay: global.boolean('set_tcp_nodelay') ?? true,
    upgradeOutgoingQos: global.boolean('upgrade_outgoing_qos') ?? false,
  }
}

export function persistenceOf({ global }: Blocks, environment: Environment): PersistenceConfig {
  // Mosquitto's own variable, which wins over the directive there too.
  const location = environment['MOSQUITTO_PERSISTENCE_LOCATION']
  return {
    enabled: global.boolean('persistence') ?? false,
    file: global.text('persistence_file') ?? 'mosquitto.db',
    location: location === undefined ? global.text('persistence_location') : location,
    autosaveInterval: global.integer('autosave_interval') ?? 1800,
    autosaveOnChanges: global.boolean('autosave_on_changes') ?? false,
  }
}
