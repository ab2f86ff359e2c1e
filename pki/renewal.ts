/** A device's next certificate: the same name, by the same CA; the one before stays good. */
import { type KeyObject, X509Certificate } from 'node:crypto'
import type { SerialNumber } from '../core/names.ts'
import { type Authority, type IssuedDevice, requestedKey } from './authority.ts'
import { type KeyType, newKey, pemOf, publicKeyOf, readIfThere } from './authority-files.ts'
import { CA_DAYS, DAY_MS } from './authority-setup.ts'
import { type CertificateFields, readCertificate } from './certificate.ts'
import { type DevicePair, type DevicePaths, readDevicePair, replacePair } from './device-files.ts'
import { AuthorityError } from './errors.ts'
import { isIssuedBy } from './fleet.ts'
import { weaknessOfKey } from './key-policy.ts'
import { commonNameOf } from './name.ts'

export interface RenewalOptions {
  /** Default: as many as the certificate before was good for. */
  readonly days: number | undefined
  /** Undefined: the key stays. */
  readonly newKey: KeyType | undefined
  /** PEM (PKCS #10): the device has made a new key itself. */
  readonly csr: string | undefined
  /** Only in the last third of its validity. */
  readonly ifDue: boolean
  /** Milliseconds since 1970. */
  readonly now: number
}

export interface Renewal {
  readonly tenant: string
  readonly device: string
  readonly before: { readonly serialNumber: SerialNumber; readonly notAfter: number }
  /** Undefined: it is not due. */
  readonly issued: IssuedDevice | undefined
}

/**
 * Puts a new certificate in place of the one in `paths`, which is kept beside it and stays good until
 * it expires or is revoked.
 *
 * @throws AuthorityError `authority_certificate_unknown` for what is no certificate of ours,
 *   `authority_request_invalid` for one that is revoked and would keep its key
 */
export async function renewDevice(
  authority: Authority,
  paths: DevicePaths,
  options: RenewalOptions,
): Promise<Renewal> {
  const ca = new X509Certificate((await readIfThere(authority.files.deviceCa)) ?? '')
  const made = options.newKey === undefined ? undefined : await newKey(options.newKey, 'leaf')
  let found: Found | undefined
  const [issued] = await authority.issueAll(
    async ({ revoked }) => {
      found = await findIn(paths, ca)
      const { fields, pair, tenant, device } = found
      if (options.ifDue && !isDue(fields, options.now)) return []
      if (made === undefined && options.csr === undefined) {
        const listed = revoked.find(({ serialNumber }) => serialNumber === fields.serialNumber)
        if (listed !== undefined) {
          const text = `${paths.certificate} is revoked (${listed.reason}): expected --new-key, or a --csr with another key`
          throw new AuthorityError('authority_request_invalid', text)
        }
      }
      const publicKey = await nextKey(found, made, { ...options, paths })
      if (pair.key === undefined || made !== undefined || options.csr === undefined) {
        return [{ tenant, device, days: options.days ?? daysOf(fields), publicKey }]
      }
      const text = `${paths.key} is the key of this device: expected no --csr, or that file moved away`
      throw new AuthorityError('authority_request_invalid', text)
    },
    async ([next]) => {
      if (found === undefined || next === undefined) throw new Error('nothing was planned')
      const { certificatePem } = next
      const keyPem = made === undefined ? undefined : pemOf(made)
      await replacePair(paths, found.pair, { certificatePem, keyPem })
    },
  )
  if (found === undefined) throw new Error('nothing was planned')
  const { tenant, device, fields } = found
  const { serialNumber, notAfter } = fields
  return { tenant, device, before: { serialNumber, notAfter }, issued }
}

interface Found {
  readonly tenant: string
  readonly device: string
  readonly fields: CertificateFields
  readonly certificate: X509Certificate
  readonly pair: DevicePair
}

async function findIn(paths: DevicePaths, ca: X509Certificate): Promise<Found> {
  const pair = await readDevicePair(paths)
  const { certificate } = pair
  const refuse = (found: string): AuthorityError =>
    new AuthorityError(
      'authority_certificate_unknown',
      `${paths.certificate}: expected a device's certificate of this CA, found ${found}`,
    )
  if (certificate === undefined) throw refuse('no such file')
  if (!isIssuedBy(certificate, ca)) throw refuse('one of another CA')
  const fields = readCertificate(certificate.raw)
  const commonName = commonNameOf(fields.subject)
  if (!commonName.found) throw refuse(commonName.problem)
  const [tenant = '', device, ...more] = commonName.text.split('/')
  if (device === undefined || more.length > 0) {
    throw refuse(`the CN ${JSON.stringify(commonName.text)}`)
  }
  return { tenant, device, fields, certificate, pair }
}

async function nextKey(
  { tenant, device, certificate }: Found,
  made: KeyObject | undefined,
  { csr, paths }: RenewalOptions & { readonly paths: DevicePaths },
): Promise<KeyObject> {
  if (made !== undefined) return publicKeyOf(made)
  if (csr !== undefined) return await requestedKey(csr, `${tenant}/${device}`)
  const weakness = weaknessOfKey(certificate.publicKey, 'client')
  if (weakness === undefined) return certificate.publicKey
  const text = `${paths.certificate} has an unfit key (${weakness}): expected --new-key`
  throw new AuthorityError('authority_request_invalid', text)
}

function isDue({ notBefore, notAfter }: CertificateFields, now: number): boolean {
  return notAfter - now < (notAfter - notBefore) / 3
}

function daysOf({ notBefore, notAfter }: CertificateFields): number {
  return Math.min(CA_DAYS, Math.max(1, Math.floor((notAfter - notBefore) / DAY_MS)))
}
