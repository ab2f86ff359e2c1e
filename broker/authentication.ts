/** CONNECT to Identity, by the rules of the listener it came in on. */
import {
  PasswordChecksBusy,
  PasswordThreadLost,
  accountDeviceOf,
  identityOf,
  isDeviceAccount,
  pskIdentityOf,
  tokenHashOf,
  type Applicant,
  type Identity,
  type PasswordAccounts,
} from './identity/index.ts'
import type { ClientCertificates, DeviceRegistry, PeerCertificate } from './ports.ts'

export interface Credentials {
  /** Of the TLS handshake; undefined on plain listeners and where none was shown. */
  readonly certificate: PeerCertificate | undefined
  readonly userName: string | undefined
  readonly password: Buffer | undefined
  /** Proved before CONNECT without a certificate of ours to look at: see `identityFrom`. */
  readonly provenName?: string | undefined
  /** For the turn of its password; absent: one of nobody knows whom. */
  readonly applicant?: Applicant
}

export type Authentication =
  | { readonly accepted: true; readonly identity: Identity }
  /** `returnCode` of CONNACK, MQTT 3.1.1 §3.2.2.3; a wrong password is 5, as from Mosquitto. */
  | { readonly accepted: false; readonly returnCode: 2 | 3 | 5; readonly reason: string }

export interface AuthenticationRules {
  readonly tenancy: boolean
  /**
   * Where the identity comes from in place of user name and password: the CN or the whole subject of
   * the certificate, the identity of a pre-shared key, or the CN that a proxy has verified.
   */
  readonly identityFrom: 'certificate' | 'subject' | 'psk' | 'proxy' | undefined
  readonly allowAnonymous: boolean
  /** Undefined: no password file on this listener. */
  readonly accounts: PasswordAccounts | undefined
  readonly certificates: ClientCertificates
  /** Undefined: a good certificate is all a device needs. */
  readonly registry: DeviceRegistry | undefined
}

const ANONYMOUS: Identity = { kind: 'anonymous', userName: undefined }

const refused = (reason: string, returnCode: 2 | 3 | 5 = 5): Authentication => ({
  accepted: false,
  returnCode,
  reason,
})

/** Rejects only on a bug of ours; the connection then ends, with nobody let in. */
export async function authenticate(
  credentials: Credentials,
  rules: AuthenticationRules,
): Promise<Authentication> {
  const { certificate, userName } = credentials
  if (certificate !== undefined) {
    const state = rules.certificates.stillGood(certificate)
    if (!state.good) return refused(state.reason)
  }
  if (rules.identityFrom !== undefined) {
    return await registered(identify(credentials, rules), rules.registry)
  }
  if (userName === undefined) {
    if (!rules.allowAnonymous) return refused('anonymous')
    return { accepted: true, identity: ANONYMOUS }
  }
  if (rules.accounts === undefined) {
    if (!rules.allowAnonymous) return refused('no_password_file')
    // Mosquitto takes the name as it comes. Where accounts mean something beyond an acl_file, a
    // name nobody proved is no account.
    if (rules.tenancy) return { accepted: true, identity: ANONYMOUS }
    return { accepted: true, identity: { kind: 'account', userName } }
  }
  try {
    return await accountOf(userName, credentials, rules.accounts, rules)
  } catch (err) {
    if (err instanceof PasswordThreadLost) return refused('password_thread_lost', 3)
    if (err instanceof PasswordChecksBusy) return refused('authentication_busy', 3)
    throw err
  }
}

/** @throws PasswordChecksBusy */
async function accountOf(
  userName: string,
  { password, applicant }: Credentials,
  accounts: PasswordAccounts,
  { tenancy, registry }: AuthenticationRules,
): Promise<Authentication> {
  for (;;) {
    const isRight = await accounts.verify(userName, password, applicant)
    if (!isRight || password === undefined) return refused('bad_credentials')
    if (!tenancy || !isDeviceAccount(userName)) {
      return { accepted: true, identity: { kind: 'account', userName } }
    }
    const revision = accounts.revisionOf(userName)
    const device = await deviceOfAccount(userName, tokenHashOf(password), registry)
    // The file may have been replaced while the registry was asked, and no connection is open yet
    // that would have been closed for it.
    if (accounts.revisionOf(userName) === revision) return device
  }
}

/** Without a registry nobody knows whose account it is, and what it is called like proves nothing. */
async function deviceOfAccount(
  userName: string,
  tokenHash: string,
  registry: DeviceRegistry | undefined,
): Promise<Authentication> {
  if (registry === undefined) return refused('registry_off')
  const device = await registry.deviceOfAccount({ userName, tokenHash })
  if (!device.found) return refused(device.reason)
  const identity = accountDeviceOf(userName, device)
  if (identity === undefined) return refused('account_device_name')
  return await registered({ accepted: true, identity }, registry)
}

function identify(
  { certificate, provenName }: Credentials,
  { identityFrom, tenancy }: AuthenticationRules,
): Authentication {
  if (identityFrom === 'psk') {
    const identity = pskIdentityOf(provenName, tenancy)
    return typeof identity === 'string' ? refused(identity) : { accepted: true, identity }
  }
  if (identityFrom === 'proxy') {
    if (provenName === undefined || provenName === '') return refused('no_identity')
    // A proxy hands on a name and nothing that could be revoked, and a device named like an account
    // would become that account.
    if (tenancy) return refused('proxied_identity')
    return { accepted: true, identity: { kind: 'account', userName: provenName } }
  }
  if (certificate === undefined) return refused('no_certificate')
  if (identityFrom === 'subject') {
    const { subject } = certificate
    if (subject === undefined || subject === '' || tenancy) return refused('subject_is_no_device')
    return { accepted: true, identity: { kind: 'certificate', userName: subject, certificate } }
  }
  const outcome = identityOf(certificate, tenancy)
  if ('identity' in outcome) return { accepted: true, identity: outcome.identity }
  return refused(outcome.reason)
}

async function registered(
  found: Authentication,
  registry: DeviceRegistry | undefined,
): Promise<Authentication> {
  if (!found.accepted || found.identity.kind !== 'device' || registry === undefined) return found
  const { tenantId, deviceId, certificate } = found.identity
  const fingerprint = certificate?.fingerprint
  const decision = await registry.mayConnect({ tenantId, deviceId, fingerprint })
  return decision.admitted ? found : refused(decision.reason)
}
