/** Distinguished names: RFC 5280 §4.1.2.4 and §7.1. */
import { DerError, readWhole, Tag } from './der.ts'
import { oidOf } from './der-values.ts'

/** One attribute of a subject or issuer, as it stands in the DER. */
export interface NameAttribute {
  readonly oid: string
  readonly tag: number
  readonly value: Uint8Array
}

export const COMMON_NAME = '2.5.4.3'

/** The relative distinguished names, outermost first, each with its attributes. */
export function readName(der: Uint8Array): NameAttribute[][] {
  const names: NameAttribute[][] = []
  const rdns = readWhole(der, Tag.sequence)
  while (!rdns.done) {
    const attributes: NameAttribute[] = []
    const rdn = rdns.enter(Tag.set)
    while (!rdn.done) {
      const pair = rdn.enter(Tag.sequence)
      const oid = oidOf(der, pair.next(Tag.oid))
      const value = pair.next()
      pair.finish()
      attributes.push({ oid, tag: value.tag, value: pair.contentOf(value) })
    }
    if (attributes.length === 0) throw new DerError('empty relative distinguished name')
    names.push(attributes)
  }
  return names
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** The text of a directory string; undefined for other types and for bytes it cannot hold. */
function textOf({ tag, value }: NameAttribute): string | undefined {
  try {
    switch (tag) {
      case Tag.utf8String:
        return utf8.decode(value)
      case Tag.printableString:
      case Tag.ia5String:
        return value.some((octet) => octet >= 0x80)
          ? undefined
          : Buffer.from(value).toString('latin1')
      case Tag.t61String:
        return Buffer.from(value).toString('latin1')
      case Tag.bmpString:
        return value.length % 2 === 0 ? Buffer.from(value).swap16().toString('utf16le') : undefined
      default:
        return undefined
    }
  } catch {
    return undefined
  }
}

/**
 * A text that is equal for names that are equal: encoding, letter case and runs of blanks do not
 * count (RFC 5280 §7.1, with ASCII case folding as in OpenSSL). Only for comparison.
 */
export function comparableName(der: Uint8Array): string {
  const rdns = readName(der).map((attributes) =>
    attributes
      .map((attribute) => {
        const text = textOf(attribute)
        const value =
          text === undefined
            ? `${attribute.tag}#${Buffer.from(attribute.value).toString('hex')}`
            : JSON.stringify(foldCase(text.trim().replace(/\s+/gu, ' ')))
        return `${attribute.oid}=${value}`
      })
      .sort()
      .join('+'),
  )
  return rdns.join(',')
}

function foldCase(text: string): string {
  return text.replace(/[A-Z]/gu, (letter) => letter.toLowerCase())
}

/** For people: the CN, or all attributes when there is none. Never for a decision. */
export function displayName(der: Uint8Array): string {
  try {
    const attributes = readName(der).flat()
    const shown = attributes.filter(({ oid }) => oid === COMMON_NAME)
    const values = (shown.length > 0 ? shown : attributes).map(
      (attribute) => textOf(attribute) ?? `#${Buffer.from(attribute.value).toString('hex')}`,
    )
    return values.join(', ').slice(0, 200)
  } catch {
    return '(unreadable name)'
  }
}

export type CommonName =
  | { readonly found: true; readonly text: string }
  | { readonly found: false; readonly problem: string }

/** Bytes of a CN: a tenant and a device of 200 characters each, with room for UTF-8. */
const MAX_COMMON_NAME_BYTES = 1024

// oxlint-disable-next-line no-control-regex
const FORBIDDEN = /[\u0000-\u001f\u007f-\u009f\uffff]/u

/**
 * The only CN of a subject, unchanged: no trimming, no case folding, no normalisation. Two CNs, a
 * string type whose meaning depends on the reader (T61String, BMPString), bytes that do not decode
 * and control characters are problems, not values.
 */
export function commonNameOf(subject: Uint8Array): CommonName {
  let attributes: NameAttribute[]
  try {
    attributes = readName(subject).flat()
  } catch (err) {
    if (!(err instanceof DerError)) throw err
    return { found: false, problem: `subject is malformed: ${err.message}` }
  }
  const [first, ...others] = attributes.filter(({ oid }) => oid === COMMON_NAME)
  if (first === undefined) return { found: false, problem: 'no CN' }
  if (others.length > 0) return { found: false, problem: `${others.length + 1} CNs` }
  const { tag, value } = first
  if (tag !== Tag.utf8String && tag !== Tag.printableString && tag !== Tag.ia5String) {
    return { found: false, problem: `CN has string type 0x${tag.toString(16).padStart(2, '0')}` }
  }
  if (value.length === 0) return { found: false, problem: 'CN is empty' }
  if (value.length > MAX_COMMON_NAME_BYTES) {
    return { found: false, problem: `CN has ${value.length} bytes` }
  }
  const text = textOf(first)
  if (text === undefined) return { found: false, problem: 'CN does not decode' }
  if (FORBIDDEN.test(text)) return { found: false, problem: 'CN has control characters' }
  return { found: true, text }
}
