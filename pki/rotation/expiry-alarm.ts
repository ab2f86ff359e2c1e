/** Days to notAfter of the certificate in use: the gauges, and a line a day once they are few. */
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { Metrics } from '../../core/metrics.ts'
import type { ServerCertificate } from '../server-certificate.ts'

const DAY_MS = 86_400_000

export interface ExpiryAlarmOptions {
  readonly listener: string
  readonly warnDays: number
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<Metrics, 'certificateNotAfter' | 'certDaysRemaining'>
}

export class ExpiryAlarm {
  readonly #options: ExpiryAlarmOptions
  #told:
    | { readonly fingerprint: string; readonly expired: boolean; readonly at: number }
    | undefined

  constructor(options: ExpiryAlarmOptions) {
    this.#options = options
  }

  /** Nothing is in use, and what is on disk is past its notAfter (milliseconds since 1970). */
  showExpired(notAfter: number): void {
    const { listener, clock, metrics } = this.#options
    metrics.certDaysRemaining.set({ listener }, (notAfter - clock.now()) / DAY_MS)
  }

  /** To be called after each look at the files, with what is in use. */
  look({ notAfter, fingerprint, subject }: ServerCertificate): void {
    const { listener, warnDays, clock, log, metrics } = this.#options
    const now = clock.now()
    const days = (notAfter - now) / DAY_MS
    metrics.certificateNotAfter.set({ listener }, notAfter / 1000)
    metrics.certDaysRemaining.set({ listener }, days)
    const expired = notAfter < now
    if (!expired && days > warnDays) return
    const told = this.#told
    const isSame = told?.fingerprint === fingerprint && told.expired === expired
    if (isSame && now - told.at < DAY_MS) return
    this.#told = { fingerprint, expired, at: now }
    const fields = { listener, subject, notAfter: new Date(notAfter).toISOString() }
    if (expired) {
      log.error(
        { event: 'cert_expired', ...fields, inUse: true },
        'the certificate in use is past its notAfter',
      )
    } else {
      const daysRemaining = Math.floor(days)
      log.warn(
        { event: 'cert_expiring', ...fields, daysRemaining },
        'certificate nears its notAfter',
      )
    }
  }
}
