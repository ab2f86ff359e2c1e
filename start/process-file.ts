/** What a mosquitto.conf or the command line wants of the process itself. */
import { spawn } from 'node:child_process'
import { openSync, writeSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { OperationalError, messageOf } from '../core/errors.ts'

/** @throws OperationalError `PID_FILE`: whoever asks for it relies on it */
export async function writePidFile(path: string, pid: number): Promise<void> {
  try {
    await writeFile(path, String(pid))
  } catch (err) {
    const text = `cannot write the pid_file ${path}: ${messageOf(err)}`
    throw new OperationalError('PID_FILE', text, { cause: err })
  }
}

export async function removePidFile(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => undefined)
}

/**
 * Node cannot fork: the same command once more, without `-d`, apart from this terminal. What it
 * prints is lost, as with Mosquitto; `log_dest file` keeps it.
 */
export function startInBackground(argv: readonly string[]): void {
  const [runtime = process.execPath, script = '', ...rest] = argv
  const without = rest.filter((word) => word !== '-d' && word !== '--daemon')
  const options = { detached: true, stdio: 'ignore' } as const
  spawn(runtime, [...process.execArgv, script, ...without], options).unref()
}

/** Appends TLS secrets; readable by this user alone. Throws what Node throws. */
export function openKeylog(path: string): (line: Buffer) => void {
  const file = openSync(path, 'a', 0o600)
  return (line) => void writeSync(file, line)
}
