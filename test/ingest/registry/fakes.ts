/** A registry that a test holds in memory, with the real caches and decisions around it. */
import { silentLog, type Log } from '../../../core/log.ts'
import { runChecks } from '../../../ingest/checks/check.ts'
import { checksOf } from '../../../ingest/checks/index.ts'
import { decode } from '../../../ingest/decode.ts'
import { Admission, type AdmissionParts } from '../../../ingest/registry/admission.ts'
import { Certificates } from '../../../ingest/registry/certificates.ts'
import { Devices } from '../../../ingest/registry/devices.ts'
import type { Persistence } from '../../../ingest/registry/persistence.ts'
import type {
  CertificateName,
  CertificateRecord,
  DeviceAnswer,
  DeviceName,
  DeviceRecord,
} from '../../../ingest/registry/records.ts'
import type { Reason } from '../../../ingest/reasons.ts'
import type { Telemetry } from '../../../ingest/telemetry.ts'
import { FakeClock } from '../../helpers/clock.ts'

export const DEVICE: DeviceRecord = {
  siteId: 'north',
  status: 'ACTIVE',
  tokenHash: undefined,
  subscription: undefined,
}
export const UNLISTED: CertificateRecord = {
  status: 'unlisted',
  notAfter: -Infinity,
  deviceNotAfter: -Infinity,
}

export function listed(
  status: CertificateRecord['status'],
  notAfter = Number.POSITIVE_INFINITY,
): CertificateRecord {
  return { status, notAfter, deviceNotAfter: notAfter }
}

/** Answers at once from two Maps, and remembers what it was asked. */
export class FakeReader {
  readonly devicesByName = new Map<string, DeviceAnswer>()
  readonly certificatesByFingerprint = new Map<string, CertificateRecord>()
  readonly asked: string[][] = []
  /** What the next questions fail with, in order. */
  readonly failures: Error[] = []

  async devices(names: readonly DeviceName[]): Promise<DeviceAnswer[]> {
    const keys = names.map(({ tenantId, deviceId }) => `${tenantId}/${deviceId}`)
    this.#ask(keys)
    return keys.map((key) => this.devicesByName.get(key) ?? 'unregistered')
  }

  async certificates(names: readonly CertificateName[]): Promise<CertificateRecord[]> {
    const keys = names.map(({ fingerprint }) => fingerprint)
    this.#ask(keys)
    return keys.map((key) => this.certificatesByFingerprint.get(key) ?? UNLISTED)
  }

  #ask(keys: string[]): void {
    this.asked.push(keys)
    const failure = this.failures.shift()
    if (failure !== undefined) throw failure
  }
}

export interface Fakes {
  readonly clock: FakeClock
  readonly reader: FakeReader
  readonly devices: Devices
  readonly certificates: Certificates
  readonly admission: Admission
}

export function fakePersistence(clock: FakeClock, signal?: AbortSignal): Persistence {
  return {
    clock,
    random: () => 1,
    signal: signal ?? new AbortController().signal,
    failed: () => undefined,
    answered: () => undefined,
  }
}

export function makeFakes(
  rules: Partial<AdmissionParts['rules']> = {},
  options: { readonly provision?: AdmissionParts['provision']; readonly log?: Log } = {},
): Fakes {
  const clock = new FakeClock()
  const reader = new FakeReader()
  const shared = { reader, clock, persistence: fakePersistence(clock), seen: () => undefined }
  const devices = new Devices({ ...shared, ttlMs: 60_000, maxEntries: 100 })
  const certificates = new Certificates(shared)
  const admission = new Admission({
    rules: {
      certAuthEnabled: true,
      requireToken: true,
      unlistedCertificate: 'token',
      ...rules,
    },
    devices,
    certificates,
    provision: options.provision,
    log: options.log ?? silentLog,
  })
  return { clock, reader, devices, certificates, admission }
}

/** What becomes of the message: every check in its place. Undefined: it is stored. */
export async function judgeWith(
  telemetry: Telemetry,
  { admission }: Pick<Fakes, 'admission'>,
  options: {
    readonly maxPayloadBytes?: number
    readonly hasTokens?: boolean
    readonly hasMetricLimits?: boolean
  } = {},
): Promise<Reason | undefined> {
  const { maxPayloadBytes = 8192, hasTokens = true, hasMetricLimits = false } = options
  const message = decode(telemetry)
  if (typeof message === 'string') return message
  const checks = checksOf(
    { maxPayloadBytes },
    { rateLimit: () => (hasTokens ? undefined : 'RATE_LIMITED'), admission: admission.check },
    hasMetricLimits,
  )
  return runChecks(checks, message)
}
