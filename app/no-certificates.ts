import type { ClientCertificates } from '../broker/index.ts'

/** Of a listener without TLS, where no certificate can come from. */
export const refuseAllCertificates: ClientCertificates = {
  admit: () => ({
    admitted: false,
    reason: 'no_certificate',
    detail: 'this listener asks for none',
  }),
  stillGood: () => ({ good: false, reason: 'unknown_ca' }),
}
