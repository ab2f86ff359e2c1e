import { address, choice, count, flag, names, optional, port, words } from './setting.ts'

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const

/** The process, its HTTP, its listeners, its policies. */
export const GENERAL = {
  data: words('MIDGE_DATA', {
    default: 'data',
    meaning:
      'Directory of the start without a configuration file: certificates, password file, embedded database',
    directive: undefined,
  }),
  logLevel: choice('MIDGE_LOG_LEVEL', levels, {
    default: 'info',
    meaning: 'Least level that is logged; wins over LOG_LEVEL and log_type, loses to -v and -q',
    directive: 'log_type',
  }),
  sysInterval: count('MIDGE_SYS_INTERVAL', {
    default: 10,
    min: 0,
    max: 65_535,
    unit: 'seconds',
    meaning: 'Time between publications below $SYS; 0: never',
    directive: 'sys_interval',
  }),
  tenancy: choice('MIDGE_TENANCY', ['auto', 'on', 'off'], {
    default: 'auto',
    meaning:
      'on: a certificate names tenant/device and a device stays below its own topics; off: as Mosquitto; auto: on when ingest is on',
  }),
  serviceAccounts: names('MIDGE_SERVICE_ACCOUNTS', {
    default: ['service_pulse'],
    meaning:
      'With tenancy on, the accounts of the password file that may do everything on a listener without an acl_file; other accounts may do nothing there',
  }),
  deniedPublish: choice('MIDGE_DENIED_PUBLISH', ['drop', 'disconnect'], {
    default: 'drop',
    meaning:
      'What a PUBLISH without the right to it gets: acknowledged and dropped, or a closed connection',
  }),
  deviceRetain: choice('MIDGE_DEVICE_RETAIN', ['honour', 'clear'], {
    default: 'honour',
    meaning:
      'Retain flag of what a device publishes; clear: its messages are delivered and not retained, nor do empty ones clear what is',
  }),
  httpHost: words('MIDGE_HTTP_HOST', {
    default: '127.0.0.1',
    meaning: 'Address of health, readiness and metrics',
  }),
  httpPort: port('MIDGE_HTTP_PORT', {
    default: 8080,
    meaning:
      'Port of the same; 0: any free one. With a configuration file HTTP is opened only when ingest is on or one of these two is set',
  }),
  listen: address('MIDGE_LISTEN', {
    default: 'loopback',
    meaning:
      'Address of the password listeners of the start without a configuration file: loopback (127.0.0.1 and ::1), all, or one address',
    directive: undefined,
  }),
  mqttsListen: address('MIDGE_MQTTS_LISTEN', {
    default: 'all',
    meaning: 'Address of its mutual TLS listener: loopback, all, or one address',
    directive: undefined,
  }),
  mqttsPort: port('MIDGE_MQTTS_PORT', {
    default: 8883,
    meaning: 'Port of its mutual TLS listener; 0: any free one',
    directive: undefined,
  }),
  mqttPort: port('MIDGE_MQTT_PORT', {
    default: 1883,
    meaning: 'Port of its plain MQTT listener with passwords; 0: any free one',
    directive: undefined,
  }),
  wsPort: port('MIDGE_WS_PORT', {
    default: 9001,
    meaning: 'Port of its WebSocket listener with passwords; 0: any free one',
    directive: undefined,
  }),
  crlMissing: choice('MIDGE_CRL_MISSING', ['wait', 'open'], {
    default: 'wait',
    meaning:
      'A crlfile that does not exist yet: wait keeps its listener closed until it does; open starts with an empty list',
  }),
  crlStale: choice('MIDGE_CRL_STALE', ['serve-stale', 'refuse'], {
    default: 'serve-stale',
    meaning:
      'A CRL past its nextUpdate: stays in force with an alarm, or every certificate of its issuer is refused',
  }),
  withoutCrl: choice('MIDGE_WITHOUT_CRL', ['auto', 'accept', 'refuse'], {
    default: 'auto',
    meaning:
      'Certificates of a CA that no CRL covers; auto: refuse as soon as any listener has a crlfile, else accept',
  }),
  intermediatesWithoutCrl: choice('MIDGE_INTERMEDIATES_WITHOUT_CRL', ['accept', 'refuse'], {
    default: 'accept',
    meaning:
      'CAs whose own issuer no CRL covers: Mosquitto looks up the client certificate alone, and its crlfiles rarely hold the list of the root',
  }),
  requireCrlNumber: choice('MIDGE_REQUIRE_CRL_NUMBER', ['off', 'on'], {
    default: 'off',
    meaning:
      'A CRL without crlNumber (RFC 5280 §5.2.3) is refused; off: its thisUpdate tells which of two is newer',
  }),
  deviceCa: optional('MIDGE_DEVICE_CA', {
    expected: 'a file',
    meaning:
      'The CAs of devices, when the cafile holds others too: a certificate whose chain passes none of them is refused, on every listener',
  }),
  pinnedCertificates: optional('MIDGE_PINNED_CERTIFICATES', {
    expected: 'a directory',
    meaning:
      'Certificates that stand for a device whoever issued them: TENANT/DEVICE.crt, or TENANT/DEVICE/….crt for several; followed. Unset: none do',
  }),
  revokedSession: choice('MIDGE_REVOKED_SESSION', ['discard', 'keep'], {
    default: 'discard',
    meaning:
      'The stored Session of a certificate that is revoked, or of a device that is barred: discard drops it with all that is queued; keep leaves it to the next good certificate of the same name. A Will goes out in neither case',
  }),
  tlsSessionTickets: flag('MIDGE_TLS_TICKETS', {
    default: false,
    meaning:
      'Let clients of the TLS listeners resume their session: a cheaper handshake, the certificate is judged again all the same',
    directive: 'midge_tls_session_tickets',
  }),
} as const

/** Means something only in a start without a configuration file. */
export const NEWCOMER_ONLY: ReadonlySet<string> = new Set([
  'MIDGE_DATA',
  'MIDGE_LISTEN',
  'MIDGE_MQTTS_LISTEN',
  'MIDGE_MQTTS_PORT',
  'MIDGE_MQTT_PORT',
  'MIDGE_WS_PORT',
])

const MASK = { secret: true } as const

function isPostgresUrl(text: string): boolean {
  return /^postgres(ql)?:\/\//u.test(text) && URL.canParse(text)
}

/** Where rows go. Ingest is on when one of the first six is set. */
export const DATABASE = {
  url: optional('DATABASE_URL', {
    expected: 'a postgres:// URL',
    accept: isPostgresUrl,
    meaning: 'PostgreSQL to store telemetry in; wins over PG_*',
    ...MASK,
  }),
  host: words('PG_HOST', { default: 'iot-postgres', meaning: 'PostgreSQL host' }),
  port: count('PG_PORT', { default: 5432, max: 65_535, meaning: 'PostgreSQL port' }),
  name: words('PG_DB', { default: 'iotcloud', meaning: 'PostgreSQL database' }),
  user: words('PG_USER', { default: 'iot', meaning: 'PostgreSQL user' }),
  password: optional('PG_PASS', {
    meaning: 'PostgreSQL password; required with the other PG_* unless DATABASE_URL is set',
    ...MASK,
  }),
  poolMin: count('PG_POOL_MIN', {
    default: 2,
    min: 0,
    max: 1000,
    unit: 'connections',
    meaning: 'PostgreSQL connections kept open',
  }),
  poolMax: count('PG_POOL_MAX', {
    default: 10,
    max: 1000,
    unit: 'connections',
    meaning: 'PostgreSQL connections at the most',
  }),
  migrate: choice('MIDGE_MIGRATE', ['auto', 'on', 'off'], {
    default: 'auto',
    meaning: 'Create and update the tables at start; auto: only in the embedded database',
  }),
} as const
