/**
 * Text that means something, told apart by its type. The constructors here are the only ones and
 * hold the only casts; each throws a TypeError when the text cannot be what it is called.
 */

declare const brand: unique symbol
type Branded<T, Name extends string> = T & { readonly [brand]: Name }

/** Level 2 of `tenant/{T}/device/{D}/…`; opaque, case sensitive. */
export type TenantId = Branded<string, 'TenantId'>
/** Level 4 of `tenant/{T}/device/{D}/…`; opaque, case sensitive. */
export type DeviceId = Branded<string, 'DeviceId'>
/** What the client itself sent (or was assigned): MQTT 3.1.1 §3.1.3.1. */
export type ClientId = Branded<string, 'ClientId'>
/** Without wildcards: MQTT 3.1.1 §4.7. */
export type TopicName = Branded<string, 'TopicName'>
/** May hold `+` and `#` where MQTT 3.1.1 §4.7.1 lets them stand. */
export type TopicFilter = Branded<string, 'TopicFilter'>
/** DER INTEGER content octets in lower-case hex, without leading zero octets (RFC 5280 §4.1.2.2). */
export type SerialNumber = Branded<string, 'SerialNumber'>
/** SHA-256 of an issuer's SubjectPublicKeyInfo, lower-case hex: binds a CRL to a key, not to a name. */
export type IssuerKey = Branded<string, 'IssuerKey'>

// oxlint-disable-next-line no-control-regex
const NOT_AN_ID = /[/+#\u0000-\u001f\u007f-\u009f\uffff]/u

/** May this text be one level of a tenant's or device's topics? */
export function isId(text: string): boolean {
  return text.length > 0 && text.length <= 200 && text.isWellFormed() && !NOT_AN_ID.test(text)
}

export function tenantId(text: string): TenantId {
  if (!isId(text)) throw new TypeError(`not a tenant id: ${JSON.stringify(text)}`)
  return text as TenantId
}

export function deviceId(text: string): DeviceId {
  if (!isId(text)) throw new TypeError(`not a device id: ${JSON.stringify(text)}`)
  return text as DeviceId
}

/** Any text a CONNECT may carry; its bytes were checked by the packet guard. */
export function clientId(text: string): ClientId {
  return text as ClientId
}

const MAX_LEVELS = 200

function hasTooManyLevels(text: string): boolean {
  let levels = 1
  for (let i = text.indexOf('/'); i !== -1; i = text.indexOf('/', i + 1)) levels++
  return levels > MAX_LEVELS
}

/** Not empty, no wildcard, no U+0000, at most 200 levels (MQTT 3.1.1 §4.7.3; Mosquitto's bound). */
export function isTopicName(text: string): boolean {
  return text.length > 0 && !/[+#\0]/u.test(text) && !hasTooManyLevels(text)
}

/** `#` only last and alone on its level, `+` only alone on its level (MQTT 3.1.1 §4.7.1). */
export function isTopicFilter(text: string): boolean {
  if (text.length === 0 || text.includes('\0') || hasTooManyLevels(text)) return false
  if (!/[+#]/u.test(text)) return true
  const levels = text.split('/')
  return levels.every(
    (level, i) =>
      level === '+' || (level === '#' && i === levels.length - 1) || !/[+#]/u.test(level),
  )
}

export function topicName(text: string): TopicName {
  if (!isTopicName(text)) throw new TypeError(`not a Topic Name: ${JSON.stringify(text)}`)
  return text as TopicName
}

export function topicFilter(text: string): TopicFilter {
  if (!isTopicFilter(text)) throw new TypeError(`not a Topic Filter: ${JSON.stringify(text)}`)
  return text as TopicFilter
}

/** Takes upper or lower case hex, with or without leading zeros. */
export function serialNumber(hex: string): SerialNumber {
  if (!/^[0-9a-f]+$/iu.test(hex)) throw new TypeError(`not a serial number: ${JSON.stringify(hex)}`)
  const digits = hex.toLowerCase().replace(/^0+/u, '')
  return (digits === '' ? '0' : digits) as SerialNumber
}

export function issuerKey(sha256Hex: string): IssuerKey {
  if (!/^[0-9a-f]{64}$/u.test(sha256Hex)) throw new TypeError(`not a key hash: ${sha256Hex}`)
  return sha256Hex as IssuerKey
}
