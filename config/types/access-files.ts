/** Files that say who may do what, as read. */

/** Where something was found. `line` counts from 1; undefined: the file as a whole. */
export interface Place {
  readonly file: string
  readonly line: number | undefined
}

/** Accepted, but worth a look; `problem` holds nothing secret. */
export interface ConfigWarning {
  readonly place: Place
  readonly problem: string
}

/** A Mosquitto acl_file that was read; an empty one gives nobody anything. */
export interface AclFile {
  readonly file: string
  /** In file order. */
  readonly rules: readonly AclRule[]
  readonly warnings: readonly ConfigWarning[]
}

export interface AclRule {
  /** `topic` belongs to its `user` section; `pattern` to every client, wherever it stands. */
  readonly kind: 'topic' | 'pattern'
  /** Undefined: a `pattern`, or a `topic` before the first `user` (anonymous clients only). */
  readonly user: string | undefined
  /** `deny` is for reading and writing alike. */
  readonly access: 'read' | 'write' | 'readwrite' | 'deny'
  /** A valid Topic Filter; in a `pattern` it may hold %c, %u, %t and %d. */
  readonly filter: string
  readonly file: string
  readonly line: number
}

/** A Mosquitto psk_file that was read. */
export interface PskFile {
  readonly file: string
  /** By identity. */
  readonly keys: ReadonlyMap<string, Buffer>
  readonly warnings: readonly ConfigWarning[]
}

/** A Mosquitto password_file that was read. */
export interface PasswordFile {
  readonly file: string
  /** By user name. */
  readonly accounts: ReadonlyMap<string, PasswordVerifier>
  readonly warnings: readonly ConfigWarning[]
}

/** What a password is checked against; `encoded` is the field as it stands in the file. */
export type PasswordVerifier =
  | {
      readonly scheme: 'pbkdf2-sha512'
      readonly iterations: number
      readonly salt: Buffer
      readonly key: Buffer
      readonly encoded: string
    }
  | {
      readonly scheme: 'sha512'
      readonly salt: Buffer
      readonly key: Buffer
      readonly encoded: string
    }
  | {
      readonly scheme: 'argon2id'
      readonly memoryKiB: number
      readonly passes: number
      readonly parallelism: number
      readonly salt: Buffer
      readonly key: Buffer
      readonly encoded: string
    }
  | {
      readonly scheme: 'bcrypt'
      /** 2 to the power of it is the number of rounds. */
      readonly cost: number
      /** 23 bytes. */
      readonly key: Buffer
      readonly encoded: string
    }
  /** Recognised, but this Node cannot verify it: never logs anyone in. */
  | { readonly scheme: 'unverifiable'; readonly encoded: string }
