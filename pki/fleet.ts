/**
 * Certificates for many devices. What is there is kept, so that a run that was cut off is continued
 * by running it again; the directory is locked for a part of the fleet at a time, so that a
 * revocation does not wait for thousands of signatures, and the authority's state is written once
 * for each part.
 */
import { type KeyObject, X509Certificate } from 'node:crypto'
import { messageOf } from '../core/errors.ts'
import { type Authority, deviceName, type DeviceOrder, type IssuedDevice } from './authority.ts'
import { type KeyType, newKey, pemOf, publicKeyOf, readIfThere } from './authority-files.ts'
import type { AuthorityState } from './authority-state.ts'
import { readCertificate } from './certificate.ts'
import {
  createPair,
  type DevicePaths,
  devicePaths,
  readDevicePair,
  serialOf,
} from './device-files.ts'
import { commonNameOf } from './name.ts'

export interface FleetMember {
  readonly tenant: string
  readonly device: string
  readonly site: string | undefined
}

export interface FleetOptions {
  /** Below it, `TENANT/DEVICE.crt` and `.key`. */
  readonly out: string
  readonly days: number
  readonly keyType: KeyType
  /** Milliseconds since 1970. */
  readonly now: number
}

export type Issued = {
  readonly member: FleetMember
  readonly paths: DevicePaths
} & (
  | {
      readonly outcome: 'issued'
      readonly certificatePem: string
      readonly issued: IssuedDevice
      /** A key lay there without a certificate, and is used. */
      readonly usedKey: boolean
    }
  /** A good certificate was there. */
  | { readonly outcome: 'kept'; readonly certificatePem: string }
  | { readonly outcome: 'failed'; readonly problem: string }
)

/** Devices of one hold of the lock; a second or so each, the making of keys not counted. */
const PART: Readonly<Record<KeyType, number>> = { p256: 100, rsa: 20 }
/** Files written at a time. */
const WRITERS = 8

/**
 * Each part of the fleet as it is done. One device that fails does not keep the others.
 *
 * @throws AuthorityError when no certificate could be signed at all (no CA, no passphrase)
 */
export async function* issueFleet(
  authority: Authority,
  members: readonly FleetMember[],
  options: FleetOptions,
): AsyncGenerator<readonly Issued[]> {
  const ca = new X509Certificate((await readIfThere(authority.files.deviceCa)) ?? '')
  const size = PART[options.keyType]
  for (let at = 0; at < members.length; at += size) {
    yield await issuePart(authority, members.slice(at, at + size), { ...options, ca })
  }
}

interface PartOptions extends FleetOptions {
  readonly ca: X509Certificate
}

interface Planned {
  readonly member: FleetMember
  readonly paths: DevicePaths
  readonly key: KeyObject
  readonly usedKey: boolean
}

async function issuePart(
  authority: Authority,
  members: readonly FleetMember[],
  options: PartOptions,
): Promise<readonly Issued[]> {
  const { out, days, keyType } = options
  // Before the directory is locked: RSA keys take their time.
  const spare = await Promise.all(
    members.map(async ({ tenant, device }) => {
      const { certificate, key } = devicePaths(out, tenant, device)
      const isThere = ((await readIfThere(certificate)) ?? (await readIfThere(key))) !== undefined
      return isThere ? undefined : await newKey(keyType, 'leaf')
    }),
  )
  const results = new Map<FleetMember, Issued>()
  const planned: Planned[] = []
  const plan = async (state: AuthorityState): Promise<readonly DeviceOrder[]> => {
    const revoked = new Set(state.revoked.map(({ serialNumber }) => serialNumber))
    for (const [n, member] of members.entries()) {
      const paths = devicePaths(out, member.tenant, member.device)
      try {
        const pair = await readDevicePair(paths)
        const { certificate, certificatePem } = pair
        if (certificate !== undefined && certificatePem !== undefined) {
          const problem = problemOf(certificate, member, { ...options, revoked })
          const kept =
            problem === undefined
              ? ({ outcome: 'kept', certificatePem } as const)
              : ({ outcome: 'failed', problem: `${paths.certificate}: ${problem}` } as const)
          results.set(member, { member, paths, ...kept })
          continue
        }
        const key = pair.key ?? spare[n] ?? (await newKey(keyType, 'leaf'))
        planned.push({ member, paths, key, usedKey: pair.key !== undefined })
      } catch (err) {
        results.set(member, { member, paths, outcome: 'failed', problem: messageOf(err) })
      }
    }
    return planned.map(({ member: { tenant, device }, key }) => ({
      tenant,
      device,
      days,
      publicKey: publicKeyOf(key),
    }))
  }
  const deliver = async (issued: readonly IssuedDevice[]): Promise<void> => {
    const queue = planned.entries()
    const write = async (): Promise<void> => {
      for (const [n, each] of queue) results.set(each.member, await written(each, issued[n]))
    }
    await Promise.all(Array.from({ length: WRITERS }, write))
  }
  await authority.issueAll(plan, deliver)
  return members.flatMap((member) => results.get(member) ?? [])
}

async function written(
  { member, paths, key, usedKey }: Planned,
  issued: IssuedDevice | undefined,
): Promise<Issued> {
  if (issued === undefined) throw new Error('an order without a certificate')
  const { certificatePem } = issued
  try {
    await createPair(paths, { certificatePem, keyPem: usedKey ? undefined : pemOf(key) })
    return { member, paths, outcome: 'issued', certificatePem, issued, usedKey }
  } catch (err) {
    return { member, paths, outcome: 'failed', problem: messageOf(err) }
  }
}

/** Why the certificate that is there is not the device's; undefined: it is. */
function problemOf(
  certificate: X509Certificate,
  { tenant, device }: FleetMember,
  { ca, now, revoked }: PartOptions & { readonly revoked: ReadonlySet<string> },
): string | undefined {
  const { subject, notAfter } = readCertificate(certificate.raw)
  const expected = deviceName(tenant, device)
  const found = commonNameOf(subject)
  if (!found.found || found.text !== expected) {
    return `expected the CN ${JSON.stringify(expected)}, found ${found.found ? JSON.stringify(found.text) : found.problem}`
  }
  if (!isIssuedBy(certificate, ca)) return 'issued by another CA'
  if (now > notAfter) return `expired; midge pki renew ${expected} makes the next one`
  if (revoked.has(serialOf(certificate))) {
    return `revoked; midge pki renew ${expected} --new-key makes another`
  }
  return undefined
}

/** By name and by signature. */
export function isIssuedBy(certificate: X509Certificate, ca: X509Certificate): boolean {
  try {
    return certificate.checkIssued(ca) && certificate.verify(ca.publicKey)
  } catch {
    return false
  }
}
