/** Debian's mosquitto, beside ours, where it is installed. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { TestContext } from 'node:test'

const MOSQUITTO = '/usr/sbin/mosquitto'
const NEEDED = [MOSQUITTO, '/usr/bin/mosquitto_passwd']

/** What keeps a comparison from being made, as the `skip` of a test. */
export const withoutMosquitto = NEEDED.find((file) => !existsSync(file))

/** Starts it with this file, until it says that it runs. */
export async function startMosquitto(t: TestContext, file: string): Promise<void> {
  const child = spawn(MOSQUITTO, ['-c', file], { stdio: ['ignore', 'ignore', 'pipe'] })
  t.after(() => child.kill('SIGTERM'))
  let output = ''
  for await (const bytes of child.stderr.iterator({ destroyOnReturn: false })) {
    output += String(bytes)
    if (/ running$/mu.test(output)) break
  }
  assert.match(output, / running$/mu, output)
  child.stderr.resume()
}
