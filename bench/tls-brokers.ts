/** Midge and Debian's Mosquitto, each with the same mosquitto.conf: mutual TLS, a CRL, nothing stored. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { freePort } from '../postgres/place.ts'
import type { Devices } from './devices.ts'
import { remembered, runProgram, stopChild, type Cleanup } from './processes.ts'

export interface TlsBroker {
  readonly name: string
  readonly pid: number
  readonly ports: { readonly mqtts: number }
  /** The CRL it follows. */
  readonly crl: string
  stop(): Promise<void>
}

const MOSQUITTO = '/usr/sbin/mosquitto'
const MAIN = join(import.meta.dirname, '..', 'main.js')
const START_MS = 20_000

/** `mosquitto 2.0.11`, or undefined when it is not installed. */
export async function mosquittoVersion(): Promise<string | undefined> {
  if (!existsSync(MOSQUITTO)) return undefined
  const { stdout } = await runProgram(MOSQUITTO, ['-h']).catch((err: { stdout?: string }) => err)
  return /mosquitto version (\S+)/u.exec(stdout ?? '')?.[1] ?? 'unknown'
}

/** Settles when its port takes connections. */
export async function startTlsBroker(
  name: 'midge' | 'mosquitto',
  around: { readonly directory: string; readonly devices: Devices; readonly cleanup: Cleanup },
): Promise<TlsBroker> {
  const { directory, devices, cleanup } = around
  await mkdir(directory, { recursive: true })
  await devices.giveTo(directory)
  const certificates = join(directory, 'certs')
  await chmod(certificates, 0o755)
  await chmod(join(certificates, 'server.key'), 0o644) // mosquitto reads it as another user
  const port = await freePort()
  const file = join(directory, 'mosquitto.conf')
  await writeFile(file, configuration(port, certificates))
  const command: [string, string[]] =
    name === 'midge' ? [process.execPath, [MAIN, '-c', file]] : [MOSQUITTO, ['-c', file]]
  const env = { PATH: process.env['PATH'], MIDGE_HTTP_PORT: 'off', MIDGE_MAX_HANDSHAKES: '1000' }
  const child = remembered(spawn(...command, { env, stdio: ['ignore', 'ignore', 'pipe'] }))
  let told = ''
  child.stderr.on('data', (chunk: Buffer) => (told = (told + String(chunk)).slice(-4000)))
  const stop = () => stopChild(child, 'SIGTERM')
  cleanup.add(stop)
  for (const until = Date.now() + START_MS; !(await isOpen(port)); ) {
    if (child.exitCode !== null || Date.now() > until) {
      throw new Error(`${name} did not start:\n${told}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const crl = join(certificates, 'device-crl.pem')
  return { name, pid: child.pid ?? 0, ports: { mqtts: port }, crl, stop }
}

/** `set_tcp_nodelay`: without it either stalls some 40 ms a connection (TLS 1.3 session tickets). */
function configuration(port: number, certificates: string): string {
  return `user root
listener ${port} 127.0.0.1
cafile ${join(certificates, 'device-ca.crt')}
certfile ${join(certificates, 'server.crt')}
keyfile ${join(certificates, 'server.key')}
crlfile ${join(certificates, 'device-crl.pem')}
require_certificate true
use_identity_as_username true
set_tcp_nodelay true
log_dest none
`
}

async function isOpen(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
