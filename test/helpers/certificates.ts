/**
 * Certificates and CRLs for tests: made in a millisecond, good by default, and wrong in any way a
 * test asks for. Written with an encoder of its own accord so that what no library would issue (two
 * CNs, a forged signature, an unknown critical extension) can be had too.
 */
import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto'
import { isIP } from 'node:net'
import { signingAlgorithm } from '../../pki/crl-generator.ts'
import {
  bitString,
  boolean,
  element,
  explicit,
  extension,
  octetString,
  oid,
  sequence,
  set,
  time,
  unsigned,
  unsignedOf,
} from '../../pki/der-writer.ts'
import { Tag } from '../../pki/der.ts'
import { toPem } from '../../pki/pem.ts'

export type TestKey = 'p256' | 'p384' | 'p521' | 'k256' | 'ed25519' | 'rsa1024' | 'rsa2048'

export const EKU = { serverAuth: '1.3.6.1.5.5.7.3.1', clientAuth: '1.3.6.1.5.5.7.3.2' } as const
/** Bits of keyUsage. */
export const KU = { digitalSignature: 1, keyEncipherment: 4, keyCertSign: 32, cRLSign: 64 } as const

export interface CertificateOptions {
  /** A public KeyObject: nobody holds the private one, and `privateKeyPem` is empty. */
  readonly key?: TestKey | KeyObject
  readonly notBefore?: number | Date
  readonly notAfter?: number | Date
  /** Content octets, hex. Default: 16 random ones. */
  readonly serial?: string
  /** Several: one attribute each. Default: the one CN given. */
  readonly cns?: readonly string[]
  readonly organization?: string
  /** DER of the whole subject, instead of `cns` and `organization`. */
  readonly subject?: Uint8Array
  /** Null: no such extension. Default: clientAuth; none for a CA. */
  readonly eku?: readonly string[] | null
  /** Null: no such extension. */
  readonly keyUsage?: number | null
  readonly isCa?: boolean
  readonly pathLength?: number
  /** DNS names and addresses. */
  readonly san?: readonly string[]
  /** Further extensions, DER. */
  readonly extensions?: readonly Uint8Array[]
}

export interface TestCertificate {
  readonly commonName: string
  readonly certificatePem: string
  readonly der: Buffer
  readonly privateKeyPem: string
  readonly key: KeyObject
  /** Lower-case hex, without leading zeros. */
  readonly serialNumber: string
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string
  /** DER of the subject. */
  readonly subject: Buffer
}

/** One that can issue. */
export interface TestCa extends TestCertificate {
  readonly keyIdentifier: Buffer
}

const DAY_MS = 86_400_000

function newKey(kind: TestKey): KeyObject {
  switch (kind) {
    case 'p256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    case 'p384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey
    case 'p521':
      return generateKeyPairSync('ec', { namedCurve: 'P-521' }).privateKey
    case 'k256':
      return generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey
    case 'ed25519':
      return generateKeyPairSync('ed25519').privateKey
    case 'rsa1024':
    case 'rsa2048':
      return generateKeyPairSync('rsa', { modulusLength: Number(kind.slice(3)) }).privateKey
  }
}

/** One attribute of a name; `tag` is the string type, UTF8String unless told. */
export function attribute(
  id: string,
  value: string | Uint8Array,
  tag: number = Tag.utf8String,
): Buffer {
  return sequence(oid(id), element(tag, Buffer.from(value as string)))
}

/** A name of one attribute per RDN. */
export function nameOf(...attributes: readonly Uint8Array[]): Buffer {
  return sequence(...attributes.map((each) => set(each)))
}

export function nameOfCns(cns: readonly string[], organization?: string): Buffer {
  const o = organization === undefined ? [] : [attribute('2.5.4.10', organization)]
  return nameOf(...o, ...cns.map((cn) => attribute('2.5.4.3', cn)))
}

/** A self-signed CA, or one below `issuer`. */
export function makeCa(
  name: string,
  options: CertificateOptions & { issuer?: TestCa } = {},
): TestCa {
  const defaults = { isCa: true, eku: null, keyUsage: KU.keyCertSign | KU.cRLSign }
  return certify(options.issuer, name, { ...defaults, ...options })
}

/** A leaf: a device's unless the options say otherwise. */
export function issue(
  ca: TestCa,
  commonName: string,
  options: CertificateOptions = {},
): TestCertificate {
  return certify(ca, commonName, options)
}

/** A leaf for a TLS server under these names. */
export function issueServer(
  ca: TestCa,
  names: readonly string[] = ['localhost', '127.0.0.1', '::1'],
  options: CertificateOptions = {},
): TestCertificate {
  return certify(ca, names[0] ?? 'localhost', { san: names, eku: [EKU.serverAuth], ...options })
}

function certify(ca: TestCa | undefined, commonName: string, options: CertificateOptions): TestCa {
  const { key: wanted = 'p256', cns = [commonName], organization } = options
  const key = typeof wanted === 'string' ? newKey(wanted) : wanted
  const publicKey = key.type === 'public' ? key : createPublicKey(key)
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const keyIdentifier = createHash('sha1').update(spki).digest()
  const subject = Buffer.from(options.subject ?? nameOfCns(cns, organization))
  const serial = Buffer.from(options.serial ?? `40${randomBytes(15).toString('hex')}`, 'hex')
  const { identifier, hash } = signingAlgorithm(ca?.key ?? key)
  const now = Date.now()
  const notBefore = Number(options.notBefore ?? now - 60 * 60_000)
  const notAfter = Number(options.notAfter ?? now + 365 * DAY_MS)
  const tbs = sequence(
    explicit(0, unsigned(2)),
    element(Tag.integer, serial),
    identifier,
    ca?.subject ?? subject,
    sequence(time(notBefore), time(notAfter)),
    subject,
    spki,
    explicit(
      3,
      sequence(...extensionsOf(options, keyIdentifier, ca?.keyIdentifier ?? keyIdentifier)),
    ),
  )
  const der = sequence(tbs, identifier, bitString(sign(hash, tbs, ca?.key ?? key)))
  return {
    commonName,
    certificatePem: toPem('CERTIFICATE', der),
    der,
    privateKeyPem:
      key.type === 'public' ? '' : key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    key,
    serialNumber: serial.toString('hex').replace(/^0+(?=.)/u, ''),
    fingerprint: createHash('sha256').update(der).digest('hex'),
    subject,
    keyIdentifier,
  }
}

function extensionsOf(options: CertificateOptions, own: Uint8Array, issuer: Uint8Array): Buffer[] {
  const { isCa = false, pathLength, san = [], extensions = [] } = options
  const { eku = [EKU.clientAuth], keyUsage = KU.digitalSignature } = options
  const constraints = isCa
    ? [boolean(true), ...(pathLength === undefined ? [] : [unsigned(pathLength)])]
    : []
  const list = [
    extension('2.5.29.19', true, sequence(...constraints)),
    extension('2.5.29.14', false, octetString(own)),
    extension('2.5.29.35', false, sequence(element(0x80, issuer))),
  ]
  if (keyUsage !== null) list.push(extension('2.5.29.15', true, keyUsageBits(keyUsage)))
  if (eku !== null) list.push(extension('2.5.29.37', false, sequence(...eku.map(oid))))
  if (san.length > 0) list.push(extension('2.5.29.17', false, sequence(...san.map(altName))))
  return [...list, ...extensions.map((each) => Buffer.from(each))]
}

function keyUsageBits(bits: number): Buffer {
  let octet = 0
  for (let n = 0; n < 8; n++) if ((bits & (1 << n)) !== 0) octet |= 0x80 >> n
  const unused = octet === 0 ? 0 : 31 - Math.clz32(octet & -octet)
  return bitString(octet === 0 ? Buffer.alloc(0) : Buffer.of(octet), unused)
}

function altName(name: string): Buffer {
  const kind = isIP(name)
  if (kind === 0) return element(0x82, Buffer.from(name))
  if (kind === 4) return element(0x87, Buffer.from(name.split('.').map(Number)))
  const [head = '', tail = ''] = name.split('::')
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((g) => Number.parseInt(g, 16))
  const [first, last] = [groups(head), groups(tail)]
  const all = [
    ...first,
    ...Array.from({ length: 8 - first.length - last.length }, () => 0),
    ...last,
  ]
  return element(0x87, Buffer.from(all.flatMap((group) => [group >> 8, group & 255])))
}

export interface CrlOptions {
  /** Null: none. Default 1. */
  readonly crlNumber?: number | bigint | null
  readonly thisUpdate?: number | Date
  /** Null: none. Default: 30 days after now. */
  readonly nextUpdate?: number | Date | null
  /** CRLReason of every entry. */
  readonly reason?: number
  /** Further extensions of the list and of each entry, DER. */
  readonly extensions?: readonly Uint8Array[]
  readonly entryExtensions?: readonly Uint8Array[]
  /** Signs instead of the CA's: a forgery. */
  readonly signedBy?: KeyObject
  /** DER of another issuer name. */
  readonly issuer?: Uint8Array
  /** 0 is version 1, which has no extensions. Default 1. */
  readonly version?: 0 | 1
}

/** A CRL that revokes these serial numbers (hex, as in TestCertificate). */
export function makeCrlDer(
  ca: TestCa,
  serials: readonly string[],
  options: CrlOptions = {},
): Buffer {
  const now = Date.now()
  const { crlNumber = 1, nextUpdate = now + 30 * DAY_MS, version = 1, reason } = options
  const thisUpdate = Number(options.thisUpdate ?? now - 60_000)
  const key = options.signedBy ?? ca.key
  const { identifier, hash } = signingAlgorithm(key)
  const perEntry = [
    ...(reason === undefined
      ? []
      : [extension('2.5.29.21', false, element(Tag.enumerated, Buffer.of(reason)))]),
    ...(options.entryExtensions ?? []),
  ]
  const tail = perEntry.length === 0 ? [] : [sequence(...perEntry)]
  const date = time(thisUpdate)
  const entries = serials.map((serial) => {
    const hex = serial.padStart(serial.length + (serial.length % 2), '0')
    return sequence(unsignedOf(Buffer.from(hex, 'hex')), date, ...tail)
  })
  const extensions = [
    extension('2.5.29.35', false, sequence(element(0x80, ca.keyIdentifier))),
    ...(crlNumber === null ? [] : [extension('2.5.29.20', false, unsigned(crlNumber))]),
    ...(options.extensions ?? []),
  ]
  const tbs = sequence(
    ...(version === 0 ? [] : [unsigned(1)]),
    identifier,
    Buffer.from(options.issuer ?? ca.subject),
    date,
    ...(nextUpdate === null ? [] : [time(Number(nextUpdate))]),
    ...(entries.length === 0 ? [] : [sequence(Buffer.concat(entries))]),
    ...(version === 0 ? [] : [explicit(0, sequence(...extensions))]),
  )
  return sequence(tbs, identifier, bitString(sign(hash, tbs, key)))
}

/** The same, PEM. */
export function makeCrl(
  ca: TestCa,
  serials: readonly string[] = [],
  options: CrlOptions = {},
): string {
  return toPem('X509 CRL', makeCrlDer(ca, serials, options))
}
