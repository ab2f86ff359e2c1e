/** Builds every part of a running Midge and joins their ports; no port is open yet. */
import { randomBytes } from 'node:crypto'
import { Broker, type ListenerFiles } from '../broker/index.ts'
import type { Config } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { createMetrics, type Metrics } from '../core/metrics.ts'
import type { Ingest } from '../ingest/index.ts'
import { createPki, type PassphraseSource, type Pki } from '../pki/index.ts'
import { listenersWithTls, loopbackAddress } from './certificates.ts'
import { startCrlWriter, type CrlWriter } from './crl-writer.ts'
import { startStorage, type Storage } from './database.ts'
import { ListenersAccess } from './listener-access.ts'
import { refuseAllCertificates } from './no-certificates.ts'

export interface AppOptions {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  readonly version: string
  /** See BrokerOptions. */
  readonly keylog?: ((line: Buffer) => void) | undefined
  /** Registers devices before a listener opens: none may be turned away for having been early. */
  readonly enrol?: (ingest: Ingest) => Promise<void>
  /** Of an encrypted key of the device CA, for whoever has it sign CRLs. */
  readonly caPassphrase?: PassphraseSource | undefined
}

export interface AppParts {
  readonly metrics: Metrics
  readonly broker: Broker
  readonly storage: Storage
  readonly pki: Pki
  readonly access: ListenersAccess
  readonly crlWriter: CrlWriter | undefined
}

/**
 * Files first, since a mistake in one is the most likely reason not to start; then the database.
 *
 * @throws OperationalError whose message says what, where and what to do; nothing is left running
 */
export async function startParts(options: AppOptions): Promise<AppParts> {
  const { config, clock, log, version } = options
  const metrics = createMetrics()
  const undo: (() => unknown)[] = []
  try {
    const access = await ListenersAccess.open({
      config,
      clock,
      log,
      metrics,
      random: randomBytes,
    })
    undo.push(() => access.close())
    const { revocation } = config
    const listeners = listenersWithTls(config)
    let started: Broker | undefined
    const pki = await createPki({
      listeners,
      revocation,
      pinnedCertificates: config.deviceTrust?.pinnedCertificates,
      rotation: config.rotation,
      addressOf: (name) => started && loopbackAddress(started, config, name),
      clock,
      log: log.child({ part: 'pki' }),
      metrics,
    })
    undo.push(() => pki.close())
    const storage = await startStorage({ config, clock, log, metrics })
    const { ingest, postgres } = storage
    if (postgres !== undefined) undo.push(() => postgres.stop())
    if (ingest !== undefined) undo.push(() => ingest.stop(0))
    if (ingest !== undefined) await options.enrol?.(ingest)
    const files = new Map<string, ListenerFiles>()
    for (const [name, { accounts, rules, keys }] of access.files) {
      const hasTls = listeners.some((listener) => listener.name === name)
      const admission = hasTls ? pki.clientCertificates(name) : undefined
      const certificates = admission ?? refuseAllCertificates
      files.set(name, { certificates, accounts, rules, keys })
    }
    const broker = await Broker.start({
      config,
      clock,
      log,
      metrics,
      version,
      sink: ingest,
      observer: ingest?.connections,
      registry: ingest,
      keylog: options.keylog,
      files,
    })
    started = broker
    undo.push(() => broker.stop())
    ingest?.onBarred((barred) => broker.closeDevice(barred))
    const crlWriter = startCrlWriter({
      config,
      ingest,
      clock,
      log,
      metrics,
      passphrase: options.caPassphrase,
    })
    return { metrics, broker, storage, pki, access, crlWriter }
  } catch (err) {
    for (const step of undo.toReversed()) await step()
    throw err
  }
}
