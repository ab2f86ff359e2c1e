import type { Check } from './check.ts'

/**
 * INVALID_FIELD: a member that the table cannot take. Found here it costs one message its place in
 * the table; found by PostgreSQL it would cost a whole batch a second try. Asked last, so that the
 * reasons of every other check stay what they were before this one existed.
 */
export const storableFields: Check = ({ invalidField }) =>
  invalidField === undefined ? undefined : `INVALID_FIELD:${invalidField}`
