/**
 * Pinned certificates: those of a device that no CA of ours issued, laid down one by one. The
 * directory is the record: `TENANT/DEVICE.crt`, or `TENANT/DEVICE/ANY.crt` for several. A pin is the
 * SHA-256 of the whole certificate, and stands for the device it is filed under, whatever the
 * certificate calls itself.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, messageOf } from '../core/errors.ts'
import { isId } from '../core/names.ts'
import { type PinRejection, PinRejected } from './errors.ts'
import { readCertificates } from './trust.ts'

export type Pinned =
  | { readonly kind: 'device'; readonly commonName: string }
  /** Filed under several devices, so it is nobody's. */
  | { readonly kind: 'ambiguous'; readonly commonNames: readonly string[] }

/** Answers from memory. */
export interface Pins {
  /** @param fingerprint SHA-256 of the DER, lower-case hex; undefined: not pinned */
  pinned(fingerprint: string): Pinned | undefined
}

export interface PinProblem {
  readonly code: PinRejection
  readonly message: string
}

/** Files looked at. */
export const MAX_PINS = 10_000
const MAX_BYTES = 64 * 1024
const SUFFIX = '.crt'

/** A file that may be a pin, and the state it was seen in. */
export interface PinFile {
  readonly path: string
  /** `tenant/device`. */
  readonly commonName: string
  /** Moves with every write. */
  readonly stamp: string
}

export interface PinListing {
  readonly files: readonly PinFile[]
  readonly problems: readonly PinProblem[]
}

/** Says nothing about what the files hold: the machine is short of something, or the mount is away. */
const PASSING: ReadonlySet<string | undefined> = new Set([
  'EMFILE',
  'ENFILE',
  'EIO',
  'EAGAIN',
  'ENOMEM',
  'ESTALE',
])

/**
 * The files of the directory, in the order of their names. Hidden entries are passed over.
 *
 * @throws when nothing can be said now; what was known before then still counts
 */
export async function listPins(directory: string): Promise<PinListing> {
  const files: PinFile[] = []
  const problems: PinProblem[] = []
  const add = async (path: string, commonName: string): Promise<void> => {
    if (files.length < MAX_PINS) files.push({ path, commonName, stamp: await stampOf(path) })
    else if (files.length === MAX_PINS && !problems.some(({ code }) => code === 'pin_too_many')) {
      const message = `${directory}: more than ${MAX_PINS} files, those from ${path} on do not count`
      problems.push({ code: 'pin_too_many', message })
    }
  }
  const named = (path: string, id: string): boolean => {
    if (isId(id)) return true
    const message = `${path}: ${JSON.stringify(id)} cannot be a tenant or a device`
    problems.push({ code: 'pin_name_invalid', message })
    return false
  }
  for (const tenant of await entriesOf(directory, problems)) {
    const below = join(directory, tenant)
    if (!(await isDirectory(below))) {
      const message = `${below}: expected the directory of a tenant`
      problems.push({ code: 'pin_name_invalid', message })
      continue
    }
    if (!named(below, tenant)) continue
    for (const entry of await entriesOf(below, problems)) {
      const path = join(below, entry)
      if (await isDirectory(path)) {
        if (!named(path, entry)) continue
        for (const file of await entriesOf(path, problems)) {
          if (suffixed(join(path, file), problems)) {
            await add(join(path, file), `${tenant}/${entry}`)
          }
        }
      } else if (suffixed(path, problems)) {
        const device = entry.slice(0, -SUFFIX.length)
        if (named(path, device)) await add(path, `${tenant}/${device}`)
      }
    }
  }
  return { files, problems }
}

function suffixed(path: string, problems: PinProblem[]): boolean {
  if (path.endsWith(SUFFIX)) return true
  const message = `${path}: expected a file that ends in ${SUFFIX}`
  problems.push({ code: 'pin_name_invalid', message })
  return false
}

async function entriesOf(directory: string, problems: PinProblem[]): Promise<string[]> {
  try {
    const names = await readdir(directory)
    return names.filter((name) => !name.startsWith('.')).sort()
  } catch (err) {
    if (PASSING.has(codeOf(err))) throw err
    problems.push({ code: 'pin_unreadable', message: `${directory}: ${messageOf(err)}` })
    return []
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (err) {
    if (PASSING.has(codeOf(err))) throw err
    return false
  }
}

async function stampOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
    return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`
  } catch (err) {
    if (PASSING.has(codeOf(err))) throw err
    return codeOf(err) ?? 'absent'
  }
}

/**
 * SHA-256 of the one certificate in the file, lower-case hex.
 *
 * @throws PinRejected; whatever else it throws says nothing about the file
 */
export async function readPin(path: string): Promise<string> {
  const certificates = readCertificatesOf(path, await textOf(path))
  const [certificate, ...others] = certificates
  if (certificate === undefined || others.length > 0) {
    const text = `${path}: expected one PEM certificate, found ${certificates.length}`
    throw new PinRejected('pin_malformed', text)
  }
  return createHash('sha256').update(certificate.raw).digest('hex')
}

function readCertificatesOf(path: string, pem: string) {
  try {
    return readCertificates(pem, path)
  } catch (err) {
    throw new PinRejected('pin_malformed', messageOf(err), { cause: err })
  }
}

async function textOf(path: string): Promise<string> {
  try {
    const entry = await stat(path)
    if (!entry.isFile()) throw new PinRejected('pin_unreadable', `${path} is not a file`)
    if (entry.size > MAX_BYTES) {
      const text = `${path} has ${entry.size} bytes, expected at most ${MAX_BYTES}`
      throw new PinRejected('pin_malformed', text)
    }
    return await readFile(path, 'latin1')
  } catch (err) {
    if (err instanceof PinRejected || PASSING.has(codeOf(err))) throw err
    throw new PinRejected('pin_unreadable', messageOf(err), { cause: err })
  }
}
