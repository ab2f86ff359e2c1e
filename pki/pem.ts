/**
 * PEM (RFC 7468) with its blocks counted: what OpenSSL would silently skip (a block cut short, a
 * marker cut in two, characters that are not base64) refuses the whole text.
 */

/** Text that is not complete PEM; the message says what is wrong and where. */
export class PemError extends Error {
  override readonly name = 'PemError'
}

const BEGIN = '-----BEGIN '
const END = '-----END '
const DASHES = '-----'

/** True for PEM, false for what may be DER: a SEQUENCE with a long length never reads as text. */
export function looksLikePem(bytes: Uint8Array): boolean {
  return !(bytes[0] === 0x30 && (bytes[1] ?? 0) >= 0x80)
}

/**
 * The content of every block, in order. Text before a block is let through (`openssl -text`, bag
 * attributes, comments); after the last one only blank lines and lines that begin with `#`.
 *
 * @param labels the labels a block may have
 * @throws PemError
 */
export function readPem(text: string, labels: readonly string[]): Buffer[] {
  const blocks: Buffer[] = []
  let at = 0
  for (;;) {
    const begin = text.indexOf(BEGIN, at)
    checkBetween(text.slice(at, begin === -1 ? undefined : begin), begin === -1, blocks.length)
    if (begin === -1) break
    const number = blocks.length + 1
    const labelEnd = text.indexOf(DASHES, begin + BEGIN.length)
    const label = text.slice(begin + BEGIN.length, labelEnd === -1 ? begin + 80 : labelEnd)
    if (labelEnd === -1 || label.includes('\n'))
      throw new PemError(`block ${number}: BEGIN is cut short`)
    if (!labels.includes(label)) {
      throw new PemError(
        `block ${number} is ${JSON.stringify(label)}, expected ${labels.join(' or ')}`,
      )
    }
    const marker = `${END}${label}${DASHES}`
    const body = labelEnd + DASHES.length
    const end = text.indexOf(marker, body)
    const nextBegin = text.indexOf(BEGIN, body)
    if (end === -1 || (nextBegin !== -1 && nextBegin < end)) {
      throw new PemError(`block ${number} (${label}) has no END`)
    }
    blocks.push(decodeBase64(text.slice(body, end), number))
    at = end + marker.length
  }
  return blocks
}

function checkBetween(text: string, last: boolean, blocks: number): void {
  if (text.includes(END)) throw new PemError(`END without BEGIN after ${blocks} blocks`)
  if (!last || blocks === 0) return
  const stray = strayLine(text)
  if (stray !== undefined) {
    const found = JSON.stringify(stray.slice(0, 40))
    throw new PemError(`text after the last of ${blocks} blocks: ${found}`)
  }
}

/**
 * The first line that is neither blank nor a comment. Not by `split`: 200 MB of line ends make an array
 * that V8 ends the process for, from whatever thread.
 */
function strayLine(text: string): string | undefined {
  let line = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === LF) line = at + 1
    else if (code === HASH && at === line) {
      const next = text.indexOf('\n', at)
      if (next === -1) return undefined
      at = next - 1
    } else if (!isBlank(code)) return text.slice(line, line + 80).split('\n', 1)[0]
  }
  return undefined
}

const LF = 0x0a
const HASH = 0x23

function isBlank(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d) || code === 0xa0 || code === 0xfeff
}

function decodeBase64(body: string, number: number): Buffer {
  const text = body.replace(/\s+/gu, '')
  if (text.length === 0) throw new PemError(`block ${number} is empty`)
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  // A search for the first wrong character: a match of all 60 MB of a large CRL would backtrack.
  if (text.length % 4 !== 0 || /[^A-Za-z0-9+/]/u.test(text.slice(0, text.length - padding))) {
    throw new PemError(`block ${number} is not base64`)
  }
  return Buffer.from(text, 'base64')
}

/** One block, 64 characters to a line, as OpenSSL writes it. */
export function toPem(label: string, der: Uint8Array): string {
  const body = Buffer.from(der)
    .toString('base64')
    .replace(/.{64}(?=.)/gu, '$&\n')
  return `${BEGIN}${label}${DASHES}\n${body}\n${END}${label}${DASHES}\n`
}
