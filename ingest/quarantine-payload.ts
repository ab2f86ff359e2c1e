/**
 * A rejected payload as text that jsonb takes, without the secret in it.
 *
 * It is the payload that had something wrong with it, so everything may occur here: bytes that are no
 * text, text that is no JSON, JSON that no jsonb takes (U+0000, half a surrogate pair, 1e400, a
 * thousand brackets). What can be kept is kept as it was sent, numbers digit by digit.
 */
import { isUtf8 } from 'node:buffer'
import { isStorableNumber } from './json-number.ts'
import { JsonScanner, MAX_DEPTH } from './json-scanner.ts'

export const MASK = '***'
/** Kept as JSON; longer ones as raw text. */
const MAX_JSON_BYTES = 65_536
/** Characters kept of a payload that is not JSON. */
const MAX_RAW = 8_192
const SECRET = 'provision_token'
const REPLACEMENT = '\ufffd'

const scanner = new JsonScanner()

/** JSON text: the payload itself, or `{"raw": text}` when it is not JSON, nested
 * too deep, or beyond 64 KiB. */
export function quarantinePayload(payload: Buffer): string {
  // What is far beyond any bound on payloads costs more to clean than it is worth.
  if (payload.length > MAX_JSON_BYTES) return rawJson(payload.toString('utf8', 0, MAX_RAW))
  const isJson = isUtf8(payload) && scanner.scan(payload) !== 'invalid'
  const text = payload.toString()
  return (isJson ? cleanJson(text) : undefined) ?? rawJson(text)
}

/** `{"error": …, "payload": …}`: what went wrong in us, and with what. */
export function quarantineError(error: string, payload: Buffer): string {
  return `{"error":${quoted(error)},"payload":${quarantinePayload(payload)}}`
}

/** Text for a column of type text: no U+0000, no half of a surrogate pair. */
export function cleanText(text: string): string {
  return text.toWellFormed().replaceAll('\0', REPLACEMENT)
}

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|[{}[\]:,]|true|false|null/gu

/** Undefined when it is nested too deep. `text` must be JSON. */
function cleanJson(text: string): string | undefined {
  const tokens = text.match(TOKEN) ?? []
  const out: string[] = []
  let depth = 0
  /** Depth of the value that a mask stands for; its tokens are skipped. */
  let masked = -1
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i] ?? ''
    const opens = token === '{' || token === '['
    const closes = token === '}' || token === ']'
    if (opens && ++depth > MAX_DEPTH) return undefined
    if (closes) depth--
    if (masked !== -1) {
      if (depth === masked && !opens) masked = -1
      continue
    }
    if (!token.startsWith('"')) {
      const isNumber = token.length > 0 && /^[-\d]/u.test(token)
      out.push(isNumber && !isStorableNumber(token) ? `"${token}"` : token)
      continue
    }
    out.push(cleanString(token))
    if (tokens[i + 1] === ':' && isSecret(token)) {
      out.push(':', `"${MASK}"`)
      i++
      masked = depth
    }
  }
  return out.join('')
}

/** A JSON string literal without the escapes that jsonb refuses. */
function cleanString(token: string): string {
  if (!token.includes('\\u')) return token
  return quoted(String(JSON.parse(token)))
}

function quoted(text: string): string {
  return JSON.stringify(cleanText(text))
}

/** Also `old_provision_token`, `PROVISION_TOKEN`: what is named like a secret may be one. */
function isSecret(token: string): boolean {
  const name = token.includes('\\') ? String(JSON.parse(token)) : token
  return name.toLowerCase().includes(SECRET)
}

/**
 * The name of the secret and all behind it, up to where the next member seems to begin. In a text that
 * is no JSON nobody can say where a value ends, so this rather takes too much. The bounds within keep
 * it linear.
 */
const NAMED_SECRET = /(provision_token)[^]*?(?=,\s{0,8}"[^"]{0,64}"\s{0,8}:|$)/giu
const ESCAPE = /\\u([0-9a-fA-F]{4})/gu

function rawJson(text: string): string {
  const kept = text.slice(0, MAX_RAW)
  const unescaped = kept.replace(ESCAPE, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  const plain = /provision_token/iu.test(unescaped) ? unescaped : kept
  return `{"raw":${quoted(plain.replace(NAMED_SECRET, `$1${MASK}`))}}`
}
