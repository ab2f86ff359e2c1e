import { closeSync, openSync, readdirSync, readSync } from 'node:fs'

/** Where configuration text comes from; the tests bring one without a disk. */
export interface ConfigFiles {
  /** The bytes of a file. Throws what Node throws (`code` ENOENT, EISDIR, EACCES …). */
  read(path: string): Uint8Array
  /** The names in a folder, without the folder, in any order. Throws like `read`. */
  list(folder: string): readonly string[]
}

/** Far above any real file; a device or an endless pipe must not fill the memory. */
export const MAX_FILE_BYTES = 8 * 1024 * 1024

/** Reads in pieces, not by size: a configuration may be a pipe (`-c <(…)`), which has none. */
function readWhole(path: string): Uint8Array {
  const file = openSync(path, 'r')
  try {
    const pieces: Buffer[] = []
    let bytes = 0
    for (;;) {
      const piece = Buffer.alloc(65_536)
      const got = readSync(file, piece)
      if (got === 0) return Buffer.concat(pieces, bytes)
      pieces.push(piece.subarray(0, got))
      bytes += got
      if (bytes > MAX_FILE_BYTES) {
        throw new RangeError(`${path} is larger than ${MAX_FILE_BYTES} bytes`)
      }
    }
  } finally {
    closeSync(file)
  }
}

export const diskFiles: ConfigFiles = {
  read: readWhole,
  list: (folder) => readdirSync(folder),
}
