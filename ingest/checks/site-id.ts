import type { Check } from './check.ts'

/** MISSING_SITE_ID: absent, or of a value that counts as nothing. */
export const siteId: Check = ({ siteId }) => (siteId === undefined ? 'MISSING_SITE_ID' : undefined)
