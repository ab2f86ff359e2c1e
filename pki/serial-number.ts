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
