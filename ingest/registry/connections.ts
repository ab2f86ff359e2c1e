/**
 * What the registry says when a device connects, and what to do with those that are connected when it
 * has changed its mind.
 */
import type { Clock } from '../../core/clock.ts'
import type { Certificates } from './certificates.ts'
import type { Devices } from './devices.ts'
import type {
  CertificateName,
  CertificateRecord,
  ConnectingDevice,
  DeviceAnswer,
  DeviceName,
  UnlistedCertificate,
} from './records.ts'

/** `unknown`: not registered, or not known yet. */
export type DeviceStatus = 'active' | 'inactive' | 'unknown'

export type ConnectDecision =
  | { readonly admitted: true }
  | {
      readonly admitted: false
      readonly reason:
        | 'device_inactive'
        | 'certificate_revoked'
        | 'certificate_unlisted'
        | 'registry_unavailable'
    }

/** A device that may no longer be connected; with a fingerprint, only by that certificate. */
export interface Barred extends DeviceName {
  readonly fingerprint: string | undefined
}

const ADMITTED: ConnectDecision = { admitted: true }
/** A device that reconnects while the database is away is not kept waiting longer. */
const PATIENCE_MS = 3_000

export class Connections {
  readonly #devices: Pick<Devices, 'peek' | 'load' | 'invalidate'>
  readonly #certificates: Pick<Certificates, 'load' | 'invalidate'>
  readonly #unlisted: UnlistedCertificate
  readonly #clock: Pick<Clock, 'sleep'>
  readonly #barred: ((barred: Barred) => void)[] = []

  constructor(parts: {
    readonly devices: Pick<Devices, 'peek' | 'load' | 'invalidate'>
    readonly certificates: Pick<Certificates, 'load' | 'invalidate'>
    readonly unlisted: UnlistedCertificate
    readonly clock: Pick<Clock, 'sleep'>
  }) {
    this.#devices = parts.devices
    this.#certificates = parts.certificates
    this.#unlisted = parts.unlisted
    this.#clock = parts.clock
  }

  /** Memory only. */
  statusOf(key: string): DeviceStatus {
    return statusOf(this.#devices.peek(key))
  }

  /**
   * May this device connect, with this certificate or without one? Asks the database, not the memory of an earlier connection: whoever
   * was turned away comes back at the very moment when that has been mended. Never rejects.
   *
   * While the database is away, a device whose certificate is good in all other respects is admitted
   * (an outage disconnects nobody, and what it sends is judged later), but not where the table
   * of certificates is the only authority (`strict`): nobody comes in there without one either.
   */
  async mayConnect(key: string, name: ConnectingDevice): Promise<ConnectDecision> {
    const { tenantId, deviceId, fingerprint } = name
    const patience = new AbortController()
    const asked = Promise.all([
      this.#devices.load(key, name),
      fingerprint === undefined
        ? undefined
        : this.#certificates.load({ tenantId, deviceId, fingerprint }),
    ])
    const answers = await Promise.race([
      asked.catch(() => undefined),
      this.#clock.sleep(PATIENCE_MS, patience.signal),
    ])
    patience.abort()
    if (!Array.isArray(answers)) {
      if (this.#unlisted !== 'strict' && this.statusOf(key) !== 'inactive') return ADMITTED
      return { admitted: false, reason: 'registry_unavailable' }
    }
    const [device, certificate] = answers
    if (statusOf(device) === 'inactive') return { admitted: false, reason: 'device_inactive' }
    if (certificate?.status === 'REVOKED') return { admitted: false, reason: 'certificate_revoked' }
    if (this.#unlisted === 'strict' && certificate?.status !== 'ACTIVE') {
      return { admitted: false, reason: 'certificate_unlisted' }
    }
    return ADMITTED
  }

  /** Called whenever the database is found to say so; often more than once. */
  onBarred(then: (barred: Barred) => void): void {
    this.#barred.push(then)
  }

  bar(barred: Barred): void {
    for (const then of this.#barred) then(barred)
  }

  deviceSeen({ tenantId, deviceId }: DeviceName, device: DeviceAnswer): void {
    if (statusOf(device) === 'inactive') this.bar({ tenantId, deviceId, fingerprint: undefined })
  }

  certificateSeen(
    { tenantId, deviceId, fingerprint }: CertificateName,
    record: CertificateRecord,
  ): void {
    if (record.status === 'REVOKED') this.bar({ tenantId, deviceId, fingerprint })
  }
}

function statusOf(device: DeviceAnswer | undefined): DeviceStatus {
  if (device === undefined || typeof device === 'string') return 'unknown'
  return device.status === 'ACTIVE' ? 'active' : 'inactive'
}
