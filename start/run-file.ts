/**
 * `run.json` in the data directory, mode 0600, while a newcomer's Midge runs: how other commands of
 * the same user find its database.
 */
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { App } from '../app/index.ts'
import type { DatabaseConfig } from '../config/types.ts'
import { OperationalError } from '../core/errors.ts'
import { writeFileAtomically } from '../pki/index.ts'

const NAME = 'run.json'

export async function writeRunFile(directory: string, app: App): Promise<void> {
  if (app.database === undefined) return
  const content = `${JSON.stringify({ pid: process.pid, database: app.database })}\n`
  await writeFileAtomically({ path: join(directory, NAME), content, mode: 0o600 })
}

export async function removeRunFile(directory: string): Promise<void> {
  await rm(join(directory, NAME), { force: true })
}

/** @throws OperationalError `NOT_RUNNING` */
export async function databaseOfRunning(directory: string): Promise<DatabaseConfig> {
  try {
    const { pid, database } = parse(await readFile(join(directory, NAME), 'utf8'))
    process.kill(pid, 0)
    return database
  } catch (cause) {
    throw new OperationalError(
      'NOT_RUNNING',
      `no Midge runs on the data directory ${directory}: start one (npm start), or name another with --data DIR or MIDGE_DATA`,
      { cause },
    )
  }
}

function parse(text: string): { pid: number; database: DatabaseConfig } {
  const found: unknown = JSON.parse(text)
  if (typeof found !== 'object' || found === null || !('pid' in found) || !('database' in found)) {
    throw new Error('not a run.json')
  }
  const { pid, database } = found
  if (typeof pid !== 'number' || !isDatabase(database)) throw new Error('not a run.json')
  return { pid, database }
}

/** Written by us, mode 0600: a look at its kind is enough. */
function isDatabase(found: unknown): found is DatabaseConfig {
  return typeof found === 'object' && found !== null && 'poolMax' in found
}
