/** One look at the files of a listener: what is there, and whether it could be served with. */
import { createHash, X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { codeOf, messageOf } from '../../core/errors.ts'
import { membersOf } from '../ca-files.ts'
import { CertificateRejected } from '../errors.ts'
import {
  filesOf,
  readServerCredentials,
  type ServerCertificate,
  type ServerCertificateFiles,
} from '../server-certificate.ts'
import type { Reading } from './state-machine.ts'

export interface CertificateCandidate {
  readonly hash: string
  readonly credentials: ServerCertificate
}

export type CertificateReading = Reading<CertificateCandidate>

/** Far above any bundle; a device or a log file must not fill the memory. */
const MAX_FILE_BYTES = 8 * 1024 * 1024

export class CertificateFiles {
  /** Everything whose change matters. */
  readonly paths: readonly string[]
  readonly #files: ServerCertificateFiles
  readonly #now: () => number
  /** Parsing a large bundle costs milliseconds; most looks find the bytes of the last one. */
  #last: CertificateReading | undefined
  #expiredAt: number | undefined

  /** @param now milliseconds since 1970 */
  constructor(files: ServerCertificateFiles, now: () => number) {
    this.#files = files
    this.#now = now
    this.paths = filesOf(files)
  }

  /** notAfter of the certificate on disk, milliseconds since 1970, when the last look found it past. */
  get expiredAt(): number | undefined {
    return this.#expiredAt
  }

  /** Never rejects. */
  async read(): Promise<CertificateReading> {
    const { missing, unusable, identity } = await this.#identity()
    this.#expiredAt = undefined
    if (missing.length > 0) {
      const verb = missing.length === 1 ? 'does' : 'do'
      const problem = `${missing.join(' and ')} ${verb} not exist yet`
      return { kind: 'missing', identity, problem }
    }
    if (unusable !== undefined) {
      return { kind: 'malformed', identity, code: 'certificate_unreadable', problem: unusable }
    }
    if (this.#last?.identity === identity && this.#last.kind !== 'not_yet_valid') {
      const { kind } = this.#last
      if (kind === 'malformed') return this.#last
      // The clock may have been set, so `expired` is no lasting verdict either.
      if (kind === 'valid' && this.#last.candidate.credentials.notAfter >= this.#now()) {
        return this.#last
      }
    }
    const reading = await this.#judge(identity)
    // Read twice around: what changed meanwhile is neither the one nor the other.
    const { identity: after } = await this.#identity()
    if (after !== identity) {
      const problem = 'the files change while they are read'
      return { kind: 'malformed', identity: after, code: 'certificate_malformed', problem }
    }
    this.#last = reading
    return reading
  }

  async #judge(identity: string): Promise<CertificateReading> {
    try {
      const credentials = await readServerCredentials(this.#files, this.#now())
      return { kind: 'valid', identity, candidate: { hash: hashOf(credentials), credentials } }
    } catch (err) {
      const problem = messageOf(err)
      const code = err instanceof CertificateRejected ? err.code : 'certificate_malformed'
      if (code === 'certificate_expired') {
        this.#expiredAt = await this.#notAfter()
        return { kind: 'expired', identity, problem }
      }
      if (code === 'certificate_not_yet_valid') return { kind: 'not_yet_valid', identity, problem }
      const cause = err instanceof Error ? { cause: err } : {}
      return { kind: 'malformed', identity, code, problem, ...cause }
    }
  }

  async #notAfter(): Promise<number | undefined> {
    try {
      return Date.parse(new X509Certificate(await readFile(this.#files.certfile)).validTo)
    } catch {
      // Replaced in this moment: the next look sees it.
      return undefined
    }
  }

  /** A hash over the bytes of all files, or why there are none. */
  async #identity() {
    const hash = createHash('sha256')
    const missing: string[] = []
    let unusable: string | undefined
    for (const path of [...this.paths, ...(await this.#members(missing))]) {
      hash.update(`${path}\n`)
      try {
        const entry = await stat(path)
        if (!entry.isFile() || entry.size > MAX_FILE_BYTES) {
          const found = entry.isFile() ? `${entry.size} bytes` : 'none'
          unusable ??= `${path}: expected a file of at most ${MAX_FILE_BYTES} bytes, found ${found}`
          continue
        }
        hash.update(
          createHash('sha256')
            .update(await readFile(path))
            .digest(),
        )
      } catch (err) {
        hash.update(codeOf(err) ?? 'unreadable')
        const isMissing = codeOf(err) === 'ENOENT'
        if (isMissing && this.#isRequired(path)) missing.push(path)
        // Said in the words of whoever reads it next.
      }
    }
    return { identity: hash.digest('hex'), missing, unusable }
  }

  /** What the folder of CAs holds now. */
  async #members(missing: string[]): Promise<readonly string[]> {
    const { cafile, capath } = this.#files
    if (capath === undefined) return []
    try {
      const { members } = await membersOf(capath)
      if (members.length === 0 && cafile === undefined) missing.push(`a CA in ${capath}`)
      return members
    } catch (err) {
      if (err instanceof CertificateRejected && codeOf(err.cause) === 'ENOENT') missing.push(capath)
      return []
    }
  }

  #isRequired(path: string): boolean {
    const { certfile, keyfile, cafile, deviceCafile } = this.#files
    return [certfile, keyfile, cafile, deviceCafile].includes(path)
  }
}

function hashOf({ cert, key, trust, dhparam }: ServerCertificate): string {
  const hash = createHash('sha256')
  for (const part of [cert, key, trust?.identity ?? '', dhparam ?? ''])
    hash.update(`${part.length}\n${part}`)
  return hash.digest('hex')
}
