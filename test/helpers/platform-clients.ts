/** Debian's clients as a test needs them, and the devices they speak for. */
import { execFile } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import type { Query } from './postgres.ts'

/** After that a client that does not end is an error. */
const CLIENT_MS = 20_000

/** At site north, ACTIVE. */
export async function register(
  query: Query,
  device: string,
  { certificate, token }: { readonly certificate?: string; readonly token?: string } = {},
): Promise<void> {
  const hash = token === undefined ? null : createHash('sha256').update(token).digest('hex')
  await query(
    `INSERT INTO device_registry (tenant_id, device_id, site_id, provision_token_hash)
     VALUES ('acme', $1, 'north', $2)`,
    [device, hash],
  )
  if (certificate === undefined) return
  const { fingerprint256, serialNumber, validFrom, validTo } = new X509Certificate(certificate)
  await query(
    `INSERT INTO device_certificates (tenant_id, device_id, cert_pem, fingerprint_sha256,
       common_name, issuer, serial_number, not_before, not_after)
     VALUES ('acme', $1, $2, $3, $4, 'Device CA', $5, $6, $7)`,
    [
      device,
      certificate,
      fingerprint256.replaceAll(':', '').toLowerCase(),
      `acme/${device}`,
      serialNumber.toLowerCase().replace(/^0+/u, ''),
      validFrom,
      validTo,
    ],
  )
}

/** Runs a program to its end. */
export function exitOf(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const options = { timeout: CLIENT_MS, env: { ...process.env, ...env } }
  return new Promise<{ code: number; output: string }>((resolve, reject) => {
    execFile(program, [...args], options, (err, stdout, stderr) => {
      if (err?.killed === true) reject(new Error(`${program} did not end: ${stdout}${stderr}`))
      else resolve({ code: Number(err?.code ?? 0), output: stdout + stderr })
    })
  })
}

/** Lines as they come; `until` takes all before this one, and it. */
export function linesOf(stream: NodeJS.ReadableStream) {
  let text = ''
  let changed: () => void = () => undefined
  stream.on('data', (chunk: Buffer) => {
    text += String(chunk)
    changed()
  })
  return {
    async until(line: string): Promise<string[]> {
      while (!text.includes(`${line}\n`)) await new Promise<void>((resolve) => (changed = resolve))
      const at = text.indexOf(`${line}\n`)
      const before = text.slice(0, at).split('\n').slice(0, -1)
      text = text.slice(at + line.length + 1)
      return before
    },
  }
}
