/**
 * What a failed write says about the rows in it. Two promises pull apart here: no row is ever lost
 * for a fault that is not its own, and no row blocks those behind it for ever.
 *
 * Hence three answers, not two. What is surely the server's or the network's fault is tried again
 * without end (`transient`); what is surely a value's fault condemns the row that has it
 * (`rejected`). The rest, such as a table that is gone or a trigger with a bug, looks the same in
 * both cases (`unclear`): the rows are held, and only a row that keeps failing alone while others
 * get through is condemned. Every SQLSTATE that this table does not know is `unclear`.
 */
import { codeOf } from '../core/errors.ts'

export type Fault = 'transient' | 'rejected' | 'unclear'

/** By SQLSTATE, or by its class (the first two characters). PostgreSQL, appendix A. */
const FAULTS: ReadonlyMap<string, Fault> = new Map([
  // Connection, insufficient resources, operator intervention, rollback, system error, object in use.
  ['08', 'transient'],
  ['53', 'transient'],
  ['57', 'transient'],
  ['40', 'transient'],
  ['58', 'transient'],
  ['55', 'transient'],
  // A standby after a switch-over (25006), a login that is refused, a database being restored.
  ['25', 'transient'],
  ['28', 'transient'],
  ['3D', 'transient'],
  ['F0', 'transient'],
  // Data exception, integrity constraint, WITH CHECK OPTION, RAISE EXCEPTION in a trigger.
  ['22', 'rejected'],
  ['23', 'rejected'],
  ['44', 'rejected'],
  ['P0001', 'rejected'],
  // The form of the COPY stream, not of a value: a column changed its type under us.
  ['22P03', 'unclear'],
  ['22P04', 'unclear'],
  // A statement that ran out of time may be too long, or stand behind a lock.
  ['57014', 'unclear'],
])

/** The fault behind anything a store threw. Pure. */
export function faultOf(thrown: unknown): Fault {
  const sqlstate = sqlstateOf(thrown)
  if (sqlstate !== undefined) {
    return FAULTS.get(sqlstate) ?? FAULTS.get(sqlstate.slice(0, 2)) ?? 'unclear'
  }
  // Not from the server: the socket, TLS, name resolution, a deadline; or a bug in our encoding of
  // a row, which no number of retries would mend.
  return thrown instanceof TypeError || thrown instanceof RangeError ? 'unclear' : 'transient'
}

/** The SQLSTATE of an error that the server sent; told from Node's EPIPE by its `severity`. */
export function sqlstateOf(thrown: unknown): string | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('severity' in thrown)) return undefined
  const code = codeOf(thrown)
  return code !== undefined && /^[0-9A-Z]{5}$/u.test(code) ? code : undefined
}

/** A word for logs, metrics and ROW_REJECTED: the SQLSTATE, or the kind of error it was. */
export function faultCodeOf(thrown: unknown): string {
  const code = sqlstateOf(thrown) ?? codeOf(thrown)
  if (code !== undefined && /^\w{1,64}$/u.test(code)) return code
  return thrown instanceof Error && /^\w{1,64}$/u.test(thrown.name) ? thrown.name : 'Error'
}
