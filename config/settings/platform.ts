import { bit, choice, count, logLevel, words } from './setting.ts'

const seconds = { unit: 'seconds' } as const
const entries = { unit: 'entries' } as const

/** What the platform around the broker calls by these names. */
export const PLATFORM = {
  certAuthEnabled: bit('CERT_AUTH_ENABLED', {
    default: false,
    meaning:
      'An active device certificate authenticates telemetry; on unless set to 0 where Midge makes the tables (the embedded database, MIDGE_MIGRATE=on)',
  }),
  requireToken: bit('REQUIRE_TOKEN', {
    default: true,
    meaning: 'Telemetry that no certificate authenticates needs a provision token',
  }),
  autoProvision: bit('AUTO_PROVISION', {
    default: false,
    meaning: 'Register unknown devices of a tenant with room in its subscription',
  }),
  countersEnabled: bit('COUNTERS_ENABLED', {
    default: true,
    meaning: 'Count rejections by minute in the database',
  }),
  expireCertificates: choice('MIDGE_EXPIRE_CERTIFICATES', ['auto', 'on', 'off'], {
    default: 'auto',
    meaning:
      'Every hour, ACTIVE rows of device_certificates past their not_after become EXPIRED; auto: where Midge makes the tables, since elsewhere the platform’s own worker does it',
  }),
  writeCrl: choice('MIDGE_WRITE_CRL', ['off', 'on'], {
    default: 'off',
    meaning:
      'Write the CRL to CRL_OUTPUT_PATH every hour, and as soon as a revocation is seen, from the REVOKED rows of device_certificates; signed with DEVICE_CA_KEY_PATH',
  }),
  settingsPollSeconds: count('SETTINGS_POLL_SECONDS', {
    ...seconds,
    default: 5,
    meaning: 'Time between two looks at app_settings',
  }),
  logStatsEverySeconds: count('LOG_STATS_EVERY_SECONDS', {
    ...seconds,
    default: 30,
    meaning: 'Time between two lines of statistics',
  }),
  authCacheTtlSeconds: count('AUTH_CACHE_TTL_SECONDS', {
    ...seconds,
    default: 60,
    meaning: 'How long a device of the registry is remembered',
  }),
  authCacheMaxSize: count('AUTH_CACHE_MAX_SIZE', {
    ...entries,
    default: 10_000,
    meaning: 'Devices remembered',
  }),
  bucketTtlSeconds: count('BUCKET_TTL_SECONDS', {
    ...seconds,
    default: 3600,
    meaning: 'Idle time after which a device’s rate is forgotten',
  }),
  bucketCleanupSeconds: count('BUCKET_CLEANUP_INTERVAL', {
    ...seconds,
    default: 300,
    meaning: 'Time between two sweeps of those',
  }),
  flushIntervalMs: count('FLUSH_INTERVAL_MS', {
    default: 1000,
    unit: 'milliseconds',
    meaning: 'Accepted for the platform’s sake: a batch here never waits for a timer',
  }),
  ingestWorkers: count('INGEST_WORKER_COUNT', {
    default: 4,
    max: 1024,
    unit: 'workers',
    meaning: 'Accepted for the platform’s sake: one process does the work here',
  }),
  passwordFile: words('MQTT_PASSWD_FILE', {
    default: '/mosquitto/passwd/passwd',
    meaning:
      'Password file the platform writes; if set, the start without a configuration file reads it instead of its own',
    directive: undefined,
  }),
  deviceCaCertificate: words('DEVICE_CA_CERT_PATH', {
    default: '/mosquitto/certs/device-ca.crt',
    meaning:
      'Certificate of the device CA; if set, the start without a configuration file trusts it',
    directive: undefined,
  }),
  deviceCaKey: words('DEVICE_CA_KEY_PATH', {
    default: '/mosquitto/certs/device-ca.key',
    meaning: 'Key of the device CA; read only to sign a CRL, when MIDGE_WRITE_CRL is on',
    directive: undefined,
  }),
  crlOutput: words('CRL_OUTPUT_PATH', {
    default: '/mosquitto/certs/device-crl.pem',
    meaning:
      'CRL the platform writes, or Midge with MIDGE_WRITE_CRL; if set, the start without a configuration file reads it',
    directive: undefined,
  }),
  certificateExpiryWarningDays: count('CERT_EXPIRY_WARNING_DAYS', {
    default: 30,
    unit: 'days',
    meaning:
      'Accepted for the platform’s sake: its own worker warns before notAfter of a device certificate',
  }),
  rotationGraceHours: count('ROTATION_GRACE_HOURS', {
    default: 24,
    min: 0,
    unit: 'hours',
    meaning:
      'Accepted for the platform’s sake: a rotated certificate is good until it is revoked or expires',
  }),
  deliveryWorkers: count('DELIVERY_WORKER_COUNT', {
    default: 2,
    max: 1024,
    unit: 'workers',
    meaning: 'Accepted for the platform’s sake: there are no message routes here',
  }),
  metricMapCacheTtlSeconds: count('METRIC_MAP_CACHE_TTL', {
    ...seconds,
    default: 300,
    meaning: 'Accepted for the platform’s sake: metric keys are stored as they come',
  }),
  metricMapCacheMaxSize: count('METRIC_MAP_CACHE_SIZE', {
    ...entries,
    default: 10_000,
    meaning: 'Accepted for the platform’s sake, like METRIC_MAP_CACHE_TTL',
  }),
  logLevel: logLevel('LOG_LEVEL', {
    default: 'info',
    shownDefault: 'INFO',
    meaning: 'DEBUG, INFO, WARNING, ERROR or CRITICAL, or a level of MIDGE_LOG_LEVEL, which wins',
    directive: undefined,
  }),
  serviceName: words('SERVICE_NAME', {
    default: 'ingest',
    meaning: 'Name in every log line',
  }),
} as const
