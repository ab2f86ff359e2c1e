/** The thread that computes bcrypt, one password at a time; started by bcrypt-thread.ts. */
import { parentPort } from 'node:worker_threads'
import { decodeBase64, hashSync } from 'bcryptjs'

export interface BcryptQuestion {
  readonly id: number
  /** `$2b$<cost>$<22 characters of salt>`; what follows is not looked at. */
  readonly encoded: string
  /** At most 72 bytes of UTF-8 without NUL. */
  readonly password: string
}

export interface BcryptAnswer {
  readonly id: number
  /** 23 bytes. */
  readonly key: Uint8Array
}

parentPort?.on('message', ({ id, encoded, password }: BcryptQuestion) => {
  const digits = hashSync(password, encoded.slice(0, 29)).slice(29)
  const key = Uint8Array.from(decodeBase64(digits, 23))
  const answer: BcryptAnswer = { id, key }
  parentPort?.postMessage(answer, [key.buffer])
})
