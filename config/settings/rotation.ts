import { isIP } from 'node:net'
import {
  count,
  duration,
  flag,
  hostAndPort,
  optional,
  optionalDuration,
  optionalPort,
} from './setting.ts'

/**
 * The names of the daemon that watched Mosquitto's certificates and restarted it: they mean here
 * what they meant there, with a swap in place of the restart.
 */
export const ROTATION = {
  certDir: optional('CERT_DIR', {
    expected: 'a directory',
    meaning:
      'Directory of server.crt and server.key for the start without a configuration file, in place of our own; they may come later. A configuration file names its files itself',
    directive: undefined,
  }),
  checkInterval: duration('CHECK_INTERVAL', {
    default: '5s',
    minMs: 10,
    meaning:
      'Time between looks at certificate, key and CA files; a change the file system reports is looked at at once',
  }),
  stabilityWindow: optionalDuration('STABILITY_WINDOW', {
    meaning:
      'How long these files must stand still before they are judged; unset: 1s, or 10s when any other setting of this table is given. A CRL never waits',
  }),
  cooldown: duration('RESTART_COOLDOWN', {
    default: '5s',
    meaning: 'Least time between two swaps of one listener',
  }),
  expiryWarnDays: count('EXPIRY_WARN_DAYS', {
    default: 14,
    min: 0,
    max: 36_500,
    unit: 'days',
    meaning: 'Warn this long before notAfter of a server certificate, once a day',
  }),
  probe: flag('ENABLE_TLS_PROBE', {
    default: true,
    meaning:
      'Try a handshake with new files on a throw-away server before they are swapped in, and at UPSTREAM_ADDR after',
  }),
  upstream: hostAndPort('UPSTREAM_ADDR', {
    meaning: 'Where the handshake after a swap goes; unset: to the listener itself',
  }),
  servername: optional('TLS_SNI', {
    expected: 'a host name',
    // RFC 6066 §3: an address is no server name.
    accept: (text) => isIP(text) === 0 && /^[A-Za-z0-9._-]{1,253}$/u.test(text),
    meaning: 'Server name these handshakes ask for; one the certificate lacks is warned of',
  }),
  timeout: duration('TLS_TIMEOUT', {
    default: '5s',
    minMs: 1,
    meaning: 'Time such a handshake may take',
  }),
  swap: flag('ENABLE_RESTART', {
    default: true,
    meaning:
      'false: changed files are checked and reported, and not put in force. Nothing is ever restarted',
  }),
  metrics: flag('ENABLE_METRICS', {
    default: true,
    meaning: 'false: METRICS_PORT is not opened',
  }),
  metricsPort: optionalPort('METRICS_PORT', {
    meaning:
      'Health, readiness and metrics on this port too, at MIDGE_HTTP_HOST; unset: on MIDGE_HTTP_PORT only',
  }),
} as const
