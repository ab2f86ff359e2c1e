/** What a mosquitto.conf or the command line wants of the process itself. */
import { spawn } from 'node:child_process'
import { closeSync, openSync, writeSync } from 'node:fs'
import { lstat, rm, truncate, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { OperationalError, codeOf } from '../core/errors.ts'
import { accessProblem } from '../core/file-access.ts'
import { linkAt, openForAppending } from './open-as-root.ts'

/** @throws OperationalError `PID_FILE`: whoever asks for it relies on it */
export async function writePidFile(path: string, pid: number): Promise<void> {
  try {
    // One that a crash left behind may be another user's, who could not remove ours then.
    const isMadeAnew = linkAt(path) === 'foreign' || (await isFree(path))
    if (isMadeAnew) await rm(path, { force: true })
    await writeFile(path, String(pid), { flag: isMadeAnew ? 'wx' : 'w' })
  } catch (err) {
    const text = `cannot write the pid_file ${path}: ${accessProblem(path, err)}`
    throw new OperationalError('PID_FILE', text, { cause: err })
  }
}

/** A plain file, or nothing yet. */
async function isFree(path: string): Promise<boolean> {
  return await lstat(path).then(
    (found) => found.isFile(),
    (err: unknown) => codeOf(err) === 'ENOENT',
  )
}

/** @returns what is left behind and why, if so */
export async function removePidFile(path: string): Promise<string | undefined> {
  try {
    await rm(path, { force: true })
    return undefined
  } catch (err) {
    // Whoever looks for the process finds no number at least.
    const emptied = await truncate(path).then(
      () => ', empty',
      () => '',
    )
    return `the pid_file ${path} stays${emptied}: ${accessProblem(dirname(path), err)}`
  }
}

/**
 * Node cannot fork: the same command once more, without `-d`, apart from this terminal. Without
 * `output`, what it prints is lost, as with Mosquitto; `log_dest file` keeps it.
 *
 * @param output appended to; readable by this user alone. Throws what Node throws.
 * @returns the process id; undefined when none was started
 */
export function startInBackground(argv: readonly string[], output?: string): number | undefined {
  const [runtime = process.execPath, script = '', ...rest] = argv
  const without = rest.filter((word) => word !== '-d' && word !== '--daemon')
  const to = output === undefined ? 'ignore' : openSync(output, 'a', 0o600)
  try {
    const child = spawn(runtime, [...process.execArgv, script, ...without], {
      detached: true,
      stdio: ['ignore', to, to],
    })
    child.unref()
    return child.pid
  } finally {
    if (to !== 'ignore') closeSync(to)
  }
}

/**
 * Appends TLS secrets; readable by this user alone.
 *
 * @throws OperationalError `KEYLOG`
 */
export function openKeylog(path: string): (line: Buffer) => void {
  try {
    const file = openForAppending(path, 0o600)
    return (line) => void writeSync(file, line)
  } catch (err) {
    const text = `cannot write the file of --tls-keylog ${path}: ${accessProblem(path, err)}`
    throw new OperationalError('KEYLOG', text, { cause: err })
  }
}
