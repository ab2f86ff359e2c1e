/** Log lines and metrics of one listener's rotation. */
import type { Log } from '../../core/log.ts'
import type { Metrics } from '../../core/metrics.ts'
import type { CertificateCandidate } from './certificate-files.ts'
import type { ProbeResult } from './probe.ts'
import type { RotationNotes } from './rotation.ts'
import type { Note } from './state-machine.ts'

export interface JournalOptions {
  readonly listener: string
  readonly log: Log
  readonly metrics: Pick<
    Metrics,
    'certificateRejected' | 'certSwaps' | 'swapSuppressed' | 'tlsProbeSuccess' | 'tlsProbeFailure'
  >
  /** What an operator should know of what is wrong: does the listener serve meanwhile? */
  isServing(): boolean
  /** Called after each look at the files. */
  looked(): void
}

export class RotationJournal implements RotationNotes<CertificateCandidate> {
  readonly #options: JournalOptions

  constructor(options: JournalOptions) {
    this.#options = options
    const { listener, metrics } = options
    // A counter that is not there until it counts makes no alert.
    for (const counter of [metrics.certSwaps, metrics.tlsProbeSuccess, metrics.tlsProbeFailure]) {
      counter.inc({ listener }, 0)
    }
    for (const reason of ['cooldown', 'disabled']) {
      metrics.swapSuppressed.inc({ listener, reason }, 0)
    }
  }

  note(note: Note<CertificateCandidate>): void {
    const { listener, log, metrics } = this.#options
    switch (note.what) {
      case 'parsed':
        log.info({ event: 'cert_parsed', ...this.#facts(note.candidate) }, 'certificate files read')
        return
      case 'missing':
        this.#problem('cert_missing', note.problem, {})
        return
      case 'expired':
        this.#problem('cert_expired', note.problem, { inUse: false })
        return
      case 'not_yet_valid':
        this.#problem('cert_not_yet_valid', note.problem, {})
        return
      case 'malformed':
        this.#problem('certificate.rejected', note.problem, { code: note.code })
        return
      case 'suppressed': {
        const { reason } = note
        metrics.swapSuppressed.inc({ listener, reason })
        const why = reason === 'cooldown' ? 'too soon after the last swap' : 'ENABLE_RESTART is off'
        log.warn(
          { event: 'swap_suppressed', listener, reason },
          `changed certificate files wait: ${why}`,
        )
        return
      }
      case 'restored':
        log.info({ event: 'cert_restored', listener }, 'the files on disk are those in use again')
    }
  }

  swapped(candidate: CertificateCandidate, isFirst: boolean): void {
    const { listener, log, metrics } = this.#options
    metrics.certSwaps.inc({ listener })
    const { warnings } = candidate.credentials
    const text = isFirst
      ? 'the awaited certificate files are in use'
      : 'new certificate files in use'
    log.info({ event: 'cert_swapped', ...this.#facts(candidate) }, text)
    this.warn(warnings)
  }

  /** What does not keep files from being served with. */
  warn(warnings: readonly string[]): void {
    const { listener, log } = this.#options
    for (const warning of warnings) {
      log.warn({ event: 'certificate.questioned', listener, warning }, 'certificate file')
    }
  }

  /** A good rehearsal alone is no success yet: the count is of swaps whose handshake went well. */
  probed(
    candidate: CertificateCandidate,
    stage: 'rehearsal' | 'verification',
    result: ProbeResult,
  ): void {
    const { listener, log, metrics } = this.#options
    const { fingerprint } = candidate.credentials
    const fields = { listener, stage, fingerprint }
    if (!result.ok) {
      metrics.tlsProbeFailure.inc({ listener })
      const { diagnosis } = result
      const consequence =
        stage === 'rehearsal'
          ? 'these files are not put in force'
          : 'they are in force nevertheless'
      log.error(
        { event: 'tls_probe_failure', ...fields, diagnosis },
        `handshake with new certificate files failed: ${consequence}`,
      )
      return
    }
    if (stage === 'rehearsal') {
      log.debug({ event: 'tls_probe_rehearsed', ...fields }, 'the throw-away server serves them')
      return
    }
    metrics.tlsProbeSuccess.inc({ listener })
    log.info({ event: 'tls_probe_success', ...fields }, 'handshake with new certificate files')
    const { nameProblem } = result
    if (nameProblem === undefined) return
    const name = { event: 'cert_name_mismatch', listener, problem: nameProblem }
    log.warn(name, 'the certificate lacks the server name in TLS_SNI')
  }

  failed(candidate: CertificateCandidate, problem: string, retryInMs: number): void {
    const { log } = this.#options
    const fields = { event: 'swap_failed', ...this.#facts(candidate), problem, retryInMs }
    log.error(fields, `certificate files not put in force: ${this.#consequence()}`)
  }

  looked(problem: string | undefined): void {
    const { listener, metrics } = this.#options
    metrics.certificateRejected.set({ listener }, problem === undefined ? 0 : 1)
    this.#options.looked()
  }

  #facts({ credentials }: CertificateCandidate): Record<string, string> {
    const { subject, fingerprint, notAfter } = credentials
    const { listener } = this.#options
    return { listener, subject, fingerprint, notAfter: new Date(notAfter).toISOString() }
  }

  #problem(event: string, problem: string, more: Record<string, unknown>): void {
    const { listener, log } = this.#options
    const what =
      event === 'cert_missing' ? 'certificate files missing' : 'certificate files refused'
    log.error({ event, listener, problem, ...more }, `${what}: ${this.#consequence()}`)
  }

  #consequence(): string {
    return this.#options.isServing() ? 'the ones in use stay' : 'the listener waits'
  }
}
