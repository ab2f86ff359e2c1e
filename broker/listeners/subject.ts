/** The subject of a certificate as one line, for `use_subject_as_username`. */
import { Buffer } from 'node:buffer'

/**
 * RFC 2253, as OpenSSL's XN_FLAG_RFC2253 writes it and Mosquitto takes it for a user name: last RDN
 * first, joined by commas, octets beyond ASCII as `\XX`.
 *
 * @param subject of Node's X509Certificate: one RDN per line in the order of the certificate, its
 * values escaped by RFC 2253 already (a line feed in a value is `\0A`), its parts joined by ` + `
 */
export function rfc2253(subject: string): string {
  return subject
    .split('\n')
    .filter((rdn) => rdn !== '')
    .toReversed()
    .map((rdn) => rdn.split(' + ').toReversed().join('+'))
    .join(',')
    .replaceAll(/\P{ASCII}+/gu, escaped)
}

function escaped(text: string): string {
  const octets = [...Buffer.from(text)].map((octet) => octet.toString(16).toUpperCase())
  return octets.map((hex) => `\\${hex.padStart(2, '0')}`).join('')
}
