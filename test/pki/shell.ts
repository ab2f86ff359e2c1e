/** `midge pki` in a directory of the test's own, without a process. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type PkiCommandContext, runPkiCommand } from '../../pki/cli.ts'
import { FakeClock } from '../helpers/clock.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

export const SHELL_T0 = Date.parse('2026-03-01T00:00:00Z')

/** The words `DIR` and `ROOT` in what is written stand for the certificate directory and what is above. */
export async function pkiShell(
  t: TestContext,
  changes: Partial<PkiCommandContext> = {},
  now = SHELL_T0,
) {
  const root = await scratchDirectory(t)
  const directory = join(root, 'certs')
  mkdirSync(directory)
  const clock = new FakeClock(now)
  const run = async (...argv: readonly string[]) => {
    let [stdout, stderr] = ['', '']
    const code = await runPkiCommand(argv, {
      stdout: { write: (text: string) => (stdout += text) },
      stderr: { write: (text: string) => (stderr += text) },
      directory,
      clock,
      hostNames: ['broker.example'],
      ...changes,
    })
    const shown = (text: string) => text.replaceAll(directory, 'DIR').replaceAll(root, 'ROOT')
    return { code, stdout: shown(stdout), stderr: shown(stderr) }
  }
  return { root, directory, clock, run }
}
