/** `midge check FILE`: what becomes of each line of a mosquitto.conf, and what is dangerous in it. */
import { readFileSync, statSync } from 'node:fs'
import { diskFiles, migrationOf, parseAclFile, parsePasswordFile } from '../config/index.ts'
import type { Environment, Migration } from '../config/index.ts'
import type { Config, ListenerConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import { looksLikePem, parseCrl, readPem } from '../pki/index.ts'

export interface CheckOptions {
  readonly file: string
  readonly environment: Environment
  readonly clock: Pick<Clock, 'now'>
  readonly asRoot: boolean
  write(text: string): void
}

/**
 * Reads the file and those it names; opens nothing else. @returns the exit code
 *
 * @throws ConfigErrors after the report, when the file is refused
 */
export function checkFile(options: CheckOptions): number {
  const migration = migrationOf({ ...options, files: diskFiles })
  const { lines, otherwise, loaded, errors } = migration
  const report = [...lines, ...otherwise]
  if (loaded !== undefined) {
    const dangers = dangersOf(loaded.config, options.clock)
    report.push(tenancyText(loaded.config, migration))
    for (const danger of dangers) report.push(`Danger: ${danger}`)
    if (dangers.length === 0) report.push('No danger found.')
    report.push('Configuration file is OK.')
  }
  options.write(report.map((line) => `${line}\n`).join(''))
  if (errors !== undefined) throw errors
  return 0
}

function tenancyText(
  { tenancy, ingest }: Config,
  { tenancyGiven }: Pick<Migration, 'tenancyGiven'>,
): string {
  const stored = ingest === undefined ? 'no database is configured' : 'telemetry is stored'
  const because = tenancyGiven ? 'MIDGE_TENANCY says so' : stored
  return tenancy
    ? `Tenancy: on, because ${because}. A certificate must name tenant/device, and a device stays below tenant/T/device/D/.`
    : `Tenancy: off, because ${because}. User names and the acl_file decide, as in Mosquitto.`
}

const DAY_MS = 86_400_000
/** A CRL that ends sooner gives too little time to notice that its renewal has stopped. */
const SOON_MS = 7 * DAY_MS

function dangersOf(config: Config, clock: Pick<Clock, 'now'>): readonly string[] {
  const found = new Set<string>()
  for (const listener of config.listeners) {
    for (const danger of [...openDoors(listener, config.tenancy), ...filesOf(listener, clock)]) {
      found.add(danger)
    }
  }
  return [...found]
}

function openDoors(listener: ListenerConfig, tenancy: boolean): readonly string[] {
  const { name, aclFile, accountAccess, allowAnonymous, tls, psk } = listener
  const dangers: string[] = []
  if (allowAnonymous) dangers.push(`listener ${name}: anonymous clients may connect`)
  if (aclFile === undefined && accountAccess === 'everything') {
    const who = tenancy ? 'every account' : 'whoever connects'
    dangers.push(`listener ${name}: no acl_file: ${who} may read and write everything`)
  }
  if (tls?.cafile !== undefined && tls.crlfile === undefined && tls.requireCertificate) {
    dangers.push(`listener ${name}: no crlfile: a stolen certificate cannot be revoked here`)
  }
  if (tls === undefined && psk === undefined && listener.passwordFile !== undefined) {
    dangers.push(`listener ${name}: passwords travel unencrypted`)
  }
  return dangers
}

function filesOf(listener: ListenerConfig, clock: Pick<Clock, 'now'>): readonly string[] {
  const { aclFile, passwordFile, psk, tls } = listener
  const dangers: (string | undefined)[] = [
    ...[tls?.keyfile, passwordFile, psk?.file].map((file) => file && readableByOthers(file)),
    aclFile && refusal(() => parseAclFile(readFileSync(aclFile, 'utf8'), aclFile)),
    passwordFile &&
      refusal(() => parsePasswordFile(readFileSync(passwordFile, 'utf8'), passwordFile)),
    tls?.certfile && refusal(() => readFileSync(tls.certfile)),
    tls?.cafile && refusal(() => readFileSync(tls.cafile ?? '')),
  ]
  const { crlfile } = tls ?? {}
  if (crlfile !== undefined) dangers.push(...crlDangers(crlfile, clock.now()))
  return dangers.filter((danger) => danger !== undefined && danger !== '').map(String)
}

function refusal(read: () => unknown): string | undefined {
  try {
    read()
    return undefined
  } catch (err) {
    return messageOf(err).replaceAll('\n', '; ')
  }
}

function readableByOthers(file: string): string | undefined {
  try {
    const mode = statSync(file).mode & 0o777
    if ((mode & 0o004) === 0) return undefined
    const octal = `0${mode.toString(8)}`
    return `${file} is readable by every user of this machine (mode ${octal}); chmod 0600`
  } catch (err) {
    return messageOf(err)
  }
}

function crlDangers(file: string, now: number): readonly string[] {
  try {
    const bytes = readFileSync(file)
    const lists = looksLikePem(bytes) ? readPem(bytes.toString('latin1'), ['X509 CRL']) : [bytes]
    return lists.flatMap((der) => {
      const { nextUpdate } = parseCrl(der)
      if (nextUpdate === undefined || nextUpdate - now > SOON_MS) return []
      const day = new Date(nextUpdate).toISOString()
      if (nextUpdate <= now) return [`${file}: a CRL has expired at ${day}`]
      return [`${file}: a CRL expires at ${day}; renew it`]
    })
  } catch (err) {
    return [`${file}: ${messageOf(err)}`]
  }
}
