/** What a newcomer sees once everything listens: where things are, and commands to paste. */
import { isAbsolute, relative } from 'node:path'

export interface ScreenFacts {
  readonly version: string
  readonly workingDirectory: string
  readonly dataDirectory: string
  /** Undefined where the listener is not open; the second is then why. */
  readonly ports: {
    readonly mqtts: number | undefined
    readonly mqtt: number
    readonly ws: number
    readonly http: number | undefined
  }
  readonly waiting: readonly string[]
  /** `embedded` or host, port and database; never a password. */
  readonly database: string
  readonly certificates: { readonly directory: string; readonly serverCa: string }
  readonly device: {
    readonly tenantId: string
    readonly deviceId: string
    readonly certificate: string
    readonly key: string
  }
  readonly account: string
  /** Set at the first start only. */
  readonly newPassword: string | undefined
  readonly passwordFile: string
  readonly warnings: readonly string[]
}

const PAYLOAD = '{"site_id":"north","metrics":{"temp_c":21.4}}'

/** Plain text of at most 100 columns where paths allow. */
export function welcomeScreen(facts: ScreenFacts): string {
  const path = (absolute: string) => shorten(absolute, facts.workingDirectory)
  const { ports, device, account } = facts
  const topic = `tenant/${device.tenantId}/device/${device.deviceId}/telemetry`
  const password = facts.newPassword ?? '<password>'
  const lines = [
    '',
    `Midge ${facts.version} is running. Ctrl-C stops it.`,
    '',
    ports.mqtts === undefined
      ? '  devices, mutual TLS      waiting (see below)'
      : `  devices, mutual TLS      mqtts://localhost:${ports.mqtts}`,
    `  services, password       mqtt://localhost:${ports.mqtt}`,
    `  services, WebSocket      ws://localhost:${ports.ws}/mqtt`,
    ...(ports.http === undefined
      ? []
      : [`  health, ready, metrics   http://127.0.0.1:${ports.http}/health /ready /metrics`]),
    '',
    `  data directory           ${path(facts.dataDirectory)}`,
    `  certificates             ${path(facts.certificates.directory)}`,
    `  PostgreSQL               ${facts.database}`,
    `  password file            ${path(facts.passwordFile)}`,
    ...(facts.newPassword === undefined
      ? [
          `  password of ${account}: shown at the first start; for a new one:`,
          `    node dist/main.js passwd -g ${path(facts.passwordFile)} ${account}`,
        ]
      : [`  password of ${account}, shown this once: ${facts.newPassword}`]),
    ...facts.waiting.map((text) => `  waiting: ${text}`),
    ...facts.warnings.map((text) => `  warning: ${text}`),
    '',
    `Publish as the device ${device.tenantId}/${device.deviceId} (PUBACK means: the row is committed):`,
    '',
    `  mosquitto_pub -h localhost -p ${ports.mqtts ?? 8883} --cafile ${path(facts.certificates.serverCa)} \\`,
    `    --cert ${path(device.certificate)} --key ${path(device.key)} \\`,
    `    -q 1 -t ${topic} -m '${PAYLOAD}'`,
    '',
    'or with MQTT.js:',
    '',
    `  npx mqtt pub -C mqtts -h localhost -p ${ports.mqtts ?? 8883} --ca ${path(facts.certificates.serverCa)} \\`,
    `    --cert ${path(device.certificate)} --key ${path(device.key)} \\`,
    `    -q 1 -t ${topic} -m '${PAYLOAD}'`,
    '',
    'Subscribe as the service:',
    '',
    `  mosquitto_sub -h localhost -p ${ports.mqtt} -u ${account} -P '${password}' -t 'tenant/#' -v`,
    '',
    'See the rows:',
    '',
    '  node dist/main.js rows',
    '',
    'See what was rejected, and why:',
    '',
    '  node dist/main.js quarantine list',
    '',
    'Simulated devices: npm run demo',
    '',
  ]
  return lines.join('\n')
}

function shorten(absolute: string, from: string): string {
  const short = relative(from, absolute)
  const best = short === '' || short.startsWith('..') || isAbsolute(short) ? absolute : short
  return /[^\w./@:+-]/u.test(best) ? `'${best}'` : best
}
