import * as crypto from 'node:crypto'
import { promisify } from 'node:util'
import type { PasswordVerifier } from '../../config/types.ts'
import { BcryptThread, isBcryptPassword } from './bcrypt-thread.ts'

/** What a password can be checked against. */
export type Verifier = Exclude<PasswordVerifier, { scheme: 'unverifiable' }>

export function isVerifiable(verifier: PasswordVerifier): verifier is Verifier {
  return verifier.scheme !== 'unverifiable'
}

/** Can this be the password of the line at all? False: there is nothing to compute. */
export function isPossible({ scheme }: Verifier, password: Buffer): boolean {
  return scheme !== 'bcrypt' || isBcryptPassword(password)
}

/**
 * What `verifier.key` is compared with; undefined: this Node cannot compute it. The password is one
 * that `isPossible`. Rejects with PasswordChecksBusy when it is worth another try.
 */
export type KeyDerivation = (verifier: Verifier, password: Buffer) => Promise<Buffer | undefined>

const pbkdf2 = promisify(crypto.pbkdf2)

/** One for all listeners: several would take the processors from the broker. */
const bcryptThread = new BcryptThread()

/** Off the event loop, but for `sha512`: one round over a few bytes. */
export const deriveKey: KeyDerivation = async (verifier, password) => {
  if (verifier.scheme === 'pbkdf2-sha512') {
    return await pbkdf2(password, verifier.salt, verifier.iterations, 64, 'sha512')
  }
  if (verifier.scheme === 'sha512') {
    return crypto.createHash('sha512').update(password).update(verifier.salt).digest()
  }
  if (verifier.scheme === 'bcrypt') return await bcryptThread.derive(verifier.encoded, password)
  return await deriveArgon2(verifier, password)
}

type Argon2 = (
  algorithm: 'argon2id',
  parameters: Readonly<Record<string, Buffer | number>>,
  done: (err: Error | null, key: Buffer) => void,
) => void

function isArgon2(value: unknown): value is Argon2 {
  return typeof value === 'function'
}

/** `crypto.argon2` came with Node 24.7; the types here are older. */
async function deriveArgon2(
  verifier: Extract<PasswordVerifier, { scheme: 'argon2id' }>,
  password: Buffer,
): Promise<Buffer | undefined> {
  const argon2: unknown = 'argon2' in crypto ? crypto.argon2 : undefined
  if (!isArgon2(argon2)) return undefined
  const parameters = {
    message: password,
    nonce: verifier.salt,
    parallelism: verifier.parallelism,
    tagLength: verifier.key.length,
    memory: verifier.memoryKiB,
    passes: verifier.passes,
  }
  return await new Promise((resolve, reject) => {
    argon2('argon2id', parameters, (err, key) => (err === null ? resolve(key) : reject(err)))
  })
}
