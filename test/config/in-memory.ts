import type { ConfigFiles, Environment } from '../../config/index.ts'
import { ConfigErrors, loadConfig } from '../../config/index.ts'
import type { LoadedConfig, LoadOptions } from '../../config/index.ts'

/** Files by path; a folder is every path below it. A path that is missing throws ENOENT. */
export function inMemory(contents: Readonly<Record<string, string | Uint8Array>>): ConfigFiles {
  const files = new Map(Object.entries(contents))
  const missing = (path: string) => Object.assign(new Error(path), { code: 'ENOENT' })
  const below = (folder: string) =>
    [...files.keys()].filter((path) => path.startsWith(`${folder}/`))
  return {
    read(path) {
      const content = files.get(path)
      if (content !== undefined) return Buffer.from(content)
      if (below(path).length > 0) throw Object.assign(new Error(path), { code: 'EISDIR' })
      throw missing(path)
    },
    list(path) {
      const folder = path.replace(/\/$/u, '')
      const paths = below(folder)
      if (paths.length === 0) throw missing(path)
      return [...new Set(paths.map((path) => path.slice(folder.length + 1).split('/')[0] ?? ''))]
    },
  }
}

export const FILE = 'mosquitto.conf'

export type Load = Partial<Omit<LoadOptions, 'file' | 'files'>> & {
  readonly environment?: Environment
  readonly others?: Readonly<Record<string, string>>
}

/** Loads this text as mosquitto.conf. */
export function load(text: string | Uint8Array, options: Load = {}): LoadedConfig {
  const { others = {}, ...rest } = options
  const files = inMemory({ [FILE]: text, ...others })
  return loadConfig({ ports: [], environment: {}, ...rest, file: FILE, files })
}

/** Every message of the refusal, without the name of the main file; empty when it loads. */
export function refusals(text: string | Uint8Array, options: Load = {}): readonly string[] {
  try {
    load(text, options)
    return []
  } catch (err) {
    if (!(err instanceof ConfigErrors)) throw err
    return err.errors.map(({ message }) => message.replace(`${FILE}:`, ''))
  }
}

export function warnings(text: string, options: Load = {}): readonly string[] {
  return load(text, options).warnings.map(({ place, problem }) =>
    place.line === undefined ? problem : `${place.line}: ${problem}`,
  )
}
