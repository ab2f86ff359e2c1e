/** SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding, as PostgreSQL speaks it. */
import { createHash, createHmac, pbkdf2, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'

const derive = promisify(pbkdf2)

/** PostgreSQL's own default (`scram_iterations`). */
const ITERATIONS = 4096
/** A server that asks for more is not ours, and only wants us busy. */
const MAX_ITERATIONS = 100_000

/**
 * What PostgreSQL stores instead of the password; `CREATE ROLE … PASSWORD` takes it as it is, so
 * that the password itself is in no statement and no log.
 */
export async function scramVerifier(password: string, salt: Buffer): Promise<string> {
  const { clientKey, serverKey } = await keysOf(password, salt, ITERATIONS)
  const stored = sha256(clientKey).toString('base64')
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${stored}:${serverKey.toString('base64')}`
}

/** One authentication: `first` goes out, `proof` answers the server, `verify` ends it. */
export class ScramClient {
  readonly #password: string
  readonly #nonce: string
  #serverSignature: Buffer | undefined

  /** @param nonce fresh for each authentication: printable, without a comma */
  constructor(password: string, nonce: string) {
    this.#password = password
    this.#nonce = nonce
  }

  /** client-first-message; PostgreSQL takes the user name from the startup packet instead. */
  get first(): string {
    return `n,,${this.#firstBare}`
  }

  get #firstBare(): string {
    return `n=,r=${this.#nonce}`
  }

  /** client-final-message for the server-first-message `serverFirst`. */
  async proof(serverFirst: string): Promise<string> {
    const nonce = attribute(serverFirst, 'r')
    const salt = Buffer.from(attribute(serverFirst, 's'), 'base64')
    const iterations = Number(attribute(serverFirst, 'i'))
    if (!nonce.startsWith(this.#nonce) || nonce === this.#nonce) throw mismatch('nonce')
    if (!Number.isInteger(iterations) || iterations < ITERATIONS || iterations > MAX_ITERATIONS) {
      throw mismatch('iteration count')
    }
    const { clientKey, serverKey } = await keysOf(this.#password, salt, iterations)
    const withoutProof = `c=biws,r=${nonce}`
    const message = `${this.#firstBare},${serverFirst},${withoutProof}`
    this.#serverSignature = hmac(serverKey, message)
    const signature = hmac(sha256(clientKey), message)
    const proof = clientKey.map((byte, i) => byte ^ (signature[i] ?? 0))
    return `${withoutProof},p=${Buffer.from(proof).toString('base64')}`
  }

  /** @throws unless `serverFinal` proves that the server knows the password too */
  verify(serverFinal: string): void {
    const claimed = Buffer.from(attribute(serverFinal, 'v'), 'base64')
    const expected = this.#serverSignature
    if (expected?.length !== claimed.length || !timingSafeEqual(expected, claimed)) {
      throw mismatch('signature')
    }
  }
}

async function keysOf(password: string, salt: Buffer, iterations: number) {
  const salted = await derive(password, salt, iterations, 32, 'sha256')
  return { clientKey: hmac(salted, 'Client Key'), serverKey: hmac(salted, 'Server Key') }
}

function attribute(message: string, name: string): string {
  const found = message.split(',').find((part) => part.startsWith(`${name}=`))
  if (found === undefined) throw mismatch(`attribute ${name}`)
  return found.slice(2)
}

function mismatch(what: string): Error {
  return new Error(`SCRAM: the server's ${what} is not what this exchange needs`)
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}
