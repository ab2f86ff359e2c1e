import { createHmac, timingSafeEqual } from 'node:crypto'
import type { PasswordFile, PasswordVerifier } from '../../config/types.ts'
import {
  deriveKey,
  isPossible,
  isVerifiable,
  type KeyDerivation,
  type Verifier,
} from './derived-key.ts'
import { Turns, type Applicant } from './turns.ts'

export interface PasswordAccountsOptions {
  readonly random: (bytes: number) => Buffer
  /** Hashes computed at once; libuv has four threads for these and all file access. Default 2. */
  readonly maxRunning?: number
  /** Log ins that wait for their turn. Default 1000. */
  readonly maxWaiting?: number
  /** The same of bcrypt lines. Default: those that all listeners share. */
  readonly bcryptTurns?: Turns
  /** Passwords remembered as right, oldest out first; 0: none. Default 10000, 1.3 MB. */
  readonly maxRemembered?: number
  readonly derive?: KeyDerivation
}

/**
 * There is one thread for bcrypt. At cost 12 the last of 20 is let in after some eight seconds; after
 * ten (MIDGE_CONNECT_TIMEOUT_MS) it would have been closed, and had better come again.
 */
const BCRYPT_TURNS = new Turns(1, 20)

/** Where nothing is known of who asks. */
const SOMEBODY: Applicant = { address: '', isGone: () => false }

interface LineOfAccount {
  readonly userName: string
  readonly encoded: string | undefined
}

interface Check {
  readonly isRight: Promise<boolean>
  /** All that wait for it. */
  readonly applicants: Applicant[]
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
  /** By digest: the account, and the line it was right for. */
  readonly #remembered = new Map<string, LineOfAccount>()
  readonly #checking = new Map<string, Check>()
  readonly #turns: Turns
  readonly #bcryptTurns: Turns

  constructor(file: PasswordFile, options: PasswordAccountsOptions) {
    this.#key = options.random(32)
    this.#derive = options.derive ?? deriveKey
    this.#maxRemembered = options.maxRemembered ?? 10_000
    this.#turns = new Turns(options.maxRunning ?? 2, options.maxWaiting ?? 1000)
    this.#bcryptTurns = options.bcryptTurns ?? BCRYPT_TURNS
    this.#fallback = {
      scheme: 'pbkdf2-sha512',
      iterations: 1000,
      salt: options.random(12),
      key: options.random(64),
      encoded: '',
    }
    this.replace(file)
  }

  /**
   * From now on these accounts; log ins under way are judged by them too. Passwords stay remembered
   * where the line stayed: each new device changes the file, and the others need not pay for it.
   */
  replace(file: PasswordFile): void {
    this.#accounts = file.accounts
    this.#decoys = [...file.accounts.values()].filter(isVerifiable)
    for (const [digest, { userName, encoded }] of this.#remembered) {
      if (file.accounts.get(userName)?.encoded !== encoded) this.#remembered.delete(digest)
    }
  }

  /**
   * Is this the account's password? False without a password, with an empty one, and for accounts
   * whose hash this build cannot verify.
   *
   * @throws PasswordChecksBusy
   */
  async verify(
    userName: string,
    password: Buffer | undefined,
    applicant: Applicant = SOMEBODY,
  ): Promise<boolean> {
    if (password === undefined || password.length === 0) return false
    for (;;) {
      const encoded = this.#accounts.get(userName)?.encoded
      const digest = this.#digest(userName, encoded ?? '', password)
      if (this.#isRemembered(digest)) return true
      const isRight = await this.#share(digest, userName, password, applicant)
      // The file may have been replaced meanwhile; the answer holds if the account is as it was.
      if (this.#accounts.get(userName)?.encoded !== encoded) continue
      if (isRight) this.#remember(digest, { userName, encoded })
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

  #share(
    digest: string,
    userName: string,
    password: Buffer,
    applicant: Applicant,
  ): Promise<boolean> {
    const shared = this.#checking.get(digest)
    if (shared !== undefined) {
      shared.applicants.push(applicant)
      return shared.isRight
    }
    const applicants = [applicant]
    const { address } = applicant
    const isGone = (): boolean => applicants.every((one) => one.isGone())
    // Taken out in a later task than it is put in, also where there is nothing to compute.
    const isRight = this.#check(userName, password, { address, isGone }).finally(() =>
      this.#checking.delete(digest),
    )
    this.#checking.set(digest, { isRight, applicants })
    return isRight
  }

  async #check(userName: string, password: Buffer, applicant: Applicant): Promise<boolean> {
    const account = this.#accounts.get(userName)
    const isKnown = account !== undefined && isVerifiable(account)
    const verifier = isKnown ? account : this.#decoyFor(userName)
    if (!isPossible(verifier, password)) return false
    const turns = verifier.scheme === 'bcrypt' ? this.#bcryptTurns : this.#turns
    const key = await turns.take(() => this.#derive(verifier, password), applicant)
    if (key === undefined || key.length !== verifier.key.length) return false
    return timingSafeEqual(key, verifier.key) && isKnown
  }

  /** One of the file's own lines, always the same for a name, so that costs look like the file's. */
  #decoyFor(userName: string): Verifier {
    const number = createHmac('sha256', this.#key).update(userName).digest().readUInt32BE()
    return this.#decoys[number % this.#decoys.length] ?? this.#fallback
  }

  #isRemembered(digest: string): boolean {
    const line = this.#remembered.get(digest)
    if (line === undefined) return false
    this.#remember(digest, line)
    return true
  }

  /** As the youngest. */
  #remember(digest: string, line: LineOfAccount): void {
    this.#remembered.delete(digest)
    this.#remembered.set(digest, line)
    for (const oldest of this.#remembered.keys()) {
      if (this.#remembered.size <= this.#maxRemembered) break
      this.#remembered.delete(oldest)
    }
  }

  /** The lengths keep one field from running into the next. */
  #digest(userName: string, encoded: string, password: Buffer): string {
    const hmac = createHmac('sha256', this.#key)
    hmac.update(`${Buffer.byteLength(userName)}:${userName}:${encoded.length}:${encoded}:`)
    return hmac.update(password).digest('base64')
  }
}
