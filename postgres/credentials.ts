/** The generated passwords of the cluster's two roles, kept beside the cluster, mode 0600. */
import { open, readFile, rename } from 'node:fs/promises'
import { EmbeddedPostgresError } from './errors.ts'
import { codeOf, messageOf } from '../core/errors.ts'
import { unwritable } from './directories.ts'

/** The role that owns the cluster; used to create the rest, and for maintenance by hand. */
export const SUPERUSER = 'postgres'
/** The role Midge works as, and the database it owns. */
export const ROLE = 'midge'
export const DATABASE = 'midge'

export interface Credentials {
  readonly superuserPassword: string
  readonly password: string
}

/** @throws EmbeddedPostgresError CREDENTIALS when there are none although there is a cluster */
export async function readOrCreateCredentials(
  path: string,
  clusterExists: boolean,
  random: (bytes: number) => Buffer,
): Promise<Credentials> {
  let text
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    if (codeOf(cause) !== 'ENOENT') throw unusable(path, messageOf(cause))
    if (clusterExists) throw unusable(path, 'the file is missing')
    return createCredentials(path, random)
  }
  const found = parse(text)
  if (found === undefined) throw unusable(path, 'the file is damaged')
  return found
}

async function createCredentials(
  path: string,
  random: (bytes: number) => Buffer,
): Promise<Credentials> {
  const created: Credentials = {
    superuserPassword: random(24).toString('hex'),
    password: random(24).toString('hex'),
  }
  const roles = { [SUPERUSER]: created.superuserPassword, [ROLE]: created.password }
  const aside = `${path}.new`
  try {
    const file = await open(aside, 'w', 0o600)
    await file.writeFile(`${JSON.stringify(roles, null, 2)}\n`)
    await file.sync()
    await file.close()
    await rename(aside, path)
  } catch (cause) {
    throw unwritable(path, cause)
  }
  return created
}

function parse(text: string): Credentials | undefined {
  let roles: unknown
  try {
    roles = JSON.parse(text)
  } catch {
    return undefined // its message would quote the file
  }
  if (typeof roles !== 'object' || roles === null) return undefined
  if (!(SUPERUSER in roles) || !(ROLE in roles)) return undefined
  const { [SUPERUSER]: superuserPassword, [ROLE]: password } = roles
  if (typeof superuserPassword !== 'string' || typeof password !== 'string') return undefined
  return { superuserPassword, password }
}

function unusable(path: string, reason: string): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'EMBEDDED_POSTGRES_CREDENTIALS',
    `cannot log in to the embedded PostgreSQL without the passwords in ${path} (${reason}): put the file back from a backup, or start with an empty data directory (--data or MIDGE_DATA)`,
  )
}
