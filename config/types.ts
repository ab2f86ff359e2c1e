/**
 * One frozen Config, made by `loadConfig` from mosquitto.conf, the environment and argv, or by the
 * newcomer's start. Units and defaults stand at each field; docs/configuration.md lists the names
 * users set them by.
 */

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
  /** How changed certificate files come into force; absent: at once (tests). */
  readonly rotation?: RotationConfig
  /** HTTP for health, readiness and metrics; undefined: none. */
  readonly admin: AdminConfig | undefined
  readonly log: LogConfig
  /** Seconds between `$SYS` publications; 0: never. Default 10. */
  readonly sysInterval: number
  /** What a PUBLISH without the right to it gets. Default `drop`. */
  readonly deniedPublish: 'drop' | 'disconnect'
  /** Certificates, password file and embedded database of a start without configuration file. */
  readonly dataDirectory?: string
  /** What a mosquitto.conf says beyond the defaults; absent: the defaults. */
  readonly mqtt?: MqttConfig
  readonly persistence?: PersistenceConfig
  readonly platform?: PlatformConfig
  /** Write the process id here. */
  readonly pidFile?: string
  /** Change to this user once ports and files are open; only when started as root. */
  readonly user?: string
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

export interface ListenerConfig {
  /** For logs and metrics, such as `8883`; unique. */
  readonly name: string
  /** Undefined: every interface, IPv4 and IPv6. */
  readonly address: string | undefined
  /** 1 to 65535; 0 lets the system choose (tests). */
  readonly port: number
  readonly protocol: 'mqtt' | 'websockets'
  /** Undefined: plain TCP. */
  readonly tls: TlsConfig | undefined
  readonly allowAnonymous: boolean
  /** Mosquitto password file; undefined: no user name and password log in here. */
  readonly passwordFile: string | undefined
  /** Mosquitto acl_file; undefined: see `accountAccess` and `tenancy`. */
  readonly aclFile: string | undefined
  /**
   * Without an acl_file: `everything` for whoever authenticated (Mosquitto), or a list of the
   * accounts that have everything while others have nothing (newcomer's start: service_pulse).
   */
  readonly accountAccess: 'everything' | readonly string[]
  /** Sockets at once; the next one is closed right after accept. -1: no cap. */
  readonly maxConnections: number
  /** The machine may lack this address (`::1`): a warning then, not the end. Default false. */
  readonly optional?: boolean
  /** A Unix socket in place of address and port; port is 0 then. */
  readonly socketPath?: string
  /** Only this network interface. */
  readonly bindInterface?: string
  /** One address family only. */
  readonly family?: 'ipv4' | 'ipv6'
  /** MQTT protocol levels let in; absent: all that are spoken. */
  readonly protocolLevels?: readonly (3 | 4 | 5)[]
  /** Default true. */
  readonly allowZeroLengthClientId?: boolean
  /** Begins Client Identifiers the broker makes. Default `auto-`. */
  readonly autoIdPrefix?: string
  /** Put before all topics of the clients here, cut off on delivery. */
  readonly mountPoint?: string
  /** Default 2. */
  readonly maxQos?: 0 | 1 | 2
  readonly useUsernameAsClientId?: boolean
  /** Origin headers that may upgrade; absent: any. */
  readonly websocketOrigins?: readonly string[]
  /** A PROXY header comes first. */
  readonly proxyProtocol?: {
    readonly version: 1 | 2
    readonly requireTls: boolean
    /** Of the proxy's word on the client's certificate (version 2). */
    readonly requireCertificate?: boolean
    readonly useIdentityAsUsername?: boolean
  }
  /** TLS by pre-shared keys, in place of `tls`. */
  readonly psk?: PskConfig
}

export interface PskConfig
  extends Pick<TlsConfig, 'handshakeTimeoutMs' | 'maxHandshakes' | 'maxHandshakesPerAddress'> {
  readonly hint: string
  readonly file: string | undefined
  /** The identity of the key is the MQTT user name; user name and password of CONNECT are ignored. */
  readonly useIdentityAsUsername: boolean
  /** OpenSSL list; undefined: every strong one with PSK. */
  readonly ciphers: string | undefined
}

export interface TlsConfig {
  readonly certfile: string
  readonly keyfile: string
  /** CAs that client certificates may chain to; undefined: none is asked for. */
  readonly cafile: string | undefined
  readonly crlfile: string | undefined
  readonly requireCertificate: boolean
  /** The certificate's CN is the MQTT user name; user name and password of CONNECT are ignored. */
  readonly useIdentityAsUsername: boolean
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  /** OpenSSL list for both kinds (TLS_* names are 1.3); undefined: Node's. */
  readonly ciphers: string | undefined
  /** Milliseconds from accept to the end of the handshake. Default 20 000. */
  readonly handshakeTimeoutMs: number
  /** Sockets in handshake at once, on this listener and per peer address. Defaults 500, 50. */
  readonly maxHandshakes: number
  readonly maxHandshakesPerAddress: number
  /** A folder of CAs, read like `cafile`. */
  readonly capath?: string
  /** The whole subject in RFC 2253 order is the MQTT user name. */
  readonly useSubjectAsUsername?: boolean
  /** Client certificates before notBefore and after notAfter are good too. */
  readonly ignoreCertificateDates?: boolean
}

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

export interface IngestConfig {
  readonly database: DatabaseConfig
  /** Payload bytes; one more is PAYLOAD_TOO_LARGE. Default 8192. */
  readonly maxPayloadBytes: number
  /** Rows in one batch at the most. Default 1000. */
  readonly batchSize: number
  /** Connections that write at once. Default 2. */
  readonly writers: number
  /** Records held at the most (INGEST_QUEUE_SIZE + MAX_BUFFER_SIZE). Default 55 000. */
  readonly maxWaitingRecords: number
  /** Bytes of the same. Default 128 MiB. */
  readonly maxWaitingBytes: number
  /** Milliseconds one statement may take. Default 30 000. */
  readonly statementTimeoutMs: number
  /** Write rejected messages to quarantine_events. Default true. */
  readonly storeRejects: boolean
  /** PUBACK after COMMIT, or (`buffer`) after the record entered the queue. */
  readonly acknowledge: 'commit' | 'buffer'
  /** Absent: the registry is not asked about anything. */
  readonly registry?: RegistryConfig
  /** Absent: a number as `ts` is ignored, and every `ts` is stored as it is. */
  readonly timestamps?: TimestampConfig
  /** Rows of device_connection_events for devices that come and go. Default false. */
  readonly connectionEvents?: boolean
  /** A row of audit_log for each stored message too. Default false. */
  readonly auditTelemetry?: boolean
  /** Store no message twice that is sent again; INSERT instead of COPY. Default false. */
  readonly messageKey?: boolean
  /** Seconds between two lines of statistics; absent or 0: none. */
  readonly statisticsEverySeconds?: number
}

/** What devices have to prove, and how long the answers of the database are believed. */
export interface RegistryConfig {
  /** `auto`: on when the database has a table device_registry at start. */
  readonly mode: 'auto' | 'on' | 'off'
  /** Default: true in a database that is ours to create tables in, else false. */
  readonly certAuthEnabled: boolean
  /** Default true. */
  readonly requireToken: boolean
  /** Default false. */
  readonly autoProvision: boolean
  /**
   * A certificate that device_certificates does not have: it needs a token as well (default);
   * `strict`: it may not even connect; `device`: any active certificate of the device stands in for
   * it; `ca`: chain and CRL suffice.
   */
  readonly unlistedCertificate: 'token' | 'strict' | 'device' | 'ca'
  readonly countersEnabled: boolean
  readonly settingsPollSeconds: number
  readonly authCacheTtlSeconds: number
  readonly authCacheMaxSize: number
  readonly bucketTtlSeconds: number
  readonly bucketCleanupSeconds: number
}

export interface TimestampConfig {
  /** `accept`: seconds since 1970, or milliseconds from 10^11 on. */
  readonly numeric: 'ignore' | 'accept'
  /** A `ts` more than 30 days before or 60 s after the time of receipt becomes that time. */
  readonly clamp: boolean
}

/**
 * Ingest as configured. `embedded` is for app.ts: it starts the PostgreSQL that comes along, in the
 * data directory, and gives ingest/ an IngestConfig that holds its address.
 */
export type IngestSettings = Omit<IngestConfig, 'database'> & {
  readonly database: DatabaseConfig | 'embedded'
}

/**
 * What the platform around the broker sets by its own environment names, read and kept for the
 * parts that act on it. A path is the platform's default unless it was set. What ingest acts on is in
 * IngestConfig.registry, with the defaults that go with its database.
 */
export interface PlatformConfig {
  readonly certAuthEnabled: boolean
  readonly requireToken: boolean
  readonly autoProvision: boolean
  readonly countersEnabled: boolean
  readonly settingsPollSeconds: number
  readonly logStatsEverySeconds: number
  readonly authCacheTtlSeconds: number
  readonly authCacheMaxSize: number
  readonly bucketTtlSeconds: number
  readonly bucketCleanupSeconds: number
  readonly flushIntervalMs: number
  readonly ingestWorkers: number
  readonly passwordFile: string
  readonly deviceCaCertificate: string
  readonly deviceCaKey: string
  readonly crlOutput: string
  readonly certificateExpiryWarningDays: number
  readonly rotationGraceHours: number
  readonly deliveryWorkers: number
  readonly metricMapCacheTtlSeconds: number
  readonly metricMapCacheMaxSize: number
}

export interface DatabaseConfig {
  /** postgres:// URL, or undefined when host, user and so on are given. Never logged. */
  readonly connectionString: string | undefined
  readonly host: string | undefined
  readonly port: number | undefined
  readonly user: string | undefined
  readonly password: string | undefined
  readonly database: string | undefined
  readonly poolMax: number
  /** Connections kept open. Default 2. */
  readonly poolMin?: number
  /** Ours to create tables in (the embedded default). */
  readonly migrate: boolean
}

export interface RevocationConfig {
  /** A configured crlfile that does not exist yet: the listener waits, or opens with an empty list. */
  readonly whenMissing: 'wait' | 'open'
  /** A CRL past its nextUpdate. Default `serve-stale`. */
  readonly whenStale: 'serve-stale' | 'refuse'
  /** A CA in force that no CRL covers. Default `accept` without a crlfile, else `refuse`. */
  readonly withoutCrl: 'accept' | 'refuse'
}

/** Following certificate, key and CA files, and putting in force what changed. CRLs never wait. */
export interface RotationConfig {
  /** Milliseconds between looks at the files, whatever the file system reports. Default 5 000. */
  readonly checkIntervalMs: number
  /**
   * Milliseconds the files must stand still before they are judged. Default 1 000, and 10 000 when
   * any setting of this group was given.
   */
  readonly stabilityWindowMs: number
  /** Milliseconds between two swaps of one listener. Default 5 000. */
  readonly cooldownMs: number
  /** Warn this long before notAfter. Default 14. */
  readonly expiryWarnDays: number
  /** False: what changed is checked and reported, and the old stays in use. Default true. */
  readonly swap: boolean
  /** Undefined: no handshake is tried. */
  readonly probe: ProbeConfig | undefined
}

export interface ProbeConfig {
  /** Where to look after a swap; undefined: at the listener itself. */
  readonly upstream: { readonly host: string; readonly port: number } | undefined
  /** Sent as SNI, and compared with the names in the certificate; undefined: neither. */
  readonly servername: string | undefined
  /** Milliseconds of one handshake. Default 5 000. */
  readonly timeoutMs: number
}

export interface AdminConfig {
  readonly host: string
  readonly port: number
  /** The same again on a second port; absent: none. */
  readonly metricsPort?: number
}

export interface LogConfig {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent'
  /** Default stderr, as Mosquitto. */
  readonly destination?: 'stdout' | 'stderr'
  /** `service` of every line. Default `ingest`. */
  readonly service?: string
  /** Mosquitto's lines in place of JSON: the file has `log_dest` or `log_type`. */
  readonly mosquitto?: MosquittoLogConfig
}

export interface MosquittoLogConfig {
  /** None: nothing is logged. */
  readonly destinations: readonly ('stdout' | 'stderr' | 'topic' | 'file')[]
  /** Appended to. */
  readonly file?: string
  readonly types: readonly MosquittoLogType[]
  /** Begin each line with the time. Default true. */
  readonly timestamp: boolean
  /** Of strftime; undefined: seconds since 1970. */
  readonly timestampFormat: string | undefined
}

/** `log_type` of mosquitto.conf that something is logged under here. */
export type MosquittoLogType =
  | 'error'
  | 'warning'
  | 'notice'
  | 'information'
  | 'debug'
  | 'subscribe'
  | 'unsubscribe'

/** Where something was found. `line` counts from 1; undefined: the file as a whole. */
export interface Place {
  readonly file: string
  readonly line: number | undefined
}

/** Accepted, but worth a look; `problem` holds nothing secret. */
export interface ConfigWarning {
  readonly place: Place
  readonly problem: string
}

/** A Mosquitto acl_file that was read; an empty one gives nobody anything. */
export interface AclFile {
  readonly file: string
  /** In file order. */
  readonly rules: readonly AclRule[]
  readonly warnings: readonly ConfigWarning[]
}

export interface AclRule {
  /** `topic` belongs to its `user` section; `pattern` to every client, wherever it stands. */
  readonly kind: 'topic' | 'pattern'
  /** Undefined: a `pattern`, or a `topic` before the first `user` (anonymous clients only). */
  readonly user: string | undefined
  /** `deny` is for reading and writing alike. */
  readonly access: 'read' | 'write' | 'readwrite' | 'deny'
  /** A valid Topic Filter; in a `pattern` it may hold %c, %u, %t and %d. */
  readonly filter: string
  readonly file: string
  readonly line: number
}

/** A Mosquitto psk_file that was read. */
export interface PskFile {
  readonly file: string
  /** By identity. */
  readonly keys: ReadonlyMap<string, Buffer>
  readonly warnings: readonly ConfigWarning[]
}

/** A Mosquitto password_file that was read. */
export interface PasswordFile {
  readonly file: string
  /** By user name. */
  readonly accounts: ReadonlyMap<string, PasswordVerifier>
  readonly warnings: readonly ConfigWarning[]
}

/** What a password is checked against; `encoded` is the field as it stands in the file. */
export type PasswordVerifier =
  | {
      readonly scheme: 'pbkdf2-sha512'
      readonly iterations: number
      readonly salt: Buffer
      readonly key: Buffer
      readonly encoded: string
    }
  | {
      readonly scheme: 'sha512'
      readonly salt: Buffer
      readonly key: Buffer
      readonly encoded: string
    }
  | {
      readonly scheme: 'argon2id'
      readonly memoryKiB: number
      readonly passes: number
      readonly parallelism: number
      readonly salt: Buffer
      readonly key: Buffer
      readonly encoded: string
    }
  /** Recognised, but this build cannot verify it: never logs anyone in. */
  | { readonly scheme: 'unverifiable'; readonly encoded: string }
