import type { PasswordVerifier } from './types.ts'

/** Bounds of what one line may cost at each log in. */
const MAX_ITERATIONS = 10_000_000
const MAX_ARGON2_KIB = 262_144
const MAX_ARGON2_PASSES = 100
const MAX_ARGON2_LANES = 64
/** Each step doubles the time, and 15 takes seconds: every log in waits for those before it. */
const MAX_BCRYPT_COST = 15

/** The hash field of a password_file line, or what is wrong with it (never its text). */
export function parsePasswordHash(encoded: string): PasswordVerifier | string {
  if (encoded === '') return 'no password hash after ":"'
  if (!encoded.startsWith('$')) {
    return 'plain text passwords are not accepted: midge passwd -U hashes such a file'
  }
  const scheme = encoded.split('$', 2)[1] ?? ''
  switch (scheme) {
    case '7':
      return parsePbkdf2(encoded)
    case '6':
      return parseSha512(encoded)
    case 'argon2id':
      return parseArgon2(encoded)
    case '2a':
    case '2b':
    case '2y':
      return parseBcrypt(encoded)
    default:
      return 'unknown password hash: known are $7$, $6$, $argon2id$, $2a$, $2b$ and $2y$'
  }
}

function parsePbkdf2(encoded: string): PasswordVerifier | string {
  const [, , count = '', saltText = '', keyText = '', ...more] = encoded.split('$')
  if (more.length > 0 || keyText === '') return 'a $7$ hash is $7$<iterations>$<salt>$<key>'
  const iterations = parseCount(count)
  if (!isWithin(iterations, 1, MAX_ITERATIONS)) {
    return `a $7$ hash has 1 to ${MAX_ITERATIONS} iterations`
  }
  const salt = decodeBase64(saltText)
  if (salt === undefined || !isSaltLength(salt)) {
    return 'the salt of a $7$ hash is 12 or 64 bytes in base64'
  }
  const key = decodeBase64(keyText)
  if (key?.length !== 64) return 'the key of a $7$ hash is 64 bytes in base64'
  return { scheme: 'pbkdf2-sha512', iterations, salt, key, encoded }
}

function parseSha512(encoded: string): PasswordVerifier | string {
  const [, , saltText = '', keyText = '', ...more] = encoded.split('$')
  if (more.length > 0 || keyText === '') return 'a $6$ hash is $6$<salt>$<hash>'
  const salt = decodeBase64(saltText)
  if (salt === undefined || !isSaltLength(salt)) {
    return 'the salt of a $6$ hash is 12 or 64 bytes in base64'
  }
  const key = decodeBase64(keyText)
  if (key?.length !== 64) return 'the hash of a $6$ hash is 64 bytes in base64'
  return { scheme: 'sha512', salt, key, encoded }
}

const ARGON2 =
  /^\$argon2id\$v=19\$m=(?<m>\d{1,10}),t=(?<t>\d{1,10}),p=(?<p>\d{1,10})\$(?<salt>[^$]+)\$(?<key>[^$]+)$/u

function parseArgon2(encoded: string): PasswordVerifier | string {
  const groups = ARGON2.exec(encoded)?.groups
  if (groups === undefined) {
    return 'an argon2id hash is $argon2id$v=19$m=<KiB>,t=<passes>,p=<lanes>$<salt>$<hash>'
  }
  const memoryKiB = parseCount(groups['m'] ?? '')
  const passes = parseCount(groups['t'] ?? '')
  const parallelism = parseCount(groups['p'] ?? '')
  if (!isWithin(passes, 1, MAX_ARGON2_PASSES)) {
    return `an argon2id hash has t from 1 to ${MAX_ARGON2_PASSES}`
  }
  if (!isWithin(parallelism, 1, MAX_ARGON2_LANES)) {
    return `an argon2id hash has p from 1 to ${MAX_ARGON2_LANES}`
  }
  // RFC 9106 §3.1: at least 8 KiB per lane.
  if (!isWithin(memoryKiB, 8 * parallelism, MAX_ARGON2_KIB)) {
    return `an argon2id hash has m from 8 times p to ${MAX_ARGON2_KIB}`
  }
  const salt = decodeBase64(groups['salt'] ?? '')
  const key = decodeBase64(groups['key'] ?? '')
  if (salt === undefined || salt.length < 8 || salt.length > 64) {
    return 'the salt of an argon2id hash is 8 to 64 bytes in base64'
  }
  if (key === undefined || key.length < 16 || key.length > 64) {
    return 'the hash of an argon2id hash is 16 to 64 bytes in base64'
  }
  return { scheme: 'argon2id', memoryKiB, passes, parallelism, salt, key, encoded }
}

const BCRYPT = /^\$2[aby]\$(?<cost>\d\d)\$[./A-Za-z0-9]{22}(?<key>[./A-Za-z0-9]{31})$/u

function parseBcrypt(encoded: string): PasswordVerifier | string {
  const groups = BCRYPT.exec(encoded)?.groups
  const cost = parseCount(groups?.['cost'] ?? '')
  // 31 is where bcrypt itself ends.
  if (groups === undefined || !isWithin(cost, 4, 31)) {
    return 'a bcrypt hash is $2b$<cost 04 to 15>$<53 characters>'
  }
  if (cost > MAX_BCRYPT_COST) {
    return `a bcrypt hash has a cost of at most ${MAX_BCRYPT_COST}: one log in with ${cost} would take more than 2 s`
  }
  return { scheme: 'bcrypt', cost, key: decodeBcrypt(groups['key'] ?? ''), encoded }
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const BCRYPT_DIGITS = './ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** Base64 with bcrypt's own order of digits; the two bits too many of 31 digits are dropped. */
function decodeBcrypt(text: string): Buffer {
  const digits = Array.from(text, (digit) => BASE64.charAt(BCRYPT_DIGITS.indexOf(digit)))
  return Buffer.from(digits.join(''), 'base64')
}

/** NaN when it is not a plain decimal number. */
function parseCount(digits: string): number {
  return /^\d{1,10}$/u.test(digits) ? Number(digits) : Number.NaN
}

/** False for NaN, which a pair of refusing comparisons would let through. */
function isWithin(count: number, least: number, most: number): boolean {
  return count >= least && count <= most
}

/** Mosquitto 1.6 to 2.0 write 12 bytes, 2.1 writes 64. */
function isSaltLength(salt: Buffer): boolean {
  return salt.length === 12 || salt.length === 64
}

/** Strict: Buffer.from skips what is not base64. PHC strings (argon2) leave the padding away. */
function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  const padded = bytes.toString('base64')
  const isExact = text === padded || text === padded.replace(/=+$/u, '')
  return bytes.length > 0 && isExact ? bytes : undefined
}
