/** `midge` without a configuration file: everything made where it is absent, then the app. */
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { App } from '../app/index.ts'
import type { Config } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Ingest } from '../ingest/index.ts'
import type { PassphraseSource } from '../pki/index.ts'
import { DEMO_SITE, rowLine, runDemo } from './demo.ts'
import { registrationOf } from './enrolment.ts'
import {
  EXAMPLE_DEVICE,
  EXAMPLE_SITE,
  EXAMPLE_TENANT,
  SERVICE_ACCOUNT,
  deviceFiles,
  prepareFiles,
  type NewcomerFiles,
} from './files.ts'
import { welcomeScreen } from './screen.ts'

export interface NewcomerOptions {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  readonly version: string
  readonly workingDirectory: string
  readonly terminal: {
    write(text: string): unknown
    readonly isTTY?: boolean
    readonly columns?: number
  }
  /** Takes TLS secrets, line by line. */
  readonly keylog?: ((line: Buffer) => void) | undefined
  /** Of encrypted keys of CAs. */
  readonly caPassphrase?: PassphraseSource | undefined
}

export interface Newcomer {
  readonly app: App
  readonly files: NewcomerFiles
  /** Commands to paste, and where things are. */
  readonly screen: string
  stop(): Promise<void>
}

const RENEW_EVERY_MS = 3_600_000

/** @throws OperationalError whose message says what, where and what to do */
export async function startNewcomer(options: NewcomerOptions): Promise<Newcomer> {
  const { config, clock, log, version } = options
  const directory = config.dataDirectory
  if (directory === undefined) throw new Error('a newcomer has a data directory')
  const isFirst = await readFile(join(directory, 'passwd')).then(
    () => false,
    () => true,
  )
  if (isFirst && config.ingest?.database === 'embedded') {
    options.terminal.write(
      `First start: making certificates and a PostgreSQL cluster in ${directory} …\n`,
    )
  }
  const files = await prepareFiles(directory, clock, log, options.caPassphrase)
  const enrol = async (ingest: Ingest): Promise<void> => {
    if (!isOurs(config)) return
    const pem = await readFile(files.device.certificate, 'utf8')
    const device = registrationOf(EXAMPLE_TENANT, EXAMPLE_DEVICE, EXAMPLE_SITE, pem)
    await ingest.registerDevice(device)
  }
  const app = await App.start({
    config,
    clock,
    log,
    version,
    enrol,
    keylog: options.keylog,
    caPassphrase: options.caPassphrase,
  }).catch(async (err: unknown) => {
    // Its password was shown to nobody: the next start is the first one again.
    if (files.newPassword !== undefined) await rm(files.passwordFile, { force: true })
    throw err
  })
  const stopRenewing = clock.every(RENEW_EVERY_MS, () => {
    files.authority.renewDue().then(
      (changes) =>
        changes.map((change) => log.info({ event: 'authority.changed', change }, change)),
      (err: unknown) =>
        log.error({ event: 'authority.failed', err }, 'the authority could not renew'),
    )
  })
  const stop = async () => {
    stopRenewing()
    await app.stop()
  }
  return { app, files, screen: screenOf(options, app, files), stop }
}

/** Runs simulated devices until `stop` aborts. @returns true when nothing acknowledged is missing */
export async function demonstrate(
  { app, files }: Newcomer,
  options: NewcomerOptions & { readonly devices: number; readonly rate: number },
  stop: AbortSignal,
): Promise<boolean> {
  const { ingest } = app
  if (ingest === undefined) throw new Error('the demo needs ingest')
  return await runDemo(
    {
      devices: options.devices,
      rate: options.rate,
      port: app.broker.portOf(listenerOf(options.config, 'mqtts')),
      serverCa: await readFile(files.authority.files.serverCa, 'utf8'),
      clock: options.clock,
      random: Math.random,
      output: options.terminal,
      issue: async (tenant, device) => {
        const devices = join(files.certificates, 'devices')
        const { certificate, key } = await deviceFiles(files.authority, devices, tenant, device)
        const pem = await readFile(certificate, 'utf8')
        if (isOurs(options.config)) {
          await ingest.registerDevice(registrationOf(tenant, device, DEMO_SITE, pem))
        }
        return { certificate: pem, key: await readFile(key, 'utf8') }
      },
      countRows: (tenant) => ingest.countRows(tenant),
      lastRows: (limit) => ingest.lastRows(limit),
      rowsCommitted: () => ingest.counters().messages_written,
    },
    stop,
  )
}

export { rowLine }

/** A database whose tables Midge makes: devices enrolled here are registered there. */
function isOurs({ ingest }: Config): boolean {
  return ingest?.database === 'embedded' || ingest?.database.migrate === true
}

function listenerOf(config: Config, kind: 'mqtts' | 'mqtt' | 'ws'): string {
  const found = config.listeners.find(({ tls, protocol }) => {
    if (kind === 'ws') return protocol === 'websockets'
    return protocol === 'mqtt' && (tls !== undefined) === (kind === 'mqtts')
  })
  if (found === undefined) throw new Error(`no ${kind} listener`)
  return found.name
}

function screenOf(options: NewcomerOptions, app: App, files: NewcomerFiles): string {
  const { config, version, workingDirectory } = options
  const { broker } = app
  const mqtts = listenerOf(config, 'mqtts')
  const { ingest } = config
  const database =
    ingest?.database === 'embedded'
      ? `embedded, in ${join(files.dataDirectory, 'postgres')}`
      : 'the server DATABASE_URL or PG_HOST names'
  return welcomeScreen({
    version,
    workingDirectory,
    dataDirectory: files.dataDirectory,
    ports: {
      mqtts: broker.isOpen(mqtts) ? broker.portOf(mqtts) : undefined,
      mqtt: broker.portOf(listenerOf(config, 'mqtt')),
      ws: broker.portOf(listenerOf(config, 'ws')),
      http: app.httpPort,
    },
    waiting: [...app.waiting].map(([name, what]) => `listener ${name}: ${what}`),
    database,
    certificates: { directory: files.certificates, serverCa: files.authority.files.serverCa },
    device: { tenantId: EXAMPLE_TENANT, deviceId: EXAMPLE_DEVICE, ...files.device },
    account: SERVICE_ACCOUNT,
    newPassword: files.newPassword,
    passwordFile: files.passwordFile,
    warnings: app.ingest?.warnings ?? [],
  })
}
