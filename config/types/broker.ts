/** What the broker as a whole is bounded by, and how it behaves. */

export interface LimitsConfig {
  /** Bytes of a CONNECT packet. Default 8 192. */
  readonly maxConnectBytes: number
  /** Bytes of any later packet, fixed header included. Default 262 144. */
  readonly maxPacketBytes: number
  /** Milliseconds from the open socket to a complete CONNECT. Default 10 000. */
  readonly connectTimeoutMs: number
  /** Sockets at once over all listeners. Default 100 000. */
  readonly maxConnections: number
  /** QoS 1 and 2 messages in flight towards one client. Default 20 (Mosquitto). */
  readonly maxInflightMessages: number
  /** Messages queued per Session beyond those in flight; the newest is dropped. Default 1000. */
  readonly maxQueuedMessages: number
  /** Bytes queued per Session. Default 8 MiB. */
  readonly maxQueuedBytes: number
  /** Bytes queued over all Sessions. Default 256 MiB. */
  readonly maxQueuedBytesTotal: number
  /**
   * Percent of the connections, Sessions, queued bytes and retained messages that one tenant alone may
   * have; several get less each. 100, and without tenancy: no bound of their own. Default 80.
   */
  readonly tenantSharePercent?: number
  /** Sessions kept or connected. Default 200 000. */
  readonly maxSessions: number
  readonly maxSubscriptionsPerSession: number
  /** Retained messages and their bytes. Defaults 100 000, 256 MiB. */
  readonly maxRetainedMessages: number
  readonly maxRetainedBytes: number
  /** Bytes waiting in one socket; beyond: QoS 0 is dropped, and at four times the bound the client is cut. Default 1 MiB. */
  readonly maxSocketBacklogBytes: number
  /** PUBLISHes of one connection that wait for their acknowledgement before reading pauses. Default 1000. */
  readonly maxWaitingPublishes: number
  /** Bytes of the same. Default 1 MiB. */
  readonly maxWaitingBytes: number
}

/** Directives of Mosquitto for all listeners. */
export interface MqttConfig {
  /** Deliver a retained message only while its publisher may still write there. Default true. */
  readonly checkRetainSource: boolean
  /** Only Client Identifiers that begin with this may connect; undefined: any. */
  readonly clientIdPrefix: string | undefined
  readonly connectionMessages: boolean
  /** Bytes of QoS 1 and 2 in flight towards one client; 0: no bound of their own. */
  readonly maxInflightBytes: number
  /** Seconds; a longer Keep Alive is refused. 0: no limit. */
  readonly maxKeepAlive: number
  /** Bytes of a payload; a larger one is acknowledged and dropped. 0: no limit. */
  readonly maxPayloadBytes: number
  /** Queue QoS 0 for absent Sessions too. Default false. */
  readonly queueQos0: boolean
  /** False: a PUBLISH with RETAIN ends the connection. Default true. */
  readonly retainAvailable: boolean
  /** Seconds a Session without a connection is kept; undefined: for ever. */
  readonly sessionExpirySeconds: number | undefined
  /** Default true: what one turn sends leaves in one write, so small packets gain nothing by waiting. */
  readonly tcpNoDelay: boolean
  /** Deliver with the subscription's QoS even if the message has a lower one. Default false. */
  readonly upgradeOutgoingQos: boolean
}

/** Asked for by the file; sessions, queues and retained messages live in memory for now. */
export interface PersistenceConfig {
  readonly enabled: boolean
  /** Default `mosquitto.db`. */
  readonly file: string
  /** Undefined: the working directory. */
  readonly location: string | undefined
  /** Seconds, or with `autosaveOnChanges` changes; 0: only at exit. Default 1800. */
  readonly autosaveInterval: number
  readonly autosaveOnChanges: boolean
}

export interface AdminConfig {
  readonly host: string
  readonly port: number
  /** The same again on a second port; absent: none. */
  readonly metricsPort?: number
}
