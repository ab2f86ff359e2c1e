/** Ends the embedded servers that tests left running, and removes those of killed tests. */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock as clock } from '../../core/clock.ts'
import { silentLog as log } from '../../core/log.ts'
import { findPostmaster } from '../../postgres/postmaster-pid.ts'
import { adoptPostmaster, stopPostmaster } from '../../postgres/postmaster.ts'
import { testServersDirectory } from './postgres.ts'

const parent = testServersDirectory()
for (const name of await readdir(parent).catch(() => [])) {
  const cluster = join(parent, name, 'postgres', 'cluster')
  const found = await findPostmaster(cluster, undefined)
  if (found.kind === 'running') {
    await stopPostmaster(adoptPostmaster(found.pid, found.identity, clock), 'fast', { clock, log })
    console.log(`stopped the test server of pid ${found.pid} in ${join(parent, name)}`)
  }
  if (name.startsWith('private-')) await rm(join(parent, name), { recursive: true, force: true })
}
