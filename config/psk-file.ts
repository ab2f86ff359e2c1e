/**
 * Mosquitto's psk_file: `identity:key`, the key in hexadecimal. Neither is repeated in a message: the
 * line number has to do.
 */
import { Buffer } from 'node:buffer'
import { hasControl, isDamaged, linesOf, trimBlanks } from './lines.ts'
import { Problems } from './problems.ts'
import type { PskFile } from './types.ts'

/** RFC 4279 §5.3: what every implementation takes; OpenSSL's own bounds. */
const MAX_IDENTITY_BYTES = 128
const MAX_KEY_BYTES = 256

/**
 * Reads a whole psk_file. Lines without `:` are skipped, and of two lines with one identity the first
 * counts, as in Mosquitto.
 *
 * @throws ConfigErrors with every bad line (at most MAX_ERRORS); there are no half-read files
 */
export function parsePskFile(text: string, file: string): PskFile {
  const keys = new Map<string, Buffer>()
  const problems = new Problems()
  for (const line of linesOf(text)) {
    if (problems.isFull) break
    if (line.text === '' || line.text.startsWith('#')) continue
    const place = { file, line: line.number }
    const colon = line.text.indexOf(':')
    if (colon === -1) {
      problems.warn(place, 'a line without ":" is no identity and key; skipped')
      continue
    }
    const identity = trimBlanks(line.text.slice(0, colon))
    const hex = trimBlanks(line.text.slice(colon + 1))
    const problem = problemOf(identity, hex)
    if (problem !== undefined) problems.error(place, problem)
    else if (keys.has(identity)) problems.warn(place, 'the identity stands above already; skipped')
    else keys.set(identity, Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex'))
  }
  problems.throwIfAny()
  return { file, keys, warnings: problems.warnings }
}

function problemOf(identity: string, hex: string): string | undefined {
  if (identity === '') return 'the identity is empty'
  if (isDamaged(identity) || hasControl(identity)) return 'the identity is no UTF-8 text'
  if (Buffer.byteLength(identity) > MAX_IDENTITY_BYTES) {
    return `the identity is longer than ${MAX_IDENTITY_BYTES} bytes`
  }
  if (hex === '') return 'the key is empty'
  if (!/^[0-9a-f]+$/iu.test(hex)) return 'the key is not hexadecimal'
  if (hex.length > 2 * MAX_KEY_BYTES) return `the key is longer than ${MAX_KEY_BYTES} bytes`
  return undefined
}
