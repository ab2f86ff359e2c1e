import { randomBytes } from 'node:crypto'
import { type SerialNumber, serialNumber } from '../core/names.ts'

/** Unpredictable octets; node:crypto's outside of tests. */
export type RandomOctets = (size: number) => Uint8Array

export const systemRandom: RandomOctets = (size) => randomBytes(size)

/**
 * A new serial number: 20 octets, positive and never shorter, 158 bits of them unpredictable
 * (RFC 5280 §4.1.2.2 and the CA/Browser Forum's 64 bits).
 */
export function newSerialNumber(random: RandomOctets): SerialNumber {
  const octets = Buffer.from(random(20))
  // Below 0x80: positive without a further octet; not zero: always 20 octets long.
  octets[0] = ((octets[0] ?? 0) & 0x3f) | 0x40
  return serialNumber(octets.toString('hex'))
}

/** Octets of the longest serial taken: RFC 5280 §4.1.2.2 has 20, some authorities exceed it. */
export const MAX_SERIAL_OCTETS = 64

/**
 * The serial number of an INTEGER's content. RFC 5280 wants it positive; a negative one is written
 * with its sign extended beyond every positive one, so that -1 is not 255.
 */
export function serialOfInteger(content: Uint8Array): SerialNumber {
  const hex = Buffer.from(content).toString('hex')
  const negative = (content[0] ?? 0) >= 0x80
  return serialNumber(negative ? hex.padStart((MAX_SERIAL_OCTETS + 1) * 2, 'f') : hex)
}

/**
 * Of a negative serial number the positive one of the same octets: some authorities mean it and
 * leave the leading zero out, and then revoke it with one. Undefined for a positive one.
 */
export function unsignedForm(serial: SerialNumber): SerialNumber | undefined {
  if (serial.length !== (MAX_SERIAL_OCTETS + 1) * 2 || !serial.startsWith('ff')) return undefined
  return serialNumber(serial.replace(/^(?:ff)+(?=[89a-f])/u, ''))
}
