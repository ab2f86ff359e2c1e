/** What is handed to a device, or to who sets it up: a directory that works as it is, or one `.p12`. */
import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { PUBLIC, SECRET, writeFileAtomically } from './atomic-file.ts'
import { type AuthorityFiles, pemOf, readIfThere } from './authority-files.ts'
import { type DevicePaths, fileNameOf, readDevicePair } from './device-files.ts'
import { AuthorityError } from './errors.ts'
import { writePkcs12 } from './pkcs12.ts'
import type { RandomOctets } from './serial-number.ts'
import { readCertificates } from './trust.ts'

export interface BundleOptions {
  readonly tenant: string
  readonly device: string
  /** What its messages name. */
  readonly site: string
  /** Where the device reaches the broker. */
  readonly host: string
  readonly port: number
  /** The bundle's directory is `OUT/TENANT/DEVICE`, its file `OUT/TENANT/DEVICE.p12`. */
  readonly out: string
}

/** Rounds of PBKDF2 for a file that travels. */
const P12_ROUNDS = 100_000

/**
 * `device.crt`, `device.key`, `ca.crt` (of the broker) and `publish.sh`, which sends one message.
 * Written again it is brought up to date.
 *
 * @returns the directory
 * @throws AuthorityError `authority_incomplete` when a file of the device or the server CA is missing
 */
export async function writeBundleDirectory(
  files: AuthorityFiles,
  paths: DevicePaths,
  options: BundleOptions,
): Promise<string> {
  const { certificatePem, key, serverCa } = await contentOf(files, paths, options)
  const directory = join(options.out, fileNameOf(options.tenant), fileNameOf(options.device))
  const write = (name: string, content: string, mode: number): Promise<void> =>
    writeFileAtomically({ path: join(directory, name), content, mode })
  await write('ca.crt', serverCa, PUBLIC)
  if (key !== undefined) await write('device.key', pemOf(key), SECRET)
  await write('device.crt', certificatePem, PUBLIC)
  await write('publish.sh', publishScript(options), 0o755)
  return directory
}

/**
 * Key, certificate, and the CAs of device and server under one passphrase.
 *
 * @returns the file
 */
export async function writeBundleFile(
  files: AuthorityFiles,
  paths: DevicePaths,
  options: BundleOptions & { readonly passphrase: string; readonly random: RandomOctets },
): Promise<string> {
  const { certificate, key, serverCa, deviceCa } = await contentOf(files, paths, options)
  const { tenant, device, out, passphrase, random } = options
  if (key === undefined) throw missing(paths.key, `the device has its key itself`)
  const authorities = [
    ...readCertificates(deviceCa, files.deviceCa).map((ca) => ({ name: 'device CA', ca })),
    ...readCertificates(serverCa, files.serverCa).map((ca) => ({ name: 'server CA', ca })),
  ].map(({ name, ca }) => ({ name, certificate: ca.raw }))
  const content = writePkcs12(
    { key, certificate: certificate.raw, authorities, friendlyName: `${tenant}/${device}` },
    { passphrase, rounds: P12_ROUNDS, random },
  )
  const path = join(out, fileNameOf(tenant), `${fileNameOf(device)}.p12`)
  await writeFileAtomically({ path, content, mode: SECRET })
  return path
}

async function contentOf(
  files: AuthorityFiles,
  paths: DevicePaths,
  { tenant, device }: BundleOptions,
) {
  const { certificate, certificatePem, key } = await readDevicePair(paths)
  if (certificate === undefined || certificatePem === undefined) {
    const text = `midge pki issue ${quoted(tenant)} ${quoted(device)} makes it`
    throw missing(paths.certificate, text)
  }
  const [serverCa, deviceCa] = [
    await readIfThere(files.serverCa),
    await readIfThere(files.deviceCa),
  ]
  if (serverCa === undefined) throw missing(files.serverCa, 'midge pki init makes it')
  if (deviceCa === undefined) throw missing(files.deviceCa, 'midge pki init makes it')
  return {
    certificate: new X509Certificate(certificate.raw),
    certificatePem,
    key,
    serverCa,
    deviceCa,
  }
}

function missing(path: string, remedy: string): AuthorityError {
  return new AuthorityError('authority_incomplete', `${path} does not exist: ${remedy}`)
}

function publishScript({ tenant, device, site, host, port }: BundleOptions): string {
  const topic = `tenant/${tenant}/device/${device}/telemetry`
  const message = JSON.stringify({ site_id: site, metrics: { temperature_c: 21.5 } })
  return `#!/bin/sh
# Sends one message as ${JSON.stringify(`${tenant}/${device}`)}. The broker: HOST and PORT, or what stands here.
cd "$(dirname "$0")" || exit 1
host=${quoted(host)} port=${port}
exec mosquitto_pub -h "\${HOST:-$host}" -p "\${PORT:-$port}" \\
  --cafile ca.crt --cert device.crt --key device.key -q 1 \\
  -t ${quoted(topic)} \\
  -m ${quoted(message)}
`
}

/** As one word of a POSIX shell, whatever it holds. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/u.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
