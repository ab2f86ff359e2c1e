import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

/** A directory of the test's own, removed afterwards. */
export async function scratchDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'midge-test-'))
  // The embedded PostgreSQL runs as another user when we are root.
  await chmod(directory, 0o755)
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}
