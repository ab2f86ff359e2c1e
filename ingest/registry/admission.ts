/**
 * May this message be stored: is its device registered, paid for, active, at this site, and is it
 * proved that the message comes from it. From memory as a rule; where the database has to be asked,
 * the message waits in its place.
 */
import type { Log } from '../../core/log.ts'
import {
  identityConflict,
  presentedFingerprint,
  tokenProof,
  type AuthenticationRules,
} from '../checks/authentication.ts'
import { registeredDevice } from '../checks/registered-device.ts'
import type { Message } from '../decode.ts'
import type { Reason } from '../reasons.ts'
import type { AutoProvision } from './auto-provision.ts'
import type { Certificates } from './certificates.ts'
import type { Devices } from './devices.ts'
import {
  isProof,
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
    const device = this.#parts.devices.get(message.device)
    return device === undefined ? this.#ask(message) : this.#judge(message, device)
  }

  async #ask(message: Message): Promise<Answer> {
    const { devices, provision } = this.#parts
    const { telemetry, siteId, device: key } = message
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
    // Nothing has to be proved: what the certificate's row says would change nothing.
    if (!rules.requireToken) return identityConflict(message)
    const fingerprint = rules.certAuthEnabled ? presentedFingerprint(message) : undefined
    if (fingerprint === undefined) return tokenProof(message, device) ?? identityConflict(message)
    const record = certificates.get(fingerprint, message.device)
    return record === undefined
      ? this.#askCertificate(message, device, fingerprint)
      : this.#prove(message, device, record)
  }

  async #askCertificate(
    message: Message,
    device: DeviceRecord,
    fingerprint: string,
  ): Promise<Answer> {
    const { tenantId, deviceId } = message.telemetry
    const record = await this.#parts.certificates.load({ tenantId, deviceId, fingerprint })
    return this.#prove(message, device, record)
  }

  #prove(message: Message, device: DeviceRecord, record: CertificateRecord): Answer {
    const { rules, log } = this.#parts
    const { tenantId, deviceId, receivedAt } = message.telemetry
    if (!isProof(record, rules.unlistedCertificate, receivedAt)) return tokenProof(message, device)
    log.debug(
      { event: 'cert_auth_accepted', tenant_id: tenantId, device_id: deviceId },
      'authenticated by certificate',
    )
    return undefined
  }
}
