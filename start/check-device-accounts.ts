/** Accounts of devices that nobody could come in by: the registry they are looked up in is off. */
import { readFileSync } from 'node:fs'
import { isDeviceAccount } from '../broker/index.ts'
import { parsePasswordFile } from '../config/index.ts'
import type { Config } from '../config/types.ts'
import { danger, type Finding } from './check-findings.ts'

export function deviceAccountsOf({ listeners, tenancy, ingest }: Config): readonly Finding[] {
  const mode = ingest?.registry?.mode ?? 'off'
  if (!tenancy || mode !== 'off') return []
  const why = ingest === undefined ? 'no database is configured' : 'MIDGE_REGISTRY is off'
  return listeners.flatMap(({ passwordFile }) => {
    const count =
      passwordFile === undefined ? 0 : accountsIn(passwordFile).filter(isDeviceAccount).length
    if (count === 0) return []
    const accounts = count === 1 ? 'one account' : `${count} accounts`
    return [
      danger(
        `${passwordFile}: ${accounts} called device_… will be refused: which device it is the registry tells, and ${why}`,
      ),
    ]
  })
}

/** None where the file cannot be read or has an error: that is told of elsewhere. */
function accountsIn(file: string): readonly string[] {
  try {
    return [...parsePasswordFile(readFileSync(file, 'utf8'), file).accounts.keys()]
  } catch {
    return []
  }
}
