/**
 * The start without any configuration file: mutual TLS on 8883 for devices, passwords on 1883 and
 * 9001 for this machine, HTTP on 127.0.0.1:8080, telemetry into a database. Nobody is anonymous.
 */
import { join } from 'node:path'
import { SettingValues, warnOfVariables } from './environment.ts'
import type { Environment } from './environment.ts'
import { frozen } from './frozen.ts'
import { Problems } from './problems.ts'
import { rotationOf } from './rotation.ts'
import {
  adminOf,
  crlWriterOf,
  deviceTrustOf,
  ingestOf,
  limitsOf,
  logOf,
  revocationOf,
  tenancyOf,
} from './sections.ts'
import type { Verbosity } from './sections.ts'
import { GENERAL } from './settings/general.ts'
import { PLATFORM } from './settings/platform.ts'
import { ROTATION } from './settings/rotation.ts'
import { handshakesOf, ticketsOf } from './tls.ts'
import type { Config, ConfigWarning, ListenerConfig, TlsConfig } from './types.ts'

/** The account that may publish and subscribe everything; other accounts may do nothing. */
export const PLATFORM_ACCOUNT = 'service_pulse'

export interface NewcomerOptions {
  /** Undefined: MIDGE_DATA, or `data` in the working directory. */
  readonly dataDirectory: string | undefined
  readonly environment: Environment
  /** Default `normal`. */
  readonly verbosity?: Verbosity
}

/**
 * The files it names need not exist yet: the caller makes them.
 *
 * @throws ConfigErrors with every variable that is wrong
 */
export function newcomerConfig(options: NewcomerOptions): Config {
  const { environment, verbosity = 'normal' } = options
  const problems = new Problems()
  const values = new SettingValues(environment, new Map(), problems)
  const dataDirectory = options.dataDirectory ?? values.of(GENERAL.data)
  const listeners = [
    ...mutualTls(dataDirectory, values),
    ...withPasswords('mqtt', dataDirectory, values),
    ...withPasswords('websockets', dataDirectory, values),
  ]
  const ingest = ingestOf(values, true, problems)
  const crlWriter = crlWriterOf(values, ingest, join(dataDirectory, 'certs'), problems)
  const tenancy = tenancyOf(values, ingest)
  const config: Config = {
    listeners,
    tenancy,
    limits: limitsOf(values, undefined, problems, tenancy),
    ingest,
    revocation: revocationOf(values, listeners),
    deviceTrust: deviceTrustOf(values),
    rotation: rotationOf(values),
    admin: adminOf(values, true),
    log: logOf(values, verbosity, undefined, problems),
    sysInterval: values.of(GENERAL.sysInterval),
    deniedPublish: values.of(GENERAL.deniedPublish),
    revokedSession: values.of(GENERAL.revokedSession),
    deviceRetain: values.of(GENERAL.deviceRetain),
    dataDirectory,
    ...(crlWriter === undefined ? {} : { crlWriter }),
  }
  values.checkAll(false)
  problems.throwIfAny()
  return frozen(config)
}

/** Variables that look like ours and are none, for the log of a start without a file. */
export function newcomerWarnings(environment: Environment): readonly ConfigWarning[] {
  const problems = new Problems()
  warnOfVariables(environment, false, problems)
  return problems.warnings
}

function mutualTls(data: string, values: SettingValues): readonly ListenerConfig[] {
  const { port } = values.of(GENERAL.mqttsPort)
  const certificates = values.of(ROTATION.certDir) ?? join(data, 'certs')
  const tls: TlsConfig = {
    certfile: join(certificates, 'server.crt'),
    keyfile: join(certificates, 'server.key'),
    cafile: values.given(PLATFORM.deviceCaCertificate) ?? join(data, 'certs', 'device-ca.crt'),
    crlfile: values.given(PLATFORM.crlOutput) ?? join(data, 'certs', 'device-crl.pem'),
    requireCertificate: true,
    useIdentityAsUsername: true,
    minVersion: 'TLSv1.2',
    ciphers: undefined,
    ...handshakesOf(values),
    ...ticketsOf(values),
  }
  return at(values.of(GENERAL.mqttsListen), port, {
    name: 'mqtts',
    protocol: 'mqtt',
    tls,
    allowAnonymous: false,
    passwordFile: undefined,
    aclFile: undefined,
    accountAccess: values.of(GENERAL.serviceAccounts),
    maxConnections: -1,
  })
}

function withPasswords(
  protocol: 'mqtt' | 'websockets',
  data: string,
  values: SettingValues,
): readonly ListenerConfig[] {
  const { port } = values.of(protocol === 'mqtt' ? GENERAL.mqttPort : GENERAL.wsPort)
  return at(values.of(GENERAL.listen), port, {
    name: protocol,
    protocol,
    tls: undefined,
    allowAnonymous: false,
    passwordFile: values.given(PLATFORM.passwordFile) ?? join(data, 'passwd'),
    aclFile: undefined,
    accountAccess: values.of(GENERAL.serviceAccounts),
    maxConnections: -1,
  })
}

/** @param where `loopback`, `all`, or an address */
function at(
  where: string,
  port: number | undefined,
  listener: Omit<ListenerConfig, 'address' | 'port'>,
): readonly ListenerConfig[] {
  if (port === undefined) return []
  const name = port === 0 ? listener.name : String(port)
  if (where !== 'loopback') {
    return [{ ...listener, name, port, address: where === 'all' ? undefined : where }]
  }
  const v4 = { ...listener, name, port, address: '127.0.0.1' }
  // Two sockets cannot be promised the same free port.
  if (port === 0) return [v4]
  return [v4, { ...listener, name: `[::1]:${port}`, port, address: '::1', optional: true }]
}
