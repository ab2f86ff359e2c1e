/**
 * The certificate authority of the newcomer's start and of `midge pki`: a device CA, a server CA
 * and the files a broker is started with, in one directory. Opening it makes what is missing and
 * keeps what is there, so that every start can open it.
 */
import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import type { Clock } from '../core/clock.ts'
import { isId, type SerialNumber } from '../core/names.ts'
import {
  type AuthorityFiles,
  filesIn,
  type KeyType,
  newKey,
  pemOf,
  publicKeyOf,
} from './authority-files.ts'
import {
  type AuthorityContext,
  CA_DAYS,
  issueBelow,
  loadDeviceCa,
  setUpDirectory,
} from './authority-setup.ts'
import { type AuthorityState, readState, writeState } from './authority-state.ts'
import { readCertificate } from './certificate.ts'
import { type CaIdentity, readRequest } from './certificate-profile.ts'
import type { RevocationReason } from './crl-generator.ts'
import { mergeRevoked, writeNextCrl } from './device-crl.ts'
import { withDirectoryLock } from './directory-lock.ts'
import { AuthorityError } from './errors.ts'
import { weaknessOfKey } from './key-policy.ts'
import { removeLeftovers } from './leftovers.ts'
import type { PassphraseSource } from './private-key.ts'
import { type RandomOctets, systemRandom } from './serial-number.ts'

export interface AuthorityOptions {
  readonly clock: Clock
  /** Of the CAs and the server certificate, when they are made. Default `p256`. */
  readonly keyType?: KeyType
  /** Names and addresses of the server beside localhost, 127.0.0.1 and ::1. */
  readonly hostNames?: readonly string[]
  /** O of every subject. Default `Midge`. */
  readonly organization?: string
  readonly random?: RandomOctets
  /**
   * Asked when an encrypted key of a CA is needed. Absent: what can wait is left undone and named in
   * `changes`, the rest is refused.
   */
  readonly passphrase?: PassphraseSource | undefined
  /** Encrypt the keys of CAs that are made now. Default false. */
  readonly encryptKeys?: boolean
}

export interface DeviceRequest {
  /** Validity; 1 to 3650, never beyond the CA's. Default 365. */
  readonly days?: number
  /** PEM (PKCS #10): the device keeps its key. Undefined: a key is made. */
  readonly csr?: string
  /** Of the key that is made. Default `p256`. */
  readonly keyType?: KeyType
}

/** A certificate to sign: the caller has the key, or the device has. */
export interface DeviceOrder {
  readonly tenant: string
  readonly device: string
  /** 1 to 3650. */
  readonly days: number
  readonly publicKey: KeyObject
}

export interface IssuedDevice {
  readonly certificatePem: string
  /** PKCS #8; undefined when the device sent a request. Kept nowhere else. */
  readonly privateKeyPem: string | undefined
  readonly commonName: string
  readonly serialNumber: SerialNumber
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string
  /** Milliseconds since 1970. */
  readonly notAfter: number
}

export class Authority {
  readonly files: AuthorityFiles
  /** What `open` did, in words; empty when all was there. */
  readonly changes: readonly string[]
  readonly #context: AuthorityContext
  readonly #directory: string

  private constructor(directory: string, context: AuthorityContext, changes: readonly string[]) {
    this.#directory = directory
    this.#context = context
    this.files = context.files
    this.changes = changes
  }

  /**
   * Makes the directory and what is missing in it; renews a server certificate with less than 30
   * days left and a CRL of ours past half its time. Nothing else that exists is changed, but for
   * `combined-ca.crt`, which always is `ca.crt` followed by `device-ca.crt`.
   *
   * @throws AuthorityError
   */
  static async open(directory: string, options: AuthorityOptions): Promise<Authority> {
    await mkdir(directory, { recursive: true })
    const context: AuthorityContext = {
      files: filesIn(directory),
      clock: options.clock,
      random: options.random ?? systemRandom,
      keyType: options.keyType ?? 'p256',
      organization: options.organization ?? 'Midge',
      hostNames: options.hostNames ?? [],
      passphrase: options.passphrase,
      encryptKeys: options.encryptKeys ?? false,
    }
    const changes = await withDirectoryLock(directory, context.clock, async () => {
      await removeLeftovers(directory, context.clock.now())
      return await setUpDirectory(context)
    })
    return new Authority(directory, context, changes)
  }

  /** What `open` does, for a process that runs for months. @returns what was done, in words */
  async renewDue(): Promise<readonly string[]> {
    return await this.#locked(() => setUpDirectory(this.#context))
  }

  /**
   * A certificate with the CN `tenant/device`.
   *
   * @throws AuthorityError `authority_name_invalid`, `authority_request_invalid`,
   *   `authority_incomplete`
   */
  async issueDevice(
    tenant: string,
    device: string,
    request: DeviceRequest = {},
  ): Promise<IssuedDevice> {
    const { days = 365, csr, keyType = 'p256' } = request
    const commonName = deviceName(tenant, device)
    checkDays(days)
    const key = csr === undefined ? await newKey(keyType, 'leaf') : undefined
    const publicKey =
      key === undefined ? await requestedKey(csr ?? '', commonName) : publicKeyOf(key)
    const [issued] = await this.issueAll(async () => [{ tenant, device, days, publicKey }])
    if (issued === undefined) throw new Error('an order without a certificate')
    return { ...issued, privateKeyPem: key === undefined ? undefined : pemOf(key) }
  }

  /**
   * Signs many certificates while no other process changes the directory: what is to be signed is
   * decided, remembered, and delivered in one go. Remembered first: a certificate nobody remembers
   * could not be revoked by name.
   *
   * @param plan what to sign; the state it is given holds until `deliver` has settled
   * @param deliver writes what was signed where it belongs; in the order of the plan
   * @throws AuthorityError as `issueDevice`; nothing is signed then
   */
  async issueAll(
    plan: (state: AuthorityState) => Promise<readonly DeviceOrder[]>,
    deliver?: (issued: readonly IssuedDevice[]) => Promise<void>,
  ): Promise<readonly IssuedDevice[]> {
    return await this.#locked(async () => {
      const state = await readState(this.files.state)
      const orders = await plan(state)
      if (orders.length === 0) return []
      const ca = await loadDeviceCa(this.#context)
      const signed = orders.map((order) => this.#sign(ca, order))
      const now = this.#context.clock.now()
      const issued = state.issued.filter((each) => each.notAfter >= now)
      for (const { serialNumber, commonName, notAfter } of signed) {
        issued.push({ serialNumber, commonName, notAfter })
      }
      await writeState(this.files.state, { ...state, issued })
      await deliver?.(signed)
      return signed
    })
  }

  /** What the authority remembers now. @throws AuthorityError `authority_state_invalid` */
  async state(): Promise<AuthorityState> {
    return await readState(this.files.state)
  }

  /** Serial numbers of certificates with this CN that are neither revoked nor expired. */
  async serialsOf(commonName: string): Promise<readonly SerialNumber[]> {
    const { issued } = await this.state()
    const now = this.#context.clock.now()
    return issued
      .filter((each) => each.commonName === commonName && each.notAfter >= now)
      .map(({ serialNumber }) => serialNumber)
  }

  /**
   * Puts serial numbers on the CRL, whoever issued the certificates with our key, and writes the
   * next list at once. One that stands there already keeps its date and reason.
   *
   * @returns the crlNumber
   */
  async revoke(
    serials: readonly SerialNumber[],
    reason: RevocationReason = 'unspecified',
  ): Promise<bigint> {
    return await this.#nextCrl((revoked, { issued }) => {
      const revokedAt = this.#context.clock.now()
      const ends = new Map(issued.map((each) => [each.serialNumber, each.notAfter]))
      const added = serials.map((serialNumber) => ({
        serialNumber,
        revokedAt,
        reason,
        notAfter: ends.get(serialNumber),
      }))
      return mergeRevoked(revoked, added)
    })
  }

  /** The next CRL with the same entries and a new nextUpdate. @returns its crlNumber */
  async renewCrl(): Promise<bigint> {
    return await this.#nextCrl((revoked) => revoked)
  }

  async #nextCrl(change: Parameters<typeof writeNextCrl>[2]): Promise<bigint> {
    return await this.#locked(async () =>
      writeNextCrl(this.#context, await loadDeviceCa(this.#context), change),
    )
  }

  #sign(ca: CaIdentity, order: DeviceOrder): IssuedDevice {
    const { tenant, device, days, publicKey } = order
    const commonName = deviceName(tenant, device)
    checkDays(days)
    const leaf = { commonName, publicKey, days, use: 'device' } as const
    const certificatePem = issueBelow(this.#context, ca, leaf)
    const certificate = new X509Certificate(certificatePem)
    const { serialNumber, notAfter } = readCertificate(certificate.raw)
    const fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase()
    const facts = { commonName, serialNumber, fingerprint, notAfter }
    return { certificatePem, privateKeyPem: undefined, ...facts }
  }

  #locked<T>(work: () => Promise<T>): Promise<T> {
    return withDirectoryLock(this.#directory, this.#context.clock, work)
  }
}

function checkDays(days: number): void {
  if (Number.isInteger(days) && days >= 1 && days <= CA_DAYS) return
  const text = `days: expected a whole number from 1 to ${CA_DAYS}, found ${days}`
  throw new AuthorityError('authority_request_invalid', text)
}

/** The CN `tenant/device`. @throws AuthorityError `authority_name_invalid` */
export function deviceName(tenant: string, device: string): string {
  const named = [
    ['tenant', tenant],
    ['device', device],
  ] as const
  for (const [what, id] of named) {
    if (isId(id)) continue
    const found = JSON.stringify(id)
    const text = `${what}: expected 1 to 200 characters without / + # and controls, found ${found}`
    throw new AuthorityError('authority_name_invalid', text)
  }
  const commonName = `${tenant}/${device}`
  if (commonName.length <= 200) return commonName
  const text = `expected a CN of at most 200 characters, found ${commonName.length}`
  throw new AuthorityError('authority_name_invalid', text)
}

/** The key of a request for this CN. @throws AuthorityError `authority_request_invalid` */
export async function requestedKey(csr: string, commonName: string): Promise<KeyObject> {
  const { spki, commonNames } = await readRequest(csr)
  const other = commonNames.find((name) => name !== commonName)
  if (other !== undefined) {
    const [found, expected] = [other, commonName].map((name) => JSON.stringify(name))
    const text = `the request is for ${found}, expected ${expected}`
    throw new AuthorityError('authority_request_invalid', text)
  }
  const key = createPublicKey({ key: Buffer.from(spki), type: 'spki', format: 'der' })
  const weakness = weaknessOfKey(key, 'client')
  if (weakness === undefined) return key
  throw new AuthorityError('authority_request_invalid', `the request has an unfit key: ${weakness}`)
}
