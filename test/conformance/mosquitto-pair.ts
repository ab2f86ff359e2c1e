/** Mosquitto and Midge, each with the same mosquitto.conf and the lines it has printed. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { freePort } from '../helpers/free-port.ts'
import { spawnMidge } from '../helpers/midge-process.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const MOSQUITTO = '/usr/sbin/mosquitto'

/** Why such a test cannot run here; false: it can. */
export const noMosquitto = existsSync(MOSQUITTO) ? false : `${MOSQUITTO} is not installed`

export interface Printing {
  readonly port: number
  /** Everything on standard error so far. */
  lines(): string[]
}

/** @param settings lines of a mosquitto.conf, beside its listener; `user` keeps Mosquitto in a root that runs the tests */
export async function startPair(
  t: TestContext,
  settings: string,
): Promise<{ readonly mosquitto: Printing; readonly midge: Printing }> {
  const configured = async () => {
    const file = join(await scratchDirectory(t), 'mosquitto.conf')
    const port = await freePort()
    await writeFile(
      file,
      `user root\nlistener ${port} 127.0.0.1\nallow_anonymous true\n${settings}`,
    )
    return { file, port }
  }
  const theirs = await configured()
  const ours = await configured()
  const mosquitto = { port: theirs.port, lines: await runMosquitto(t, theirs.file) }
  const midge = spawnMidge(t, { args: ['-c', ours.file] })
  await midge.printed(/ running$/mu)
  return { mosquitto, midge: { port: ours.port, lines: () => linesOf(midge.output()) } }
}

async function runMosquitto(t: TestContext, file: string): Promise<() => string[]> {
  const child = spawn(MOSQUITTO, ['-c', file], { stdio: ['ignore', 'ignore', 'pipe'] })
  t.after(() => child.kill('SIGTERM'))
  let output = ''
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (bytes: Buffer) => {
      output += String(bytes)
      if (/ running$/mu.test(output)) resolve()
    })
    child.once('exit', () => reject(new Error(`mosquitto ended:\n${output}`)))
  })
  assert.match(output, / running$/mu)
  return () => linesOf(output)
}

function linesOf(output: string): string[] {
  return output.split('\n').slice(0, -1)
}
