/** The files listeners name: can they be read, are they good, and for how long. */
import { readFileSync, statSync } from 'node:fs'
import { parseAclFile, parsePasswordFile, parsePskFile } from '../config/index.ts'
import type { ConfigWarning } from '../config/index.ts'
import type { Config, ListenerConfig } from '../config/types.ts'
import { codeOf, messageOf } from '../core/errors.ts'
import { accessProblem, missingPermission, octal } from '../core/file-access.ts'
import { CertificateRejected, looksLikePem, parseCrl, readPem } from '../pki/index.ts'
import { readServerCredentials } from '../pki/index.ts'
import { danger, failure, type Finding } from './check-findings.ts'

const DAY_MS = 86_400_000
/** Less leaves too little time to notice that a renewal has stopped. */
const CRL_SOON_MS = 7 * DAY_MS
const CERTIFICATE_SOON_MS = 14 * DAY_MS

/** @param now milliseconds since 1970 */
export async function filesOf(config: Config, now: number): Promise<readonly Finding[]> {
  const found: Finding[] = []
  for (const listener of config.listeners) {
    found.push(...secrets(listener), ...accessFiles(listener))
    found.push(...(await certificates(listener, now)))
    const { crlfile } = listener.tls ?? {}
    if (crlfile !== undefined) found.push(...lists(crlfile, now, config.revocation.whenMissing))
  }
  return found
}

/** Readable by others: their modes alone, so that a missing file is told about once. */
function secrets({ tls, passwordFile, psk }: ListenerConfig): Finding[] {
  return [tls?.keyfile, passwordFile, psk?.file].flatMap((file) => {
    if (file === undefined) return []
    const mode = modeOf(file)
    if (mode === undefined || (mode & 0o004) === 0) return []
    return [
      danger(`${file} is readable by every user of this machine (mode ${octal(mode)}); chmod 0600`),
    ]
  })
}

function modeOf(file: string): number | undefined {
  try {
    return statSync(file).mode & 0o777
  } catch {
    return undefined
  }
}

function accessFiles({ aclFile, passwordFile, psk }: ListenerConfig): Finding[] {
  return [
    ...read(aclFile, 'acl_file', parseAclFile),
    ...read(passwordFile, 'password_file', parsePasswordFile),
    ...read(psk?.file, 'psk_file', parsePskFile),
  ]
}

function read(
  file: string | undefined,
  what: string,
  parse: (text: string, file: string) => { readonly warnings: readonly ConfigWarning[] },
): Finding[] {
  if (file === undefined) return []
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (err) {
    if (what === 'password_file' && codeOf(err) === 'ENOENT') {
      const made = 'does not exist: the start makes it, without any account'
      return [danger(`the ${what} ${file} ${made}`)]
    }
    return [failure(`cannot read the ${what} ${file}: ${accessProblem(file, err)}`)]
  }
  try {
    return parse(text, file).warnings.map(({ place, problem }) =>
      danger(`${place.file}${place.line === undefined ? '' : `:${place.line}`}: ${problem}`),
    )
  } catch (err) {
    return messageOf(err)
      .split('\n')
      .map((line) => failure(line))
  }
}

async function certificates({ name, tls }: ListenerConfig, now: number): Promise<Finding[]> {
  if (tls === undefined) return []
  try {
    const { notAfter, trust, warnings } = await readServerCredentials(tls, now)
    const ends = [
      ending(`${tls.certfile}: the certificate`, notAfter, now),
      ...(trust?.authorities ?? []).map((ca) =>
        ending(`${tls.cafile ?? tls.capath}: the CA ${ca.name}`, ca.fields.notAfter, now),
      ),
    ]
    return [
      ...warnings.map((warning) => danger(warning)),
      ...ends.filter((end) => end !== undefined),
    ]
  } catch (err) {
    if (!(err instanceof CertificateRejected)) throw err
    return [failure(`listener ${name} stays closed: ${withPermission(err)}`)]
  }
}

/** A message that names the file, and perhaps not whose permission is missing. */
function withPermission(err: CertificateRejected): string {
  const { cause, message } = err
  if (message.includes('this process is')) return message
  const file =
    typeof cause === 'object' && cause !== null && 'path' in cause ? String(cause.path) : ''
  return `${message}${missingPermission(file, cause)}`
}

function ending(what: string, notAfter: number, now: number): Finding | undefined {
  if (notAfter - now > CERTIFICATE_SOON_MS) return undefined
  const day = new Date(notAfter).toISOString()
  if (notAfter <= now) return danger(`${what} has expired at ${day}`)
  return danger(`${what} expires at ${day}; renew it`)
}

function lists(file: string, now: number, whenMissing: 'wait' | 'open'): Finding[] {
  try {
    const bytes = readFileSync(file)
    const found = looksLikePem(bytes) ? readPem(bytes.toString('latin1'), ['X509 CRL']) : [bytes]
    return found.flatMap((der) => {
      const { nextUpdate } = parseCrl(der)
      if (nextUpdate === undefined || nextUpdate - now > CRL_SOON_MS) return []
      const day = new Date(nextUpdate).toISOString()
      if (nextUpdate <= now) return [danger(`${file}: a CRL has expired at ${day}`)]
      return [danger(`${file}: a CRL expires at ${day}; renew it`)]
    })
  } catch (err) {
    const text = `${file}: ${accessProblem(file, err)}`
    if (codeOf(err) === 'ENOENT' && whenMissing === 'open') return [danger(text)]
    return [failure(text)]
  }
}
