/**
 * One notice when the content of any file of a set has changed, and only once it has stopped
 * changing: a key and its certificate are two files, and a writer may be half-way through either.
 *
 * Directories are watched, not files, so that a rename over the file, an edit in place and the swap
 * of a symbolic link (Kubernetes' `..data`) are all seen. Where the file system reports nothing
 * (network mounts, some containers, a directory that does not exist yet) a slow poll finds it.
 */
import { createHash } from 'node:crypto'
import { createReadStream, type FSWatcher, watch } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import type { Clock } from './clock.ts'
import { codeOf } from './errors.ts'

export interface FileWatchOptions {
  /** May not exist yet, nor their directories. */
  readonly files: readonly string[]
  readonly clock: Clock
  /** Called with the files whose bytes are not those of the last notice; appearing and vanishing count. */
  readonly onChange: (changed: readonly string[]) => void
  /** Milliseconds without a change before a notice. Default 100. */
  readonly settleMs?: number
  /** Milliseconds after which a notice comes although the files still change. Default 2000. */
  readonly patienceMs?: number
  /** Milliseconds between polls. Default 2000. */
  readonly pollMs?: number
}

export interface FileWatch {
  /** No notice comes after this. */
  close(): void
}

/**
 * Settles once the present content is known: what changes from then on is noticed. Read the files
 * after that, not before.
 */
export async function watchFiles(options: FileWatchOptions): Promise<FileWatch> {
  const following = new Following(options)
  await following.start()
  return following
}

interface Known {
  /** What `stat` says: cheap to compare, and moves with every write. */
  readonly stamp: string
  readonly hash: string
}

interface DirectoryWatch {
  readonly inode: string
  readonly watcher: FSWatcher
  /** Entries of the directory whose events matter. */
  names: ReadonlySet<string>
}

class Following implements FileWatch {
  readonly #files: readonly string[]
  readonly #options: Required<FileWatchOptions>
  readonly #known = new Map<string, Known>()
  readonly #watchers = new Map<string, DirectoryWatch>()
  readonly #closed = new AbortController()
  #stopPolling: () => void = () => undefined
  #scanning = false
  #again = false

  constructor(options: FileWatchOptions) {
    this.#files = [...new Set(options.files.map((file) => resolve(file)))]
    this.#options = { settleMs: 100, patienceMs: 2000, pollMs: 2000, ...options }
  }

  async start(): Promise<void> {
    await this.#watchDirectories()
    for (const file of this.#files) {
      this.#known.set(file, { stamp: await stampOf(file), hash: await hashOf(file) })
    }
    this.#stopPolling = this.#options.clock.every(this.#options.pollMs, () => this.#look())
  }

  close(): void {
    this.#closed.abort()
    this.#stopPolling()
    for (const { watcher } of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  /** Looks at the files now, or once more after the present look. */
  #look(): void {
    this.#again = true
    if (!this.#scanning) void this.#scan()
  }

  async #scan(): Promise<void> {
    this.#scanning = true
    while (this.#again && !this.#closed.signal.aborted) {
      this.#again = false
      const moved = await this.#settled()
      const changed: string[] = []
      for (const [file, stamp] of moved) {
        const hash = await hashOf(file)
        if (hash !== this.#known.get(file)?.hash) changed.push(file)
        // The stamp is older than the hash: a write in between shows as a move at the next look.
        this.#known.set(file, { stamp, hash })
      }
      await this.#watchDirectories()
      if (changed.length > 0 && !this.#closed.signal.aborted) this.#options.onChange(changed)
    }
    this.#scanning = false
  }

  /** The files whose stamp has moved, after it stood still. */
  async #settled(): Promise<Map<string, string>> {
    const { clock, settleMs, patienceMs } = this.#options
    const deadline = clock.monotonic() + patienceMs
    let moved = await this.#moved()
    while (moved.size > 0 && clock.monotonic() < deadline && !this.#closed.signal.aborted) {
      await clock.sleep(settleMs, this.#closed.signal)
      const later = await this.#moved()
      const still = [...later].every(([file, stamp]) => moved.get(file) === stamp)
      const same = still && later.size === moved.size
      moved = later
      if (same) break
    }
    return moved
  }

  async #moved(): Promise<Map<string, string>> {
    const moved = new Map<string, string>()
    for (const file of this.#files) {
      const stamp = await stampOf(file)
      if (stamp !== this.#known.get(file)?.stamp) moved.set(file, stamp)
    }
    return moved
  }

  /** Follows the directories as they are now: one may have appeared, or be another of that name. */
  async #watchDirectories(): Promise<void> {
    const wanted = new Map<string, Set<string>>()
    for (const file of this.#files) {
      for (const path of new Set([file, await targetOf(file)])) {
        const names = wanted.get(dirname(path)) ?? new Set()
        wanted.set(dirname(path), names.add(basename(path)))
      }
    }
    for (const directory of this.#watchers.keys()) if (!wanted.has(directory)) this.#drop(directory)
    for (const [directory, names] of wanted) {
      const inode = await inodeOf(directory)
      const held = this.#watchers.get(directory)
      if (held !== undefined && held.inode === inode) {
        held.names = names
        continue
      }
      this.#drop(directory)
      if (inode === undefined || this.#closed.signal.aborted) continue
      this.#attach(directory, inode, names)
    }
  }

  #attach(directory: string, inode: string, names: ReadonlySet<string>): void {
    try {
      const watcher = watch(directory, { persistent: false }, (_event, name) => {
        const matters = this.#watchers.get(directory)?.names
        if (name === null || matters?.has(name) === true || name.startsWith('..')) this.#look()
      })
      watcher.on('error', () => this.#drop(directory))
      this.#watchers.set(directory, { inode, watcher, names })
      // What happened before the watcher stood is found by looking.
      this.#again = true
    } catch {
      // No watch to be had (inotify's limit, an odd file system): the poll remains.
    }
  }

  #drop(directory: string): void {
    this.#watchers.get(directory)?.watcher.close()
    this.#watchers.delete(directory)
  }
}

const ABSENT = 'absent'

async function stampOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true })
    return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`
  } catch (err) {
    return codeOf(err) ?? ABSENT
  }
}

async function hashOf(file: string): Promise<string> {
  try {
    // A device or a pipe would never end.
    if (!(await stat(file)).isFile()) return 'not a file'
    const hash = createHash('sha256')
    for await (const chunk of createReadStream(file)) hash.update(chunk)
    return hash.digest('hex')
  } catch (err) {
    return codeOf(err) ?? ABSENT
  }
}

async function targetOf(file: string): Promise<string> {
  try {
    return await realpath(file)
  } catch {
    return file
  }
}

async function inodeOf(directory: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await stat(directory, { bigint: true })
    return `${dev}:${ino}`
  } catch {
    return undefined
  }
}
