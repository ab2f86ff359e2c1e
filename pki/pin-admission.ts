/**
 * What a pinned certificate has to be. The pin stands for the CA: nothing OpenSSL says of the chain
 * counts, in neither direction. Everything else does: the key, the use, the dates; and where one of
 * our CAs issued it all the same, that CA's word on revocation.
 */
import type { X509Certificate } from 'node:crypto'
import { type CertificateFields, KeyUsage } from './certificate.ts'
import {
  type ChainContext,
  datesProblem,
  type Refusal,
  standingOf,
  type Subject,
  usageProblem,
} from './chain.ts'
import { weaknessOf } from './key-policy.ts'
import type { Pinned } from './pins.ts'
import type { CaPath } from './trust.ts'

/** What no passing of time changes. A self-signed certificate may call itself a CA: many tools do. */
export function pinnedRefusal(
  peer: X509Certificate,
  fields: CertificateFields,
): Refusal | undefined {
  const weakness = weaknessOf(peer, 'client')
  if (weakness !== undefined) return { reason: 'weak_key', detail: weakness }
  const { keyUsage } = fields
  if (keyUsage !== undefined && (keyUsage & KeyUsage.digitalSignature) === 0) {
    return { reason: 'wrong_usage', detail: 'keyUsage lacks digitalSignature' }
  }
  const misuse = usageProblem(fields)
  return misuse === undefined ? undefined : { reason: 'wrong_usage', detail: misuse }
}

/** Now: its dates, and revocation where it has a path to our CAs. */
export function pinnedStanding(
  subject: Subject,
  paths: readonly CaPath[],
  context: ChainContext,
): Refusal | undefined {
  if (paths.length === 0) return datesProblem(subject, context)
  const standing = standingOf(subject, paths, context)
  return standing.good ? undefined : standing
}

export function ambiguous(pin: Extract<Pinned, { kind: 'ambiguous' }>): Refusal {
  const detail = `pin_ambiguous: the certificate is pinned for ${pin.commonNames.join(' and ')}`
  return { reason: 'not_pinned', detail }
}

/** Does the certificate still stand for whom it was let in as? A pin wins over the CN. */
export function pinProblem(
  certificate: {
    readonly fingerprint: string
    readonly commonName: string
    readonly pinned?: true
  },
  { pins }: ChainContext,
): Refusal | undefined {
  const pin = pins?.pinned(certificate.fingerprint)
  if (pin === undefined) {
    if (certificate.pinned !== true) return undefined
    return { reason: 'not_pinned', detail: 'the pin was taken away' }
  }
  if (pin.kind === 'ambiguous') return ambiguous(pin)
  if (pin.commonName === certificate.commonName) return undefined
  return { reason: 'not_pinned', detail: `the certificate is pinned for ${pin.commonName}` }
}
