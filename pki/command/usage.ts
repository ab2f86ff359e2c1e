/** The words of `midge pki`: its commands, and the options each of them takes. */
import { REASONS } from '../crl-generator.ts'

export const PKI_USAGE = `Usage: midge pki COMMAND [--directory DIR]

  init                       make what is missing: CAs, server certificate, empty CRL
      --rsa                  RSA keys (4096 bits for CAs) instead of P-256
      --encrypt-keys         encrypt the keys of CAs that are made now
      --host NAME            a further name or address of the server (may be repeated)
  issue TENANT DEVICE        a certificate with the CN TENANT/DEVICE
      --days N               its validity (365)
      --out DIR              where certificate and key are written (DIRECTORY/devices)
      --csr FILE             sign this request; the device keeps its key
      --rsa                  an RSA key instead of P-256
      --site SITE            the site its messages name, where a database is told of it
  issue TENANT PREFIX --count N
                             for PREFIX-1 to PREFIX-N; again: those that are missing
  issue --list FILE          for each line tenant,device[,site]; again: those that are missing
  register TENANT DEVICE     tell the database of a device that has its certificate
      --site SITE            the site its messages name (the tenant's name)
  renew WHAT                 the next certificate of TENANT/DEVICE, or for a certificate file
      --days N               its validity (that of the one before)
      --new-key              with a new key; --rsa: an RSA key
      --csr FILE             with the key of this request
      --if-due               only in the last third of its validity
      --revoke-old           revoke the one before at once
  revoke WHAT                a serial number (hex), a certificate file, or TENANT/DEVICE
      --reason REASON        ${Object.keys(REASONS).join(', ')}
  crl                        write the CRL anew, valid 30 days
  bundle TENANT DEVICE       a directory for the device: certificate, key, CA, publish.sh
      --p12                  one PKCS #12 file instead
      --passphrase-file FILE its passphrase (else MIDGE_P12_PASSPHRASE; else one is made)
      --out DIR              where it is written (DIRECTORY/bundles)
      --host NAME --port N --site SITE
                             what publish.sh is to say
  show FILE                  what a certificate, request or CRL says, and what Midge makes of it

  issue, register, renew and revoke write device_registry and device_certificates too, where
  DATABASE_URL or PG_HOST is set, or a Midge runs on the data directory (MIDGE_DATA).
  Encrypted keys of CAs: --ca-passphrase-file FILE, MIDGE_CA_PASSPHRASE_FILE,
  MIDGE_CA_PASSPHRASE, or the terminal is asked.
`

/** A command that was not understood: exit code 2. */
export class UsageError extends Error {}

export interface CommandForm {
  readonly arguments: number
  readonly options: readonly string[]
}

const ISSUE = ['days', 'out', 'rsa', 'site']

export const COMMANDS: ReadonlyMap<string, CommandForm> = new Map([
  ['init', { arguments: 0, options: ['rsa', 'host', 'encrypt-keys'] }],
  ['issue', { arguments: 2, options: [...ISSUE, 'csr', 'count', 'list'] }],
  ['register', { arguments: 2, options: ['site'] }],
  ['renew', { arguments: 1, options: ['days', 'new-key', 'rsa', 'csr', 'if-due', 'revoke-old'] }],
  ['revoke', { arguments: 1, options: ['reason'] }],
  ['crl', { arguments: 0, options: [] }],
  [
    'bundle',
    {
      arguments: 2,
      options: ['p12', 'passphrase-file', 'out', 'host', 'port', 'site'],
    },
  ],
  ['show', { arguments: 1, options: [] }],
])

/** Commands every one of which takes these. */
export const COMMON_OPTIONS: readonly string[] = ['directory', 'ca-passphrase-file']

export const OPTIONS = {
  directory: { type: 'string' },
  'ca-passphrase-file': { type: 'string' },
  'passphrase-file': { type: 'string' },
  'encrypt-keys': { type: 'boolean' },
  'new-key': { type: 'boolean' },
  'if-due': { type: 'boolean' },
  'revoke-old': { type: 'boolean' },
  rsa: { type: 'boolean' },
  host: { type: 'string', multiple: true },
  port: { type: 'string' },
  days: { type: 'string' },
  out: { type: 'string' },
  csr: { type: 'string' },
  site: { type: 'string' },
  list: { type: 'string' },
  count: { type: 'string' },
  p12: { type: 'boolean' },
  reason: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const
