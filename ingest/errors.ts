import { OperationalError } from '../core/errors.ts'

/** The record was not taken, or not written by the deadline of `stop`; it must not be acknowledged. */
export class IngestStopped extends OperationalError {
  constructor() {
    super('INGEST_STOPPED', 'ingest is stopping: the record was not stored')
  }
}

/** The ceiling of waiting records is reached; the record must not be acknowledged. */
export class IngestOverloaded extends OperationalError {
  constructor(records: number, bytes: number) {
    super(
      'INGEST_OVERLOADED',
      `the record was not taken: ${records} records (${bytes} bytes) wait for PostgreSQL already`,
    )
  }
}

/** PostgreSQL could not be reached at start, within the time allowed. */
export class DatabaseUnreachable extends OperationalError {
  constructor(waitedMs: number, cause: unknown, problem: string) {
    super(
      'DATABASE_UNREACHABLE',
      `PostgreSQL was not usable within ${Math.round(waitedMs / 1000)} s: ${problem}`,
      { cause },
    )
  }
}

/** Table `telemetry` is not there, or lacks a column that every row has. */
export class SchemaUnusable extends OperationalError {
  constructor(problem: string) {
    super('SCHEMA_UNUSABLE', `${problem}; create the tables, or let ingest create them in its own`)
  }
}

/** Table `schema_migrations` is there: another migrator makes the tables of this database. */
export class SchemaForeign extends OperationalError {
  constructor() {
    super(
      'SCHEMA_FOREIGN',
      'table schema_migrations exists: this database has a migrator of its own, which makes its tables; nothing was created',
    )
  }
}

/** Row-level security shows only some rows of a table that has to be read as a whole. */
export class RowsHidden extends OperationalError {
  constructor(table: string) {
    super(
      'ROWS_HIDDEN',
      `row-level security hides rows of ${table}: let the login role become pulse_operator`,
    )
  }
}

/** The login role, and the one it read with, may look at the quarantine and not change it. */
export class QuarantineForbidden extends OperationalError {
  constructor(cause: unknown, problem: string) {
    super(
      'QUARANTINE_FORBIDDEN',
      `${problem}: to take messages out, DELETE on quarantine_events is needed; nothing was changed`,
      { cause },
    )
  }
}
