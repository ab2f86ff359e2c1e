/** PROXY headers of version 2, right or wrong. */

/** 192.0.2.1:51234 to 198.51.100.1:1883 */
export const IPV4 = Buffer.from('c0000201c6336401c822075b', 'hex')
/** [2001:db8::1]:51234 to [::1]:1883 */
export const IPV6 = Buffer.from(`20010db8${'0'.repeat(22)}01${'0'.repeat(30)}01c822075b`, 'hex')

export function tlv(type: number, value: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([type, value.length >> 8, value.length & 0xff]), value])
}

/** By default a client that showed a certificate, which was verified. */
export function ssl(
  options: {
    readonly client?: number
    readonly verify?: number
    readonly cn?: Uint8Array
    readonly inner?: Uint8Array
  } = {},
): Buffer {
  const fixed = Buffer.alloc(5)
  fixed.writeUInt8(options.client ?? 0x05, 0)
  fixed.writeUInt32BE(options.verify ?? 0, 1)
  const { cn } = options
  const inner = options.inner ?? (cn === undefined ? Buffer.alloc(0) : tlv(0x22, cn))
  return tlv(0x20, Buffer.concat([fixed, inner]))
}

/** @param options `at`: an offset and the octet to put there, once all else is right */
export function header(options: {
  readonly addresses?: Uint8Array
  readonly tlvs?: Uint8Array
  readonly at?: readonly [number, number]
}): Buffer {
  const { addresses = IPV4, tlvs = Buffer.alloc(0), at } = options
  const length = addresses.length + tlvs.length
  const bytes = Buffer.concat([
    Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
    Buffer.from([0x21, 0x11, length >> 8, length & 0xff]),
    addresses,
    tlvs,
  ])
  if (at !== undefined) bytes[at[0]] = at[1]
  return bytes
}
