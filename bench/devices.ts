/** An authority and device certificates, made once and kept in `.build/bench-devices`. */
import { cp, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Client } from 'pg'
import { systemClock } from '../core/clock.ts'
import { packageRoot } from '../core/package-root.ts'
import { registerDevice } from '../ingest/registry/register-device.ts'
import { newKey, pemOf, publicKeyOf } from '../pki/authority-files.ts'
import { issueBelow, loadDeviceCa } from '../pki/authority-setup.ts'
import { Authority } from '../pki/index.ts'
import { systemRandom } from '../pki/serial-number.ts'
import { registrationOf } from '../start/enrolment.ts'

export interface Devices {
  /** What the devices trust. */
  readonly serverCa: string
  /** For `mqload --ids`: tenant, device, certificate and key, a line each. */
  readonly ids: string
  /** Gives a broker that starts on this data directory the authority of these devices. */
  giveTo(dataDirectory: string): Promise<void>
  /** Makes them known to ingest, with their certificates, at the site that mqload's payload names. */
  registerIn(client: Client): Promise<void>
}

/** `site_id` of `mqload -T telemetry`. */
const SITE = 'site-1'

const TENANTS = 10
const DAYS = 365
/** Made anew well before they expire. */
const REUSE_MS = (DAYS - 65) * 86_400_000

/** At least `count` devices, spread over ten tenants. About 5 ms each when they are made. */
export async function prepareDevices(count: number): Promise<Devices> {
  const directory = join(packageRoot(), '.build', 'bench-devices')
  const certificates = join(directory, 'certs')
  await mkdir(certificates, { recursive: true, mode: 0o700 })
  const authority = await Authority.open(certificates, { clock: systemClock })
  const ids = join(directory, 'ids.txt')
  if (!(await isUsable(ids, authority.files.deviceCa, count))) {
    await writeFile(ids, '')
    await writeFile(ids, await issueDevices(directory, authority, count))
  }
  return {
    serverCa: authority.files.serverCa,
    ids,
    giveTo: (data) => cp(certificates, join(data, 'certs'), { recursive: true }),
    registerIn: (client) => registerAll(client, ids),
  }
}

async function registerAll(client: Client, ids: string): Promise<void> {
  await client.query('SET synchronous_commit = off')
  for (const line of (await readFile(ids, 'utf8')).trimEnd().split('\n')) {
    const [tenant = '', device = '', certificate = ''] = line.split(' ')
    const pem = await readFile(certificate, 'utf8')
    await registerDevice(client, registrationOf(tenant, device, SITE, pem))
  }
}

/** Options of mqload for so many of them, each with its own certificate. */
export function mutualTls(
  { serverCa, ids }: Devices,
  midge: { readonly ports: { readonly mqtts: number } },
  count: number,
): string[] {
  // Below MIDGE_MAX_HANDSHAKES_PER_ADDRESS: all of them come from one address.
  const atOnce = ['-K', '32']
  const to = ['-p', String(midge.ports.mqtts), '-c', String(count)]
  return ['--tls', '--cafile', serverCa, '--ids', ids, ...to, ...atOnce]
}

async function isUsable(ids: string, deviceCa: string, count: number): Promise<boolean> {
  try {
    const [made, ca] = [await stat(ids), await stat(deviceCa)]
    const lines = (await readFile(ids, 'utf8')).trimEnd().split('\n')
    return (
      lines.length >= count && made.mtimeMs > ca.mtimeMs && Date.now() - made.mtimeMs < REUSE_MS
    )
  } catch {
    return false
  }
}

/**
 * Past Authority.issueDevice, which remembers each certificate on disk so that it can be revoked by
 * name: 40 ms a device, and more with every device.
 */
async function issueDevices(directory: string, { files }: Authority, count: number) {
  const ca = await loadDeviceCa({ files, passphrase: undefined })
  const context = {
    files,
    clock: systemClock,
    random: systemRandom,
    keyType: 'p256',
    organization: 'Midge',
    hostNames: [],
    passphrase: undefined,
    encryptKeys: false,
  } as const
  const folder = join(directory, 'devices')
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const lines: string[] = []
  for (let i = 0; i < count; i++) {
    const tenant = `tenant-${String(i % TENANTS).padStart(2, '0')}`
    const device = `dev-${String(i).padStart(5, '0')}`
    const key = await newKey(context.keyType, 'leaf')
    const certificate = issueBelow(context, ca, {
      commonName: `${tenant}/${device}`,
      publicKey: publicKeyOf(key),
      days: DAYS,
      use: 'device',
    })
    const [certificateFile, keyFile] = [`${device}.crt`, `${device}.key`].map((f) =>
      join(folder, f),
    )
    await writeFile(String(certificateFile), certificate)
    await writeFile(String(keyFile), pemOf(key), { mode: 0o600 })
    lines.push(`${tenant} ${device} ${certificateFile} ${keyFile}\n`)
  }
  return lines.join('')
}
