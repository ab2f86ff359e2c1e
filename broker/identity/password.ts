import { createHmac, timingSafeEqual } from 'node:crypto'
import type { PasswordFile, PasswordVerifier } from '../../config/types.ts'
import { OperationalError } from '../../core/errors.ts'
import { deriveKey, isVerifiable, type KeyDerivation, type Verifier } from './derived-key.ts'

/** More log ins wait than the bound allows: CONNACK 3, and the client tries again. */
export class PasswordChecksBusy extends OperationalError {
  constructor(maxWaiting: number) {
    super('PASSWORD_CHECKS_BUSY', `${maxWaiting} log ins already wait for their password's hash`)
  }
}

export interface PasswordAccountsOptions {
  readonly random: (bytes: number) => Buffer
  /** Hashes computed at once; libuv has four threads for these and all file access. Default 2. */
  readonly maxRunning?: number
  /** Log ins that wait for their turn. Default 1000. */
  readonly maxWaiting?: number
  /** Passwords remembered as right, oldest out first; 0: none. Default 1000. */
  readonly maxRemembered?: number
  readonly derive?: KeyDerivation
}

/**
 * The accounts of a password_file. The hash runs off the event loop, and an unknown user costs what
 * one of the file's accounts costs: the time of a refusal does not tell which accounts exist.
 *
 * A password that was right is remembered as an HMAC under a key of this process, and equal log ins
 * that overlap share one hash: a service that reconnects with hundreds of clients pays once.
 */
export class PasswordAccounts {
  #accounts: ReadonlyMap<string, PasswordVerifier> = new Map()
  #decoys: readonly Verifier[] = []
  readonly #key: Buffer
  readonly #derive: KeyDerivation
  readonly #fallback: Verifier
  readonly #maxRemembered: number
  readonly #remembered = new Set<string>()
  readonly #checking = new Map<string, Promise<boolean>>()
  readonly #turns: Turns

  constructor(file: PasswordFile, options: PasswordAccountsOptions) {
    this.#key = options.random(32)
    this.#derive = options.derive ?? deriveKey
    this.#maxRemembered = options.maxRemembered ?? 1000
    this.#turns = new Turns(options.maxRunning ?? 2, options.maxWaiting ?? 1000)
    this.#fallback = {
      scheme: 'pbkdf2-sha512',
      iterations: 1000,
      salt: options.random(12),
      key: options.random(64),
      encoded: '',
    }
    this.replace(file)
  }

  /** From now on these accounts; log ins under way are judged by them too. */
  replace(file: PasswordFile): void {
    this.#accounts = file.accounts
    this.#decoys = [...file.accounts.values()].filter(isVerifiable)
    this.#remembered.clear()
  }

  /**
   * Is this the account's password? False without a password, with an empty one, and for accounts
   * whose hash this build cannot verify.
   *
   * @throws PasswordChecksBusy
   */
  async verify(userName: string, password: Buffer | undefined): Promise<boolean> {
    if (password === undefined || password.length === 0) return false
    for (;;) {
      const encoded = this.#accounts.get(userName)?.encoded
      const digest = this.#digest(userName, encoded ?? '', password)
      if (this.#remember(digest)) return true
      const isRight = await this.#share(digest, userName, password)
      // The file may have been replaced meanwhile; the answer holds if the account is as it was.
      if (this.#accounts.get(userName)?.encoded !== encoded) continue
      if (isRight) this.#remember(digest, true)
      return isRight
    }
  }

  /**
   * Changes whenever the account's line does; undefined: no such account. Kept with a Session, it
   * tells after a reload whether the log in would still be the same, without keeping the password.
   */
  revisionOf(userName: string): string | undefined {
    const encoded = this.#accounts.get(userName)?.encoded
    return encoded === undefined ? undefined : this.#digest(userName, encoded, Buffer.alloc(0))
  }

  #share(digest: string, userName: string, password: Buffer): Promise<boolean> {
    const shared = this.#checking.get(digest)
    if (shared !== undefined) return shared
    const check = this.#check(digest, userName, password)
    this.#checking.set(digest, check)
    return check
  }

  async #check(digest: string, userName: string, password: Buffer): Promise<boolean> {
    try {
      const account = this.#accounts.get(userName)
      const isKnown = account !== undefined && isVerifiable(account)
      const verifier = isKnown ? account : this.#decoyFor(userName)
      const key = await this.#turns.take(() => this.#derive(verifier, password))
      if (key === undefined || key.length !== verifier.key.length) return false
      return timingSafeEqual(key, verifier.key) && isKnown
    } finally {
      this.#checking.delete(digest)
    }
  }

  /** One of the file's own lines, always the same for a name, so that costs look like the file's. */
  #decoyFor(userName: string): Verifier {
    const number = createHmac('sha256', this.#key).update(userName).digest().readUInt32BE()
    return this.#decoys[number % this.#decoys.length] ?? this.#fallback
  }

  /** Is it remembered, or (with `right`) shall it be? Either makes it the youngest. */
  #remember(digest: string, right = false): boolean {
    if (!this.#remembered.delete(digest) && !right) return false
    this.#remembered.add(digest)
    for (const oldest of this.#remembered) {
      if (this.#remembered.size <= this.#maxRemembered) break
      this.#remembered.delete(oldest)
    }
    return true
  }

  /** The lengths keep one field from running into the next. */
  #digest(userName: string, encoded: string, password: Buffer): string {
    const hmac = createHmac('sha256', this.#key)
    hmac.update(`${Buffer.byteLength(userName)}:${userName}:${encoded.length}:${encoded}:`)
    return hmac.update(password).digest('base64')
  }
}

/** So many at once, so many waiting, in order. */
class Turns {
  readonly #maxRunning: number
  readonly #maxWaiting: number
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(maxRunning: number, maxWaiting: number) {
    this.#maxRunning = maxRunning
    this.#maxWaiting = maxWaiting
  }

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#maxRunning) {
      this.#running++
    } else {
      if (this.#waiting.length >= this.#maxWaiting) throw new PasswordChecksBusy(this.#maxWaiting)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    try {
      return await work()
    } finally {
      // The turn is handed on, not given back: nobody slips in between.
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }
}
