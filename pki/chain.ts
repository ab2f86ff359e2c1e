/** Is a certificate, with one of the paths above it, good at this moment? */
import type { Clock } from '../core/clock.ts'
import type { IssuerKey, SerialNumber } from '../core/names.ts'
import { type CertificateFields, CLIENT_AUTH } from './certificate.ts'
import type { CrlStore } from './crl-store.ts'
import { weaknessOf } from './key-policy.ts'
import { comparableName } from './name.ts'
import type { Pins } from './pins.ts'
import type { CaPath, TrustedCa } from './trust.ts'

/** Every reason a client certificate is refused for; labels of a metric. */
export const REFUSALS = [
  'no_certificate',
  'too_large',
  'unknown_ca',
  'weak_key',
  'wrong_usage',
  'not_yet_valid',
  'expired',
  'revoked',
  'crl_stale',
  'crl_missing',
  'bad_subject',
  'not_pinned',
] as const

export interface Refusal {
  readonly reason: (typeof REFUSALS)[number]
  /** For the log. */
  readonly detail: string
}

/** What revocation means when there is no sure answer; see RevocationConfig in config/types.ts. */
export interface RevocationPolicy {
  readonly whenStale: 'serve-stale' | 'refuse'
  /** The CA that issued the client's certificate has no CRL. */
  readonly withoutCrl: 'accept' | 'refuse'
  /**
   * A CA further up has none. Default `accept`: Mosquitto looks up the client's certificate alone,
   * and its crlfiles rarely hold the root's list. A list that is there is always enforced.
   */
  readonly intermediatesWithoutCrl?: 'accept' | 'refuse'
}

export interface ChainContext {
  readonly store: CrlStore
  readonly policy: RevocationPolicy
  readonly clock: Clock
  /** Client certificates are good before notBefore and after notAfter too; CAs are not. */
  readonly ignoreDates?: boolean
  /** Certificates that stand for a device whoever issued them. Absent: there are none. */
  readonly pins?: Pins | undefined
}

/** What of a certificate the judgement needs. */
export interface Subject {
  readonly serialNumber: SerialNumber
  readonly notAfter: number
  /** Undefined: was looked at before. */
  readonly notBefore?: number
  /** Default false. */
  readonly isCa?: boolean
}

export type Standing =
  | { readonly good: true; readonly path: CaPath }
  | ({ readonly good: false } & Refusal)

/**
 * Dates and revocation of the certificate and of every CA above it, on the best of its paths.
 * Memory only, without signatures: cheap enough to ask at every CONNECT.
 */
export function standingOf(
  subject: Subject,
  paths: readonly CaPath[],
  context: ChainContext,
): Standing {
  const now = context.clock.now()
  const own = datesProblem(subject, context)
  if (own !== undefined) return { good: false, ...own }
  let worst: Refusal = { reason: 'unknown_ca', detail: 'issued by none of the CAs for devices' }
  for (const [n, path] of paths.entries()) {
    const refusal = pathProblem(path, now) ?? revocationProblem(subject, path, context)
    if (refusal === undefined) return { good: true, path }
    if (n === 0) worst = refusal
  }
  return { good: false, ...worst }
}

/** Of the certificate alone, now. */
export function datesProblem(subject: Subject, context: ChainContext): Refusal | undefined {
  if (context.ignoreDates === true) return undefined
  return outsideDates(subject, context.clock.now(), 'certificate')
}

function outsideDates(
  { notBefore, notAfter }: Subject,
  now: number,
  what: string,
): Refusal | undefined {
  if (notBefore !== undefined && now < notBefore) {
    return { reason: 'not_yet_valid', detail: `${what}: notBefore ${isoOf(notBefore)}` }
  }
  if (now <= notAfter) return undefined
  return { reason: 'expired', detail: `${what}: notAfter ${isoOf(notAfter)}` }
}

function pathProblem(path: CaPath, now: number): Refusal | undefined {
  let below = 0
  for (const ca of path) {
    const { pathLength } = ca.fields
    if (pathLength !== undefined && below > pathLength) {
      const detail = `${ca.name}: ${below} CAs below it, its pathLenConstraint is ${pathLength}`
      return { reason: 'unknown_ca', detail }
    }
    const { problem: lasting, isSelfIssued } = lastingOf(ca)
    const problem = outsideDates(ca.fields, now, ca.name) ?? lasting
    if (problem !== undefined) return problem
    if (!isSelfIssued) below++
  }
  return undefined
}

/** What does not change while the CA is configured. */
interface Lasting {
  readonly problem: Refusal | undefined
  readonly isSelfIssued: boolean
}

const lastings = new WeakMap<TrustedCa, Lasting>()

function lastingOf(ca: TrustedCa): Lasting {
  const known = lastings.get(ca)
  if (known !== undefined) return known
  const { issuer, subject } = ca.fields
  const isSelfIssued = comparableName(issuer) === comparableName(subject)
  const lasting = { problem: lastingProblem(ca), isSelfIssued }
  lastings.set(ca, lasting)
  return lasting
}

function lastingProblem(ca: TrustedCa): Refusal | undefined {
  const weakness = weaknessOf(ca.certificate, 'ca')
  if (weakness !== undefined) return { reason: 'weak_key', detail: `${ca.name}: ${weakness}` }
  const misuse = usageProblem(ca.fields)
  return misuse === undefined
    ? undefined
    : { reason: 'wrong_usage', detail: `${ca.name}: ${misuse}` }
}

/** What speaks against a certificate in the chain of a client, whatever its place there. */
export function usageProblem({
  extendedKeyUsage,
  unknownCritical,
}: CertificateFields): string | undefined {
  if (unknownCritical !== undefined) return `unknown critical extension ${unknownCritical}`
  // As OpenSSL: anyExtendedKeyUsage alone is not clientAuth.
  if (extendedKeyUsage === undefined || extendedKeyUsage.includes(CLIENT_AUTH)) return undefined
  return `extKeyUsage ${extendedKeyUsage.join(', ')}, expected clientAuth`
}

function revocationProblem(
  subject: Subject,
  path: CaPath,
  context: ChainContext,
): Refusal | undefined {
  const { policy } = context
  let serial = subject.serialNumber
  let isCa = subject.isCa ?? false
  let what = 'certificate'
  for (const [n, issuer] of path.entries()) {
    const withoutCrl = n === 0 ? policy.withoutCrl : (policy.intermediatesWithoutCrl ?? 'accept')
    const refusal = linkProblem({ issuer, serial, isCa, what, withoutCrl }, context)
    if (refusal !== undefined) return refusal
    serial = issuer.fields.serialNumber
    isCa = true
    what = issuer.name
  }
  return undefined
}

interface Link {
  readonly issuer: TrustedCa
  readonly serial: SerialNumber
  readonly isCa: boolean
  readonly what: string
  readonly withoutCrl: 'accept' | 'refuse'
}

function linkProblem(link: Link, { store, policy }: ChainContext): Refusal | undefined {
  const { issuer, serial, isCa, what } = link
  const key: IssuerKey = issuer.fields.key
  const status = store.statusOf(key, serial, isCa)
  switch (status) {
    case 'good':
      return undefined
    case 'revoked':
      return {
        reason: 'revoked',
        detail: `${what}: serial ${serial} is on the CRL of ${issuer.name}`,
      }
    case 'stale':
      if (policy.whenStale === 'serve-stale') return undefined
      return {
        reason: 'crl_stale',
        detail: `the CRL of ${issuer.name} is past its nextUpdate, or older than its delta`,
      }
    case 'unknown':
      if (link.withoutCrl === 'accept') return undefined
      return { reason: 'crl_missing', detail: `no CRL of ${issuer.name} was taken` }
  }
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString()
}
