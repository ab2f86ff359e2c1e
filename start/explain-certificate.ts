/** What admission would say of a certificate: the broker's own judgement, of the files as they are now. */
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Config, TlsConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { OperationalError, messageOf } from '../core/errors.ts'
import { accessProblem } from '../core/file-access.ts'
import { createLog } from '../core/log.ts'
import { createMetrics } from '../core/metrics.ts'
import { createPki, type CertificateAdmission } from '../pki/index.ts'

export interface JudgedCertificate {
  readonly admitted: boolean
  /** Of the subject, when it was admitted. */
  readonly commonName: string | undefined
  readonly text: string
}

export interface Judgements {
  /** By the name of the listener; none for one without certificates of clients. */
  readonly of: ReadonlyMap<string, JudgedCertificate>
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string
  /** What was odd about CA files and CRLs. */
  readonly notes: readonly string[]
}

/**
 * Asks the admission of each TLS listener. Reads files, and follows them no longer than it takes.
 *
 * @throws OperationalError FILE_UNREADABLE, CertificateRejected of a listener's own files
 */
export async function judgeCertificate(
  file: string,
  config: Config,
  clock: Clock,
): Promise<Judgements> {
  const peer = await readPeer(file)
  const notes: string[] = []
  const log = createLog({
    level: 'warn',
    service: 'midge',
    destination: { write: (json) => void notes.push(noteOf(json)) },
  })
  const { revocation } = config
  const listeners = config.listeners.flatMap(({ name, tls }) =>
    tls === undefined ? [] : [{ name, tls }],
  )
  const pki = await createPki({ listeners, revocation, clock, log, metrics: createMetrics() })
  try {
    const judged = new Map<string, JudgedCertificate>()
    for (const { name, tls } of listeners) {
      const admission = asksForOne(tls) ? pki.clientCertificates(name) : undefined
      if (admission === undefined) continue
      const waiting = pki.waitingFor(name)
      const verdict = admission.admit(peer, undefined)
      judged.set(
        name,
        waiting === undefined
          ? judgementOf(verdict)
          : { admitted: false, commonName: undefined, text: `the listener is closed: ${waiting}` },
      )
    }
    const fingerprint = peer.fingerprint256.replaceAll(':', '').toLowerCase()
    return { of: judged, fingerprint, notes: [...new Set(notes)] }
  } finally {
    pki.close()
  }
}

/** One that is neither required nor the identity is not asked for, whatever the cafile. */
function asksForOne(tls: TlsConfig): boolean {
  const { requireCertificate, useIdentityAsUsername, useSubjectAsUsername } = tls
  return requireCertificate || useIdentityAsUsername || useSubjectAsUsername === true
}

function judgementOf(verdict: CertificateAdmission): JudgedCertificate {
  if (!verdict.admitted) {
    const text = `certificate refused: ${verdict.reason}: ${verdict.detail}`
    return { admitted: false, commonName: undefined, text }
  }
  const { commonName, notAfter, serialNumber } = verdict.certificate
  const until = new Date(notAfter).toISOString()
  const text = `certificate admitted: CN ${commonName}, serial number ${serialNumber}, until ${until}`
  return { admitted: true, commonName, text }
}

async function readPeer(file: string): Promise<X509Certificate> {
  let bytes: Buffer
  try {
    bytes = await readFile(file)
  } catch (err) {
    const text = `cannot read the certificate ${file}: ${accessProblem(file, err)}`
    throw new OperationalError('FILE_UNREADABLE', text, { cause: err })
  }
  try {
    return new X509Certificate(bytes)
  } catch (err) {
    const text = `${file} holds no certificate in PEM or DER: ${messageOf(err)}`
    throw new OperationalError('FILE_UNREADABLE', text, { cause: err })
  }
}

/** The sentence of a log line, and the reason it carries. */
function noteOf(json: string): string {
  const line: unknown = JSON.parse(json)
  if (typeof line !== 'object' || line === null) return json
  const field = (name: string): string => {
    const value: unknown = Reflect.get(line, name)
    return typeof value === 'string' ? value : ''
  }
  return [field('msg'), field('file'), field('problem'), field('warning')]
    .filter((text) => text !== '')
    .join(': ')
}
