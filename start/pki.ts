/**
 * `midge pki …`, and what an authority does not know of: a device that is issued a certificate is
 * also registered in the database, so that its telemetry is accepted.
 */
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { identityOf } from '../broker/index.ts'
import { systemClock } from '../core/clock.ts'
import { type Enrolment, PKI_USAGE, runPkiCommand } from '../pki/index.ts'
import { enrolmentOf } from './enrolment.ts'
import { askSecretly } from './prompt.ts'

/** @returns the exit code */
export async function runPki(args: readonly string[]): Promise<number> {
  const [command] = args
  if (command === undefined || command === '--help' || command === '-h' || command === 'help') {
    process.stdout.write(PKI_USAGE)
    return 0
  }
  const data = resolve(process.env['MIDGE_DATA'] ?? 'data')
  const own = join(data, 'certs')
  const enrolment = (directory: string): Enrolment =>
    enrolmentOf({ data, isOfData: resolve(directory) === own, environment: process.env })
  const { stdin, stdout, stderr } = process
  return await runPkiCommand(args, {
    stdout,
    stderr,
    directory: own,
    clock: systemClock,
    hostNames: [hostname()],
    environment: process.env,
    prompt: stdin.isTTY ? (question) => askSecretly(question, stdin, stderr) : undefined,
    enrolment,
    identify: (certificate) => {
      const verdict = identityOf(certificate, true)
      return verdict.refused
        ? { refused: true, reason: verdict.reason }
        : { refused: false, name: verdict.identity.userName }
    },
  })
}
