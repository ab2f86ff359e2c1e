import { bit, choice, count } from './setting.ts'

const records = { unit: 'records' } as const

/** Telemetry on its way into PostgreSQL. */
export const INGEST = {
  ingest: choice('MIDGE_INGEST', ['auto', 'on', 'off'], {
    default: 'auto',
    meaning:
      'Store telemetry; auto: when a database is configured, and always without a configuration file; on without a database: the embedded one',
  }),
  maxPayloadBytes: count('MIDGE_MAX_PAYLOAD_BYTES', {
    default: 8192,
    max: 268_435_455,
    unit: 'bytes',
    meaning:
      'Largest telemetry payload; a larger one is PAYLOAD_TOO_LARGE. MAX_PAYLOAD_BYTES in app_settings wins',
  }),
  batchSize: count('BATCH_SIZE', {
    default: 1000,
    max: 100_000,
    unit: 'rows',
    meaning: 'Rows in one batch at the most',
  }),
  writers: count('MIDGE_WRITERS', {
    default: 2,
    max: 64,
    unit: 'connections',
    meaning: 'Connections that write at once',
  }),
  queueSize: count('INGEST_QUEUE_SIZE', {
    ...records,
    default: 50_000,
    meaning: 'Records held at the most, together with MAX_BUFFER_SIZE',
  }),
  bufferSize: count('MAX_BUFFER_SIZE', {
    ...records,
    default: 5000,
    min: 0,
    meaning: 'Added to INGEST_QUEUE_SIZE',
  }),
  maxWaitingBytes: count('MIDGE_INGEST_MAX_WAITING_BYTES', {
    default: 134_217_728,
    unit: 'bytes',
    meaning: 'Bytes of the records held',
  }),
  statementTimeoutMs: count('MIDGE_STATEMENT_TIMEOUT_MS', {
    default: 30_000,
    max: 3_600_000,
    unit: 'milliseconds',
    meaning: 'Time one statement may take',
  }),
  storeRejects: bit('MIDGE_STORE_REJECTS', {
    default: true,
    meaning:
      'Write rejected messages to quarantine_events; with app_settings, only if STORE_REJECTS is 1 and MODE is DEV there',
  }),
  acknowledge: choice('MIDGE_ACKNOWLEDGE', ['commit', 'buffer'], {
    default: 'commit',
    meaning:
      'PUBACK after COMMIT, or already when the record is queued: then an acknowledged record can be lost',
  }),
  messageKey: choice('MIDGE_MESSAGE_KEY', ['off', 'on'], {
    default: 'off',
    meaning:
      'Store a message with a ts of its own once, however often it is sent, where telemetry has a column message_key; slower: INSERT instead of COPY',
  }),
  registry: choice('MIDGE_REGISTRY', ['auto', 'on', 'off'], {
    default: 'auto',
    meaning:
      'Check telemetry against rates, device registry, subscriptions and certificates; auto: when the database has a table device_registry',
  }),
  registryListen: choice('MIDGE_REGISTRY_LISTEN', ['auto', 'off'], {
    default: 'auto',
    meaning:
      'Hear of revocations in the database at once, by LISTEN midge_registry on one more connection; auto: where notifications come through, which a pooler in transaction mode keeps back. Polling goes on either way',
  }),
  unlistedCertificate: choice('MIDGE_UNLISTED_CERTIFICATE', ['token', 'strict', 'device', 'ca'], {
    default: 'token',
    meaning:
      'A good certificate that device_certificates does not have: token: its telemetry needs a provision token as well; strict: it may not connect; device: any active certificate of the device counts; ca: chain and CRL suffice',
  }),
  metricLimits: choice('MIDGE_METRIC_LIMITS', ['off', 'on'], {
    default: 'off',
    meaning:
      'Refuse telemetry with more than 50 metrics, or a name of one that is longer than 128 characters or holds a control character',
  }),
  numericTs: choice('MIDGE_NUMERIC_TS', ['ignore', 'accept'], {
    default: 'ignore',
    meaning:
      'A number as ts: the time of receipt stands in for it, or it is seconds (from 10^11 on, milliseconds) since 1970',
  }),
  clampTs: bit('MIDGE_CLAMP_TS', {
    default: false,
    meaning: 'Replace a ts more than 30 days old or 60 s ahead by the time of receipt',
  }),
  connectionEvents: choice('MIDGE_CONNECTION_EVENTS', ['off', 'on'], {
    default: 'off',
    meaning:
      'Write a row of device_connection_events when a device connects or its connection ends; the platform guesses the same from heartbeats, and would show both',
  }),
  auditTelemetry: choice('MIDGE_AUDIT_TELEMETRY', ['off', 'on'], {
    default: 'off',
    meaning: 'Write a row of audit_log for each stored message as well: as many rows again',
  }),
} as const
