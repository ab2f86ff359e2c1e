import { createHash, pbkdf2Sync } from 'node:crypto'

/**
 * Mosquitto 2.0 reads salts of 12 bytes only (2.0.11 drops the account otherwise); 2.1 reads 12 and
 * 64. Both take the iterations from the line, so the count can be 2.1's 1000 instead of 2.0's 101.
 */
const SALT_BYTES = 12
const ITERATIONS = 1000

/**
 * The hash field of a password_file line, `$7$<iterations>$<salt>$<key>`, that Mosquitto 2.0, 2.1 and
 * we read. Blocks for the time of the hash (under 2 ms by default): for start-up and commands.
 *
 * @throws RangeError for an empty password, which no log in accepts, and iterations below 1
 */
export function hashPassword(
  password: string | Buffer,
  options: { readonly random: (bytes: number) => Buffer; readonly iterations?: number },
): string {
  const salt = saltFor(password, options.random)
  const iterations = options.iterations ?? ITERATIONS
  if (!Number.isSafeInteger(iterations) || iterations < 1) {
    throw new RangeError(`iterations is an integer from 1, not ${iterations}`)
  }
  const key = pbkdf2Sync(password, salt, iterations, 64, 'sha512')
  return `$7$${iterations}$${salt.toString('base64')}$${key.toString('base64')}`
}

/**
 * `$6$<salt>$<hash>`, one round of SHA-512: fast to guess, for brokers that read nothing else
 * (Mosquitto 1.5 and before).
 *
 * @throws RangeError for an empty password
 */
export function hashPasswordSha512(
  password: string | Buffer,
  options: { readonly random: (bytes: number) => Buffer },
): string {
  const salt = saltFor(password, options.random)
  const hash = createHash('sha512').update(password).update(salt).digest('base64')
  return `$6$${salt.toString('base64')}$${hash}`
}

function saltFor(password: string | Buffer, random: (bytes: number) => Buffer): Buffer {
  if (password.length === 0) throw new RangeError('a password is not empty')
  const salt = random(SALT_BYTES)
  if (salt.length !== SALT_BYTES) throw new RangeError(`random gave ${salt.length} bytes, not 12`)
  return salt
}
