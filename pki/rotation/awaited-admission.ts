/** Who may come in with a certificate, when the CAs that decide it may come later. */
import type { X509Certificate } from 'node:crypto'
import {
  type AdmittedCertificate,
  type CertificateAdmission,
  type ClientCertificateAdmission,
  createClientCertificates,
} from '../admission.ts'
import type { ChainContext, Refusal } from '../chain.ts'
import type { TrustSet } from '../trust.ts'

/** Answers like ClientCertificateAdmission; until the first CAs have come it refuses everyone. */
export class AwaitedAdmission {
  readonly #context: ChainContext
  #admission: ClientCertificateAdmission | undefined

  constructor(context: ChainContext) {
    this.#context = context
  }

  replaceTrust(trust: TrustSet): void {
    if (this.#admission !== undefined) this.#admission.replaceTrust(trust)
    else this.#admission = createClientCertificates({ ...this.#context, trust })
  }

  admit(peer: X509Certificate | undefined, verification: string | undefined): CertificateAdmission {
    if (this.#admission !== undefined) return this.#admission.admit(peer, verification)
    return { admitted: false, reason: 'unknown_ca', detail: 'the CA file has not come yet' }
  }

  stillGood(
    certificate: AdmittedCertificate,
  ): { good: true } | { good: false; reason: Refusal['reason'] } {
    return this.#admission?.stillGood(certificate) ?? { good: false, reason: 'unknown_ca' }
  }
}
