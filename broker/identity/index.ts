/** Who a client is. */
export { accountDeviceOf, isDeviceAccount, tokenHashOf } from './account-device.ts'
export { type CertificateRefusal, type CertificateVerdict, identityOf } from './certificate.ts'
export { deviceNamesOf } from './device-name.ts'
export { type PskRefusal, pskIdentityOf } from './pre-shared-key.ts'
export {
  type AccountIdentity,
  type AnonymousIdentity,
  type CertificateIdentity,
  type DeviceIdentity,
  type Identity,
  keyOf,
} from './identity.ts'
export { PasswordAccounts, type PasswordAccountsOptions } from './password.ts'
export { type Applicant, PasswordChecksBusy, PasswordThreadLost } from './turns.ts'
