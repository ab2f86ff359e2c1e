/**
 * Who runs the server. PostgreSQL refuses to run as root, so a Midge that is root lends it an
 * account that exists already; any other Midge runs it as itself.
 */
import { EmbeddedPostgresError, OWN_SERVER } from './errors.ts'

export interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** In order of preference; `_postgres` is macOS's own. */
const CANDIDATES = ['postgres', '_postgres', 'nobody'] as const

interface PasswdEntry extends Account {
  readonly home: string
}

/** The lines of an `/etc/passwd`; what is not one is passed over. */
export function parsePasswd(text: string): readonly PasswdEntry[] {
  const entries: PasswdEntry[] = []
  for (const line of text.split('\n')) {
    const [name, , uid, gid, , home] = line.split(':')
    if (name === undefined || home === undefined) continue
    if (!/^-?\d+$/u.test(uid ?? '') || !/^-?\d+$/u.test(gid ?? '')) continue
    // macOS writes nobody as -2, which is 4294967294 to setuid.
    entries.push({ name, uid: Number(uid) >>> 0, gid: Number(gid) >>> 0, home })
  }
  return entries
}

/** Folders that are somebody's own, whatever Midge was told: never opened to other accounts. */
export function homesIn(passwd: string): ReadonlySet<string> {
  return new Set(parsePasswd(passwd).map((entry) => entry.home))
}

/**
 * The account to run the server as; undefined: as ourselves.
 *
 * @param uid our effective user id; undefined where the system has none (Windows)
 * @param owner of a cluster that is there already: it must stay the server's own
 * @throws EmbeddedPostgresError NO_ACCOUNT
 */
export function serverAccount(options: {
  readonly uid: number | undefined
  readonly passwd: string
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
}): Account | undefined {
  if (options.uid !== 0) return undefined
  const entries = parsePasswd(options.passwd)
  if (options.owner !== undefined && options.owner.uid !== 0) {
    const { uid, gid } = options.owner
    return { name: entries.find((entry) => entry.uid === uid)?.name ?? `uid ${uid}`, uid, gid }
  }
  for (const name of CANDIDATES) {
    const found = entries.find((entry) => entry.name === name && entry.uid !== 0)
    if (found !== undefined) return { name, uid: found.uid, gid: found.gid }
  }
  throw new EmbeddedPostgresError(
    'EMBEDDED_POSTGRES_NO_ACCOUNT',
    `PostgreSQL refuses to run as root, and /etc/passwd has none of the accounts ${CANDIDATES.join(', ')} to run it as: start Midge as an ordinary user, or ${OWN_SERVER}`,
  )
}
