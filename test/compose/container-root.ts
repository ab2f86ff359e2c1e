/**
 * A container's file system and users without a container engine: a mount and network namespace whose
 * root is a read-only directory that holds what compose/Dockerfile puts into the image. /usr and /etc
 * are this machine's.
 */
import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { packageRoot } from '../../core/package-root.ts'
import { run } from './deployment.ts'
import { composePath } from './files.ts'

/** Where the compiled sources of this run are. */
const COMPILED = dirname(dirname(import.meta.dirname))

/** Why none can be made here; undefined: one can. */
export async function whyNoContainerRoot(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'not Linux'
  if (process.getuid?.() !== 0) return 'only root may make namespaces'
  const tried = await run('unshare', [
    '-m',
    '-n',
    'sh',
    '-c',
    'ip link set lo up && command -v setpriv nsenter chroot',
  ])
  return tried.code === 0 ? undefined : `no namespaces, or not all tools: ${tried.output.trim()}`
}

const MOUNTS = `
set -e
root=$1; compiled=$2; packages=$3; mosquitto=$4; shift 4
ip link set lo up
mount --bind "$root" "$root"
for name in usr etc dev proc; do mount --rbind "/$name" "$root/$name"; done
mount --bind "$compiled" "$root/opt/midge/dist"
mount --bind "$packages" "$root/opt/midge/node_modules"
mount --bind "$mosquitto" "$root/mosquitto"
mount -t tmpfs tmpfs "$root/tmp"
mount -o remount,bind,ro "$root"
[ "$READ_ONLY_MOSQUITTO" != 1 ] || mount -o remount,bind,ro "$root/mosquitto"
exec chroot "$root" "$@"
`

export interface Container {
  readonly pid: number
  readonly output: () => string
  readonly ended: Promise<number | null>
  /** Settles when the output has matched. */
  printed(pattern: RegExp): Promise<void>
  /** Runs a program inside, as the same user. */
  inside(...command: readonly string[]): Promise<{ code: number | null; output: string }>
  /** Runs a program of this machine in the container's network. */
  beside(program: string, args: readonly string[], env: NodeJS.ProcessEnv): ReturnType<typeof run>
  stop(): Promise<number | null>
}

export interface ContainerOptions {
  /** Mounted at /mosquitto. */
  readonly mosquitto: string
  readonly uid: number
  readonly gid: number
  readonly env?: Readonly<Record<string, string>>
  readonly command?: readonly string[]
  readonly readOnlyMosquitto?: boolean
}

/** Runs the entry point as a container would. */
export async function startContainer(
  t: TestContext,
  options: ContainerOptions,
): Promise<Container> {
  const { mosquitto, uid, gid, command = [] } = options
  const root = await scratchRoot(t)
  const env = [
    'PATH=/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'MIDGE_DATA=/mosquitto/data',
    'MIDGE_HTTP_HOST=0.0.0.0',
    ...Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`),
  ]
  const as = ['setpriv', '--reuid', `${uid}`, '--regid', `${gid}`, '--clear-groups', '--']
  const mounted = [root, COMPILED, join(packageRoot(), 'node_modules'), mosquitto]
  const started = ['env', '-i', ...env, ...as, '/opt/bin/docker-entrypoint.sh', ...command]
  const namespaces = ['-m', '-n', '--propagation', 'private', 'sh', '-c', MOUNTS, 'sh']
  const child = spawn('unshare', [...namespaces, ...mounted, ...started], {
    env: {
      PATH: process.env['PATH'],
      READ_ONLY_MOSQUITTO: options.readOnlyMosquitto === true ? '1' : '0',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const waiting = new Set<() => void>()
  const take = (text: Buffer) => {
    output += String(text)
    for (const check of waiting) check()
  }
  child.stdout.on('data', take)
  child.stderr.on('data', take)
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    return await ended
  }
  t.after(stop)
  const { pid = 0 } = child
  const printed = (pattern: RegExp) =>
    new Promise<void>((resolve, reject) => {
      const check = () => pattern.test(output) && waiting.delete(check) && resolve()
      waiting.add(check)
      check()
      void ended.then((code) => reject(new Error(`ended (${code}) before ${pattern}:\n${output}`)))
    })
  const enter = ['-t', `${pid}`, '-n']
  return {
    pid,
    output: () => output,
    ended,
    printed,
    inside: (...words) =>
      run('nsenter', [...enter, '-m', '-r', '-w', 'env', '-i', ...env, ...as, ...words]),
    beside: (program, args, extra) =>
      run('nsenter', [...enter, program, ...args], { ...process.env, ...extra }),
    stop,
  }
}

/** What the image holds, without what is mounted into it. */
async function scratchRoot(t: TestContext): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'midge-root-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  const midge = join(root, 'opt', 'midge')
  const folders = [
    'usr',
    'etc',
    'dev',
    'proc',
    'tmp',
    'mosquitto',
    'opt/bin',
    'opt/midge/dist',
    'opt/midge/node_modules',
  ]
  for (const name of folders) mkdirSync(join(root, name), { recursive: true })
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, join(root, name))
  cpSync(join(packageRoot(), 'package.json'), join(midge, 'package.json'))
  cpSync(join(packageRoot(), 'ingest', 'migrations'), join(midge, 'ingest', 'migrations'), {
    recursive: true,
  })
  cpSync(composePath('docker-entrypoint.sh'), join(root, 'opt', 'bin', 'docker-entrypoint.sh'))
  // In the image a link to main.js, which tsc has left without the mode to be executed here.
  const midgeCommand = '#!/bin/sh\nexec node /opt/midge/dist/main.js "$@"\n'
  writeFileSync(join(root, 'opt', 'bin', 'midge'), midgeCommand, { mode: 0o755 })
  await run('chmod', ['-R', 'a+rX', root])
  return root
}
