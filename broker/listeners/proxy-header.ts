/**
 * The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): what a load balancer says
 * of the client before the client's own bytes. The header is believed, so the parser is strict:
 * whatever is not exactly a header of the configured version ends the connection.
 */
import { Buffer } from 'node:buffer'
import { isIPv4, isIPv6 } from 'node:net'

export interface ProxiedPeer {
  readonly address: string
  readonly port: number
  /** Version 2 only: the client spoke TLS to the proxy. */
  readonly tls: boolean
  /** It showed a certificate, and the proxy verified it. */
  readonly verifiedCertificate: boolean
  /** CN of that certificate; undefined unless it was verified. */
  readonly commonName: string | undefined
}

export type ProxyHeader =
  | { readonly is: 'incomplete' }
  /** The proxy's own connection: a health check, which brings no client. */
  | { readonly is: 'local' }
  | { readonly is: 'malformed'; readonly problem: string }
  /** `bytes`: length of the header; what follows is the client's. */
  | { readonly is: 'peer'; readonly peer: ProxiedPeer; readonly bytes: number }

const INCOMPLETE: ProxyHeader = { is: 'incomplete' }
const LOCAL: ProxyHeader = { is: 'local' }
const malformed = (problem: string): ProxyHeader => ({ is: 'malformed', problem })

export function parseProxyHeader(version: 1 | 2, bytes: Buffer): ProxyHeader {
  return version === 1 ? parseText(bytes) : parseBinary(bytes)
}

// ---- version 1: `PROXY TCP4 192.0.2.1 198.51.100.1 51234 1883\r\n`

/** Of the longest line the protocol allows, CR and LF included. */
const MAX_LINE = 107
const START = 'PROXY '

function parseText(bytes: Buffer): ProxyHeader {
  const begun = bytes.toString('latin1', 0, START.length)
  if (!START.startsWith(begun)) return malformed('does not begin with "PROXY "')
  const end = bytes.subarray(0, MAX_LINE).indexOf('\r\n')
  if (end === -1) {
    return bytes.length < MAX_LINE ? INCOMPLETE : malformed(`no CRLF within ${MAX_LINE} bytes`)
  }
  const [, protocol, source, destination, sourcePort, destinationPort, ...more] = bytes
    .toString('latin1', 0, end)
    .split(' ')
  // "UNKNOWN" may be followed by anything up to the end of the line.
  if (protocol === 'UNKNOWN') return LOCAL
  if (protocol !== 'TCP4' && protocol !== 'TCP6') return malformed('neither TCP4 nor TCP6')
  const isAddress = protocol === 'TCP4' ? isIPv4 : isIPv6Text
  if (!isAddress(source ?? '')) return malformed(`source address is not one of ${protocol}`)
  if (!isAddress(destination ?? '')) {
    return malformed(`destination address is not one of ${protocol}`)
  }
  const port = portOf(sourcePort)
  if (port === undefined || portOf(destinationPort) === undefined) return malformed('bad port')
  if (more.length > 0) return malformed('more than six words')
  const peer = { address: source ?? '', port, tls: false, ...NO_CERTIFICATE }
  return { is: 'peer', peer, bytes: end + 2 }
}

const NO_CERTIFICATE = { verifiedCertificate: false, commonName: undefined } as const

function isIPv6Text(text: string): boolean {
  // A zone (`%eth0`) has no meaning across machines.
  return isIPv6(text) && !text.includes('%')
}

function portOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^(0|[1-9][0-9]{0,4})$/u.test(text)) return undefined
  const port = Number(text)
  return port <= 65_535 ? port : undefined
}

// ---- version 2: 16 octets, addresses, TLVs

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const FIXED = 16
/** As Mosquitto; TLVs of a client's certificate take some tens of bytes. */
const MAX_BODY = 500

const Command = { LOCAL: 0x20, PROXY: 0x21 } as const

function parseBinary(bytes: Buffer): ProxyHeader {
  const begun = bytes.subarray(0, SIGNATURE.length)
  if (!SIGNATURE.subarray(0, begun.length).equals(begun)) return malformed('no signature')
  if (bytes.length < FIXED) return INCOMPLETE
  const command = bytes.readUInt8(12)
  if (command !== Command.LOCAL && command !== Command.PROXY) {
    return malformed(`version and command are 0x${command.toString(16)}`)
  }
  const length = bytes.readUInt16BE(14)
  if (length > MAX_BODY) return malformed(`${length} bytes, at most ${MAX_BODY}`)
  if (command === Command.LOCAL) return LOCAL
  if (bytes.length < FIXED + length) return INCOMPLETE
  const body = bytes.subarray(FIXED, FIXED + length)
  const family = FAMILIES.get(bytes.readUInt8(13))
  if (family === undefined) return malformed('not TCP over IPv4, TCP over IPv6 or a Unix stream')
  if (length < family.addresses) return malformed(`${length} bytes are too few for its addresses`)
  const tls = tlsOf(body.subarray(family.addresses))
  if (typeof tls === 'string') return malformed(tls)
  return { is: 'peer', peer: { ...family.source(body), ...tls }, bytes: FIXED + length }
}

interface Family {
  /** Bytes of source, destination and ports. */
  readonly addresses: number
  source(body: Buffer): { readonly address: string; readonly port: number }
}

const FAMILIES: ReadonlyMap<number, Family> = new Map([
  [
    0x11,
    {
      addresses: 12,
      source: (body) => ({
        address: [...body.subarray(0, 4)].join('.'),
        port: body.readUInt16BE(8),
      }),
    },
  ],
  [
    0x21,
    {
      addresses: 36,
      source: (body) => ({ address: ipv6Text(body), port: body.readUInt16BE(32) }),
    },
  ],
  [0x31, { addresses: 216, source: () => ({ address: 'unix', port: 0 }) }],
] as const)

/** Canonical (RFC 5952): as any other socket would show it. */
function ipv6Text(body: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => body.readUInt16BE(2 * i).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}

const Tlv = { SSL: 0x20, SSL_CN: 0x22 } as const
const Client = { SSL: 0x01, CERT_CONN: 0x02, CERT_SESS: 0x04 } as const

type Tls = Pick<ProxiedPeer, 'tls' | 'verifiedCertificate' | 'commonName'>

/** @returns what is wrong, as text */
function tlsOf(tlvs: Buffer): Tls | string {
  const none: Tls = { tls: false, ...NO_CERTIFICATE }
  const outer = valuesOf(tlvs)
  if (outer === undefined) return 'a TLV is cut short'
  const all = outer.filter(({ type }) => type === Tlv.SSL)
  const [ssl] = all
  if (ssl === undefined) return none
  if (all.length > 1) return 'two TLVs of type SSL'
  if (ssl.value.length < 5) return 'a TLV of type SSL is too short'
  const client = ssl.value.readUInt8(0)
  if ((client & Client.SSL) === 0) return none
  const inner = valuesOf(ssl.value.subarray(5))
  if (inner === undefined) return 'a TLV within SSL is cut short'
  const shown = (client & (Client.CERT_CONN | Client.CERT_SESS)) !== 0
  const verifiedCertificate = shown && ssl.value.readUInt32BE(1) === 0
  const names = inner.filter(({ type }) => type === Tlv.SSL_CN)
  if (names.length > 1) return 'two CNs'
  const [name] = names
  if (!verifiedCertificate || name === undefined) {
    return { tls: true, verifiedCertificate, commonName: undefined }
  }
  const commonName = name.value.toString('utf8')
  const isText = Buffer.from(commonName).equals(name.value) && !CONTROL.test(commonName)
  return isText ? { tls: true, verifiedCertificate, commonName } : 'the CN is no text'
}

// oxlint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f\uffff]/u

function valuesOf(bytes: Buffer): { readonly type: number; readonly value: Buffer }[] | undefined {
  const values: { type: number; value: Buffer }[] = []
  let at = 0
  while (at < bytes.length) {
    if (bytes.length - at < 3) return undefined
    const end = at + 3 + bytes.readUInt16BE(at + 1)
    if (end > bytes.length) return undefined
    values.push({ type: bytes.readUInt8(at), value: bytes.subarray(at + 3, end) })
    at = end
  }
  return values
}
