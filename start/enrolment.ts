/** A device that was given a certificate is known to ingest too: its tenant, site and certificate. */
import { X509Certificate } from 'node:crypto'
import type { DeviceRegistration } from '../ingest/index.ts'

/** @param certificatePem of the device, CN `{tenant}/{device}` */
export function registrationOf(
  tenantId: string,
  deviceId: string,
  siteId: string,
  certificatePem: string,
): DeviceRegistration {
  const certificate = new X509Certificate(certificatePem)
  const issuer = /^CN=(.*)$/mu.exec(certificate.issuer)?.[1] ?? certificate.issuer
  return {
    tenantId,
    deviceId,
    siteId,
    certificate: {
      pem: certificatePem,
      fingerprint: certificate.fingerprint256,
      serialNumber: certificate.serialNumber,
      commonName: `${tenantId}/${deviceId}`,
      issuer,
      notBefore: new Date(certificate.validFrom),
      notAfter: new Date(certificate.validTo),
    },
  }
}
