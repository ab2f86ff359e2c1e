import { Counter, Gauge, Histogram, Registry } from 'prom-client'

/**
 * Every metric by name. Labels are small closed sets; a tenant only appears where INGEST needs the
 * platform's own names, and then only ids that were validated before.
 */
export type Metrics = ReturnType<typeof createMetrics>

export function createMetrics() {
  const registry = new Registry()
  const registers = [registry]
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Counter<L>({ name, help, labelNames, registers })
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Gauge<L>({ name, help, labelNames, registers })

  return {
    registry,
    configRejected: gauge(
      'config_rejected',
      '1 while the configuration on disk is not the one in force: the last reload refused it',
    ),
    configPending: gauge(
      'config_pending_settings',
      'Changed settings that wait for a restart, as of the last reload',
    ),
    accessFilesRejected: gauge(
      'access_files_rejected',
      '1 while acl_file, password_file or psk_file of a listener are refused; the last good ones stay',
      ['listener'],
    ),
    connectionsOpen: gauge('mqtt_connections_open', 'Sockets open now, by listener', ['listener']),
    connectsRefused: counter(
      'mqtt_connects_refused_total',
      'Connections refused before CONNACK 0',
      ['reason'],
    ),
    sessionsOpen: gauge('mqtt_sessions_open', 'Sessions with a Network Connection'),
    sessionsStored: gauge('mqtt_sessions_stored', 'Sessions, connected or kept'),
    sessionsClosed: counter('mqtt_sessions_closed_total', 'Connections of a Session that ended', [
      'reason',
    ]),
    publishReceived: counter(
      'mqtt_publish_received_total',
      'PUBLISH packets accepted from clients',
    ),
    publishSent: counter('mqtt_publish_sent_total', 'PUBLISH packets sent to clients'),
    publishRefused: counter('mqtt_publish_refused_total', 'PUBLISH packets not let through', [
      'reason',
    ]),
    publishDropped: counter('mqtt_publish_dropped_total', 'Deliveries dropped at a bound', [
      'reason',
    ]),
    malformed: counter('mqtt_packets_malformed_total', 'Connections closed for a malformed packet'),
    retainedMessages: gauge('mqtt_retained_messages', 'Retained messages held'),
    queuedMessages: gauge('mqtt_queued_messages', 'Messages queued for Sessions'),

    ingestMessages: counter('pulse_ingest_messages_total', 'Telemetry messages by outcome', [
      'tenant_id',
      'result',
    ]),
    ingestQueueDepth: gauge('pulse_ingest_queue_depth', 'Records not yet committed'),
    ingestDropped: counter('ingest_records_dropped_total', 'QoS 0 records dropped at the bound', [
      'tenant_id',
    ]),
    ingestBatchSeconds: new Histogram({
      name: 'pulse_ingest_batch_write_seconds',
      help: 'Time of one batch from its first byte to COMMIT',
      labelNames: ['tenant_id'],
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30],
      registers,
    }),
    ingestBatchRows: new Histogram({
      name: 'ingest_batch_rows',
      help: 'Rows in one batch',
      buckets: [1, 10, 50, 100, 250, 500, 1000, 2000],
      registers,
    }),
    ingestRowsCommitted: counter('ingest_rows_committed_total', 'Telemetry rows committed'),
    ingestDuplicates: counter(
      'ingest_duplicates_total',
      'Messages sent again that were stored already (MIDGE_MESSAGE_KEY)',
    ),
    ingestRowsIsolated: counter(
      'ingest_rows_isolated_total',
      'Rows PostgreSQL refused, quarantined',
    ),
    ingestQuarantineLost: counter(
      'ingest_quarantine_lost_total',
      'Rejected messages that PostgreSQL would not keep either',
    ),
    ingestRetries: counter('ingest_write_retries_total', 'Batches tried again after a failure'),
    ingestWriteErrors: counter('ingest_write_errors_total', 'Failed writes', ['sqlstate']),
    ingestReports: counter(
      'ingest_device_reports_total',
      'Shadows reported and commands acknowledged by devices, by what became of them',
      ['kind', 'outcome'],
    ),
    ingestEventsLost: counter(
      'ingest_events_lost_total',
      'Events that were not written: audit, connection events',
      ['journal'],
    ),
    ingestCacheHits: counter(
      'ingest_cache_hits_total',
      'Questions about devices and certificates that memory could answer',
      ['cache'],
    ),
    ingestCacheMisses: counter(
      'ingest_cache_misses_total',
      'Questions about devices and certificates that PostgreSQL was asked',
      ['cache'],
    ),
    ingestCacheSize: gauge('ingest_cache_entries', 'Entries remembered', ['cache']),
    ingestRegistryListening: gauge(
      'ingest_registry_listening',
      '1 while PostgreSQL tells of changes in the registry at once (LISTEN); 0: polled for',
    ),
    dbPoolSize: gauge('pulse_db_pool_size', 'PostgreSQL connections open', ['service']),
    dbPoolFree: gauge('pulse_db_pool_free', 'PostgreSQL connections idle', ['service']),

    crlNextUpdate: gauge(
      'pki_crl_next_update_seconds',
      'nextUpdate of the CRL in force, Unix time',
      ['issuer'],
    ),
    crlEntries: gauge('pki_crl_entries', 'Revoked certificates on the CRL in force', ['issuer']),
    crlWritten: gauge(
      'pki_crl_written_seconds',
      'thisUpdate of the CRL last written from the database, Unix time',
    ),
    crlRejected: counter('pki_crl_rejected_total', 'CRL files refused; the last good one stays'),
    crlStale: gauge('pki_crl_stale', '1 while a CRL in force is past its nextUpdate', ['issuer']),
    pins: gauge('pki_pins', 'Pinned certificates that stand for a device'),
    pinProblems: gauge('pki_pin_problems', 'Files of pinned certificates that do not count'),
    certificateNotAfter: gauge(
      'tls_certificate_not_after_seconds',
      'notAfter of the server certificate, Unix time',
      ['listener'],
    ),
    certificateRejected: gauge(
      'tls_certificate_rejected',
      '1 while the files on disk are refused or missing, whether or not older ones are in use',
      ['listener'],
    ),
    listenerFailed: gauge(
      'mqtt_listener_failed',
      '1 while a listener whose files have come cannot be opened, and is tried again',
      ['listener'],
    ),
    certDaysRemaining: gauge(
      'cert_days_remaining',
      'Days to notAfter of the server certificate in use, negative past it',
      ['listener'],
    ),
    certSwaps: counter('cert_swaps_total', 'Certificate files put in force while running', [
      'listener',
    ]),
    swapSuppressed: counter(
      'restart_suppressed_total',
      'Changed certificate files that were not put in force, or not yet',
      ['listener', 'reason'],
    ),
    tlsProbeSuccess: counter(
      'tls_probe_success_total',
      'Changed certificate files whose handshake went well',
      ['listener'],
    ),
    tlsProbeFailure: counter(
      'tls_probe_failure_total',
      'Handshakes with changed certificate files that failed, before or after the swap',
      ['listener'],
    ),
    mosquittoRestarts: counter(
      'mosquitto_restarts_total',
      'Always 0: certificates are swapped in place, and nothing is restarted',
    ),
  }
}
