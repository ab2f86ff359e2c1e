/**
 * May this message be stored: is its device registered, paid for, active, at this site, and is it
 * proved that the message comes from it. From memory as a rule; where the database has to be asked,
 * the message waits in its place.
 */
import type { Log } from '../../core/log.ts'
import {
  identityConflict,
  presentedCertificate,
  tokenProof,
  type AuthenticationRules,
} from '../checks/authentication.ts'
import { registeredDevice } from '../checks/registered-device.ts'
import type { Message } from '../decode.ts'
import type { Reason } from '../telemetry.ts'
import type { AutoProvision } from './auto-provision.ts'
import type { Certificates } from './certificates.ts'
import { deviceKey } from './device-key.ts'
import type { Devices } from './devices.ts'
import {
  isProof,
  type CertificateName,
  type CertificateRecord,
  type DeviceAnswer,
  type DeviceRecord,
  type UnlistedCertificate,
} from './records.ts'

export interface AdmissionParts {
  readonly rules: AuthenticationRules & { readonly unlistedCertificate: UnlistedCertificate }
  readonly devices: Pick<Devices, 'get' | 'put' | 'load' | 'invalidate'>
  readonly certificates: Pick<Certificates, 'get' | 'load'>
  /** Undefined: unknown devices stay unknown. */
  readonly provision: Pick<AutoProvision, 'provision'> | undefined
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly log: Log
}

type Answer = Reason | undefined

export class Admission {
  readonly #parts: AdmissionParts

  constructor(parts: AdmissionParts) {
    this.#parts = parts
  }

  /** A Check. A promise only when the caches do not know; it rejects with IngestStopped at a stop. */
  readonly check = (message: Message): Answer | Promise<Answer> => {
    const key = deviceKey(message.telemetry)
    const device = this.#parts.devices.get(key)
    if (device === undefined) return this.#ask(message, key)
    return this.#judge(message, device)
  }

  async #ask(message: Message, key: string): Promise<Answer> {
    const { devices, provision } = this.#parts
    const { telemetry, siteId } = message
    const device = await devices.load(key, telemetry)
    if (device !== 'unregistered' || provision === undefined || siteId === undefined) {
      return this.#judge(message, device)
    }
    const outcome = await provision.provision(key, telemetry, siteId)
    if (outcome === 'no_capacity') {
      devices.put(key, 'no_capacity')
      return this.#judge(message, 'no_capacity')
    }
    devices.invalidate(key)
    return this.#judge(message, await devices.load(key, telemetry))
  }

  #judge(message: Message, answer: DeviceAnswer): Answer | Promise<Answer> {
    const device = registeredDevice(message, answer)
    if (typeof device === 'string') return device
    const { rules, certificates } = this.#parts
    const { telemetry } = message
    // Nothing has to be proved: what the certificate's row says would change nothing.
    if (!rules.requireToken) return identityConflict(telemetry)
    const presented = rules.certAuthEnabled ? presentedCertificate(telemetry) : undefined
    if (presented === undefined) return tokenProof(message, device) ?? identityConflict(telemetry)
    const record = certificates.get(presented)
    return record === undefined
      ? this.#askCertificate(message, device, presented)
      : this.#prove(message, device, record)
  }

  async #askCertificate(
    message: Message,
    device: DeviceRecord,
    presented: CertificateName,
  ): Promise<Answer> {
    return this.#prove(message, device, await this.#parts.certificates.load(presented))
  }

  #prove(message: Message, device: DeviceRecord, record: CertificateRecord): Answer {
    const { rules, now, log } = this.#parts
    if (!isProof(record, rules.unlistedCertificate, now())) return tokenProof(message, device)
    if (log.level === 'debug' || log.level === 'trace') {
      const { tenantId, deviceId } = message.telemetry
      log.debug(
        { event: 'cert_auth_accepted', tenant_id: tenantId, device_id: deviceId },
        'authenticated by certificate',
      )
    }
    return undefined
  }
}
