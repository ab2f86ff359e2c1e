/** X.509 for the broker: client certificates, CRLs, server certificates, and an authority. */
export {
  type AdmittedCertificate,
  type CertificateAdmission,
  ClientCertificateAdmission,
  type ClientCertificatesOptions,
  createClientCertificates,
} from './admission.ts'
export { writeFileAtomically } from './atomic-file.ts'
export {
  Authority,
  type AuthorityOptions,
  type DeviceOrder,
  type DeviceRequest,
  type IssuedDevice,
} from './authority.ts'
export type { AuthorityFiles, KeyType } from './authority-files.ts'
export { REFUSALS, type Refusal, type RevocationPolicy } from './chain.ts'
export { PKI_USAGE, type PkiCommandContext, runPkiCommand } from './cli.ts'
export { caPassphraseIn } from './command/passphrase.ts'
export { type ParsedCrl, parseCrl } from './crl.ts'
export { type DevicePaths, devicePaths } from './device-files.ts'
export type {
  CertificateToRevoke,
  Enrolled,
  EnrolledCertificate,
  Enrolment,
  RegisteredRow,
  RevokedCertificateRow,
} from './enrolment.ts'
export type { RevocationReason } from './crl-generator.ts'
export {
  type CrlOutputFiles,
  type RecordedRevocation,
  writeCrlOutput,
  type WrittenCrl,
} from './crl-output.ts'
export { type CrlFileStatus, CrlSources, type CrlSourcesOptions } from './crl-sources.ts'
export {
  type CrlInForce,
  CrlStore,
  type CrlStoreOptions,
  type OfferResult,
  type RevocationStatus,
} from './crl-store.ts'
export { AuthorityError, CertificateRejected, CrlRejected } from './errors.ts'
export { looksLikePem, readPem } from './pem.ts'
export type { PassphraseSource } from './private-key.ts'
export {
  createPki,
  type Pki,
  type PkiEvents,
  type PkiListener,
  type PkiOptions,
  type PkiProblem,
} from './pki.ts'
export {
  readServerCredentials,
  type ServerCertificate,
  type ServerCertificateFiles,
} from './server-certificate.ts'
export { AwaitedAdmission } from './rotation/awaited-admission.ts'
export type { Identify } from './show.ts'
export { TrustSet, type TrustSources } from './trust.ts'
