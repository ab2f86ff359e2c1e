/**
 * What an authority's directory needs, step by step; each step makes what is missing and says so.
 * Keys are written before their certificates: a key alone is completed at the next start, while a
 * certificate whose key is elsewhere belongs to somebody else's set-up and is left as it is.
 */
import { type KeyObject, X509Certificate } from 'node:crypto'
import { basename } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { PUBLIC, writeFileAtomically } from './atomic-file.ts'
import {
  type AuthorityFiles,
  createKeyFile,
  type KeyType,
  newKey,
  publicKeyOf,
  readIfThere,
  readPair,
} from './authority-files.ts'
import { readState } from './authority-state.ts'
import { readCertificate } from './certificate.ts'
import { type CaIdentity, issueCa, issueLeaf, type LeafUse } from './certificate-profile.ts'
import { CRL_DAYS, readDeviceCrl, writeNextCrl } from './device-crl.ts'
import { AuthorityError } from './errors.ts'
import { CA_KEY_ROUNDS, type Encryption, type PassphraseSource } from './private-key.ts'
import { newSerialNumber, type RandomOctets } from './serial-number.ts'

export interface AuthorityContext {
  readonly files: AuthorityFiles
  readonly clock: Clock
  readonly random: RandomOctets
  readonly keyType: KeyType
  /** O of every subject. */
  readonly organization: string
  /** Names and addresses of the server beside localhost and the loopback addresses. */
  readonly hostNames: readonly string[]
  /** Of the CAs' keys where they are encrypted. */
  readonly passphrase: PassphraseSource | undefined
  /** Keys of CAs that are made now are encrypted. */
  readonly encryptKeys: boolean
}

export const DAY_MS = 86_400_000
export const CA_DAYS = 3650
const SERVER_DAYS = 397
const RENEW_BEFORE_MS = 30 * DAY_MS
/** Certificates begin this long ago: the clocks of devices are rarely exact. */
const BACKDATE_MS = 3_600_000

/** Makes what is missing, renews what nears its end. @returns what was done, in words */
export async function setUpDirectory(context: AuthorityContext): Promise<string[]> {
  const { files } = context
  const changes: string[] = []
  await ensureServer(context, changes)
  await ensureCa(context, DEVICE_CA(files), changes)
  await ensureBundle(files, changes)
  await ensureCrl(context, changes)
  return changes
}

interface CaFiles {
  readonly name: string
  readonly certificate: string
  readonly key: string
}

const DEVICE_CA = (files: AuthorityFiles): CaFiles => ({
  name: 'device CA',
  certificate: files.deviceCa,
  key: files.deviceCaKey,
})

const SERVER_CA = (files: AuthorityFiles): CaFiles => ({
  name: 'server CA',
  certificate: files.serverCa,
  key: files.serverCaKey,
})

async function ensureCa(context: AuthorityContext, ca: CaFiles, changes: string[]): Promise<void> {
  if ((await readPair(ca.certificate, ca.key)).certificatePem !== undefined) return
  const pair = await readPair(ca.certificate, ca.key, { source: context.passphrase })
  const key = pair.key ?? (await newKey(context.keyType, 'ca'))
  if (pair.key === undefined) await createKeyFile(ca.key, key, await encryptionFor(context, ca))
  const now = context.clock.now()
  const certificate = {
    commonName: `${context.organization} ${ca.name}`,
    organization: context.organization,
    serialNumber: newSerialNumber(context.random),
    notBefore: now - BACKDATE_MS,
    notAfter: now + CA_DAYS * DAY_MS,
  }
  const content = issueCa(certificate, { publicKey: publicKeyOf(key), privateKey: key })
  await writeFileAtomically({ path: ca.certificate, content, mode: PUBLIC })
  const encrypted = context.encryptKeys && pair.key === undefined ? ' (encrypted)' : ''
  changes.push(`made the ${ca.name}: ${basename(ca.certificate)}, ${basename(ca.key)}${encrypted}`)
}

const MIN_PASSPHRASE = 8

async function encryptionFor(
  { encryptKeys, passphrase, random }: AuthorityContext,
  ca: CaFiles,
): Promise<Encryption | undefined> {
  if (!encryptKeys) return undefined
  const found = (await passphrase?.()) ?? ''
  if (found.length >= MIN_PASSPHRASE) return { passphrase: found, rounds: CA_KEY_ROUNDS, random }
  const text = `the ${ca.name}: expected a passphrase of at least ${MIN_PASSPHRASE} characters, found ${found.length}`
  throw new AuthorityError('authority_passphrase_refused', text)
}

async function loadCa(ca: CaFiles, source: PassphraseSource | undefined): Promise<CaIdentity> {
  const { certificatePem, key } = await readPair(ca.certificate, ca.key, { source })
  if (certificatePem !== undefined && key !== undefined) return { certificatePem, key }
  const missing = certificatePem === undefined ? ca.certificate : ca.key
  const text = `${missing} does not exist; expected the ${ca.name} with its key`
  throw new AuthorityError('authority_incomplete', text)
}

/**
 * @throws AuthorityError `authority_incomplete` without certificate or key,
 *   `authority_passphrase_refused`
 */
export function loadDeviceCa({
  files,
  passphrase,
}: Pick<AuthorityContext, 'files' | 'passphrase'>): Promise<CaIdentity> {
  return loadCa(DEVICE_CA(files), passphrase)
}

export interface Leaf {
  readonly commonName: string
  readonly publicKey: KeyObject
  readonly days: number
  readonly use: LeafUse
}

/** A certificate below one of our CAs, which it never outlives. @returns PEM */
export function issueBelow(
  { clock, organization, random }: AuthorityContext,
  ca: CaIdentity,
  { commonName, publicKey, days, use }: Leaf,
): string {
  const now = clock.now()
  const limits = readCertificate(new X509Certificate(ca.certificatePem).raw)
  if (limits.notAfter <= now) {
    const text = `the CA expired at ${new Date(limits.notAfter).toISOString()}`
    throw new AuthorityError('authority_state_invalid', text)
  }
  const notBefore = Math.max(now - BACKDATE_MS, limits.notBefore)
  const notAfter = Math.min(now + days * DAY_MS, limits.notAfter)
  const serialNumber = newSerialNumber(random)
  const certificate = { commonName, organization, publicKey, serialNumber, notBefore, notAfter }
  return issueLeaf(certificate, use, ca)
}

async function ensureServer(context: AuthorityContext, changes: string[]): Promise<void> {
  const { files, clock } = context
  const server = await readPair(files.serverCert, files.serverKey)
  const exists = server.certificatePem !== undefined
  if (
    exists &&
    (server.key === undefined || (await readIfThere(files.serverCaKey)) === undefined)
  ) {
    // Issued elsewhere: ours to serve with, not to renew.
    if (server.key !== undefined) return
    const text = `${files.serverCert} exists and ${files.serverKey} does not; expected both or neither`
    throw new AuthorityError('authority_incomplete', text)
  }
  const left = exists ? notAfterOf(server.certificatePem) - clock.now() : 0
  if (exists && left >= RENEW_BEFORE_MS) return
  const days = Math.floor(left / DAY_MS)
  if (exists && (await isOutOfReach(context, SERVER_CA(files)))) {
    changes.push(
      `server.crt has ${days} days left, and ca.key is encrypted: midge pki init renews it`,
    )
    return
  }
  await ensureCa(context, SERVER_CA(files), changes)
  const ca = await loadCa(SERVER_CA(files), context.passphrase)
  const key = server.key ?? (await newKey(context.keyType, 'leaf'))
  if (server.key === undefined) await createKeyFile(files.serverKey, key)
  const names = [...new Set(['localhost', '127.0.0.1', '::1', ...context.hostNames])]
  const leaf = {
    commonName: context.hostNames[0] ?? 'localhost',
    publicKey: publicKeyOf(key),
    days: SERVER_DAYS,
    use: { server: names },
  }
  const content = issueBelow(context, ca, leaf)
  await writeFileAtomically({ path: files.serverCert, content, mode: PUBLIC })
  changes.push(
    exists
      ? `renewed server.crt, which had ${days} days left`
      : `made the server certificate: server.crt, server.key (${names.join(', ')})`,
  )
}

/** An encrypted key with nobody to ask for its passphrase: no reason for a start to fail. */
async function isOutOfReach({ passphrase }: AuthorityContext, ca: CaFiles): Promise<boolean> {
  return passphrase === undefined && (await readPair(ca.certificate, ca.key)).isLocked
}

function notAfterOf(pem: string): number {
  return readCertificate(new X509Certificate(pem).raw).notAfter
}

/** One file for brokers that take only one: the server's CA, then the devices'. */
async function ensureBundle(files: AuthorityFiles, changes: string[]): Promise<void> {
  const parts = [await readIfThere(files.serverCa), await readIfThere(files.deviceCa)]
  const content = parts
    .filter((part) => part !== undefined)
    .map(withFinalNewline)
    .join('')
  if ((await readIfThere(files.combinedCa)) === content) return
  await writeFileAtomically({ path: files.combinedCa, content, mode: PUBLIC })
  changes.push('wrote combined-ca.crt')
}

function withFinalNewline(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`
}

/** A list that another program writes (its crlNumber is not ours) is left to that program. */
async function ensureCrl(context: AuthorityContext, changes: string[]): Promise<void> {
  const { files, clock } = context
  const pem = await readIfThere(files.deviceCrl)
  if (pem !== undefined) {
    const { crlNumber } = await readState(files.state)
    const { certificatePem } = await readPair(files.deviceCa, files.deviceCaKey)
    if (crlNumber === 0n || certificatePem === undefined) return
    const onDisk = readDeviceCrl(pem, files.deviceCrl, new X509Certificate(certificatePem))
    const left = (onDisk.nextUpdate ?? Infinity) - clock.now()
    if (onDisk.crlNumber !== crlNumber || left >= (CRL_DAYS * DAY_MS) / 2) return
    if (await isOutOfReach(context, DEVICE_CA(files))) {
      const days = Math.floor(left / DAY_MS)
      changes.push(
        `device-crl.pem has ${days} days left, and device-ca.key is encrypted: midge pki crl renews it`,
      )
      return
    }
  }
  const crlNumber = await writeNextCrl(context, await loadDeviceCa(context), (revoked) => revoked)
  changes.push(`wrote device-crl.pem, crlNumber ${crlNumber}`)
}
