/** The directories a container has, on disk: certificates of an authority, the sample configuration. */
import { spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { runMidge } from '../helpers/midge-process.ts'
import { composePath } from './files.ts'

export const SERVICE_PASSWORD = 'service-password'

/** `config`, `certs`, `passwd`, `data` and `log` below a new directory, as compose would fill them. */
export async function deployment(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'midge-compose-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await chmod(folder, 0o755)
  for (const name of ['config', 'certs', 'passwd', 'data', 'log']) mkdirSync(join(folder, name))
  for (const name of ['mosquitto.conf', 'acl.conf']) {
    copyFileSync(composePath('broker', name), join(folder, 'config', name))
  }
  const commands = [
    ['pki', 'init', '--directory', join(folder, 'certs'), '--host', 'localhost'],
    ['passwd', '-c', '-b', join(folder, 'passwd', 'passwd'), 'service_pulse', SERVICE_PASSWORD],
  ]
  for (const args of commands) {
    const { code, output } = await runMidge(t, { args })
    if (code !== 0) throw new Error(`midge ${args.join(' ')}: ${output}`)
  }
  return folder
}

/** The sample configuration with its files in `folder` and each port replaced. */
export function localConfiguration(folder: string, ports: ReadonlyMap<number, number>): string {
  const file = join(folder, 'config', 'mosquitto.conf')
  const text = readFileSync(file, 'utf8')
    .replaceAll('/mosquitto/', `${folder}/`)
    .replaceAll(/^listener (\d+)$/gmu, (_, port) => `listener ${ports.get(Number(port))} 127.0.0.1`)
  writeFileSync(file, text)
  return file
}

/** Runs a program to its end. */
export async function run(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', (text: Buffer) => (output += String(text)))
  child.stderr.on('data', (text: Buffer) => (output += String(text)))
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  return { code, output }
}

/** Whether a program is installed. */
export async function has(program: string): Promise<boolean> {
  return (await run('sh', ['-c', 'command -v -- "$1"', 'sh', program])).code === 0
}
