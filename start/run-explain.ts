/** `midge explain`: the rules, and where asked for the certificate and the registry. Writes nothing. */
import { diskFiles, EXIT, loadConfig } from '../config/index.ts'
import type { Environment, ExplainCommand } from '../config/index.ts'
import type { Config } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf, OperationalError } from '../core/errors.ts'
import { standingOfDeviceIn, type RegistryStanding } from '../ingest/index.ts'
import { explain } from './explain.ts'
import { judgeCertificate } from './explain-certificate.ts'

export interface ExplainContext {
  readonly environment: Environment
  readonly clock: Clock
  write(text: string): void
}

/**
 * Reads files, and with `--registry` the database; without it no connection is made.
 *
 * @returns the exit code: 0 when allowed on every listener asked about, else 1. What the registry
 * says does not change it: devices may be known there and still have no right
 */
export async function runExplain(
  question: ExplainCommand,
  { environment, clock, write }: ExplainContext,
): Promise<number> {
  const { config } = loadConfig({ file: question.file, ports: [], environment, files: diskFiles })
  const { certificate, listener } = question
  const judged =
    certificate === undefined ? undefined : await judgeCertificate(certificate, config, clock)
  const lines: string[] = (judged?.notes ?? []).map((note) => `note: ${note}`)
  for (const [name, { text }] of judged?.of ?? []) {
    if (listener === undefined || listener === name) lines.push(`listener ${name}: ${text}`)
  }
  if (judged?.of.size === 0) lines.push('no listener asks for certificates: it is not looked at')
  if (question.registry) {
    lines.push(...(await registryLines(question.identity, config, judged?.fingerprint)))
  }
  const { lines: answers, allowed } = explain(question, config, judged?.of)
  write([...lines, ...answers].map((line) => `${line}\n`).join(''))
  return allowed ? EXIT.ok : 1
}

async function registryLines(
  identity: string,
  { ingest }: Config,
  fingerprint: string | undefined,
): Promise<readonly string[]> {
  if (ingest === undefined || ingest.database === 'embedded') {
    const text =
      'the configuration names no database: set DATABASE_URL or PG_HOST as for the broker'
    throw new OperationalError('INGEST_OFF', text)
  }
  const [, tenantId, deviceId] = /^([^/]+)\/([^/]+)$/u.exec(identity) ?? []
  if (tenantId === undefined || deviceId === undefined) {
    return [`registry: ${identity} is no tenant/device: not asked`]
  }
  let standing: RegistryStanding | undefined
  try {
    standing = await standingOfDeviceIn(ingest.database, { tenantId, deviceId }, fingerprint)
  } catch (err) {
    const text = `cannot ask the registry: ${messageOf(err)}`
    throw new OperationalError('DATABASE_UNREACHABLE', text, { cause: err })
  }
  if (standing === undefined) return ['registry: this database has no table device_registry']
  const { device, certificate } = standing
  return [
    device === undefined
      ? `registry: ${identity} is not registered`
      : `registry: ${identity} is ${device.status}, at site ${device.siteId}`,
    ...(fingerprint === undefined ? [] : [certificateLine(certificate, fingerprint)]),
  ]
}

function certificateLine(
  certificate: RegistryStanding['certificate'],
  fingerprint: string,
): string {
  if (certificate === undefined) return `registry: no row for the certificate ${fingerprint}`
  const { owner, status, notAfter } = certificate
  const until = notAfter === undefined ? '' : `, until ${notAfter}`
  return `registry: the certificate ${fingerprint} is ${status}, of ${owner}${until}`
}
