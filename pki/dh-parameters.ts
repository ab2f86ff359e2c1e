/** DH parameters of a listener (PKCS #3 §9), checked before OpenSSL has them. */
import { messageOf } from '../core/errors.ts'
import { type DerReader, readWhole, Tag } from './der.ts'
import { CertificateRejected } from './errors.ts'
import { readPem } from './pem.ts'

/** OpenSSL's own floor is 1024 bits in Node 20 and 2048 in Node 24. */
const MIN_BITS = 2048
/** A handshake costs the cube of it. */
const MAX_BITS = 8192

/**
 * @param origin file name, for the message
 * @throws CertificateRejected `dh_parameters_invalid`
 */
export function checkDhParameters(pem: string, origin: string): void {
  const bits = bitsOf(pem, origin)
  if (bits >= MIN_BITS && bits <= MAX_BITS) return
  throw rejected(origin, `found ${bits} bits`)
}

function bitsOf(pem: string, origin: string): number {
  try {
    const [der, ...more] = readPem(pem, ['DH PARAMETERS'])
    if (der === undefined || more.length > 0) {
      throw new Error(`${der === undefined ? 'no' : more.length + 1} such blocks`)
    }
    const parameters = readWhole(der, Tag.sequence)
    const prime = nextNumber(parameters)
    const generator = nextNumber(parameters)
    if (prime % 2n === 0n || generator < 2n || generator >= prime) throw new Error('no such group')
    return prime.toString(2).length
  } catch (err) {
    if (err instanceof CertificateRejected) throw err
    throw rejected(origin, messageOf(err))
  }
}

/** A negative one reads as 0. */
function nextNumber(parameters: DerReader): bigint {
  const octets = parameters.contentOf(parameters.next(Tag.integer))
  if ((octets[0] ?? 0x80) >= 0x80) return 0n
  return BigInt(`0x${Buffer.from(octets).toString('hex')}`)
}

function rejected(origin: string, found: string): CertificateRejected {
  const expected = `expected DH PARAMETERS in PEM of ${MIN_BITS} to ${MAX_BITS} bits`
  return new CertificateRejected('dh_parameters_invalid', `${origin}: ${expected}: ${found}`)
}
