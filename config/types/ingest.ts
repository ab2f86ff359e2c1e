/** Storing telemetry, and what devices have to prove before it is. */

/**
 * Ingest as configured. `embedded` is for app.ts: it starts the PostgreSQL that comes along, in the
 * data directory, and gives ingest/ an IngestConfig that holds its address.
 */
export type IngestSettings = Omit<IngestConfig, 'database'> & {
  readonly database: DatabaseConfig | 'embedded'
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
  /** ACTIVE certificates past their notAfter become EXPIRED, every hour. Default false. */
  readonly expireCertificates?: boolean
  /** At most 50 metrics, their names at most 128 characters and without controls. Default false. */
  readonly metricLimits?: boolean
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
  /** `auto`: LISTEN for changes as well, where the connection allows it. Default `off`. */
  readonly listen?: 'auto' | 'off'
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
