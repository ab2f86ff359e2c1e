/** What every result file says: the machine, the versions, the tables. */
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { cpus, loadavg, release, totalmem, type as systemName } from 'node:os'
import { join } from 'node:path'
import { packageRoot } from '../core/package-root.ts'
import { runProgram } from './processes.ts'

/** What runs when the product runs, as it was compiled beside this script. */
const PRODUCT = 'main.js app start core config broker ingest pki postgres admin'.split(' ')
const COMPILED = join(import.meta.dirname, '..')

/** Lines of a list: CPU, cores, memory, kernel, load. */
export function machineLines(): string[] {
  const all = cpus()
  return [
    `CPU: ${all[0]?.model.trim() ?? 'unknown'}, ${all.length} cores`,
    `memory: ${(totalmem() / 2 ** 30).toFixed(1)} GiB`,
    `kernel: ${systemName()} ${release()}`,
    `load averages when the run began: ${loadText()}`,
  ]
}

/** Averages of 1, 5 and 15 minutes. */
export function loadText(): string {
  return loadavg()
    .map((value) => value.toFixed(1))
    .join(', ')
}

/**
 * Lines of a list: Node.js, OpenSSL, what the caller adds, the state of the product. To be asked for
 * before the run: people commit and compile meanwhile.
 */
export async function versionLines(more: readonly string[] = []): Promise<string[]> {
  return [
    `Node.js ${process.versions.node} with OpenSSL ${process.versions.openssl}`,
    ...more,
    `Midge: ${await commitText()}; SHA-256 of the compiled files that ran: ${await digestOfProduct()}`,
  ]
}

async function commitText(): Promise<string> {
  const git = async (...args: string[]) =>
    (await runProgram('git', ['-C', packageRoot(), ...args])).stdout.trim()
  try {
    const changed = (await git('status', '--porcelain')) === '' ? '' : ' with uncommitted changes'
    return `commit ${await git('rev-parse', '--short', 'HEAD')}${changed}`
  } catch {
    return 'no commit yet'
  }
}

/** Tells two states apart that no commit names. */
async function digestOfProduct(): Promise<string> {
  const hash = createHash('sha256')
  for (const name of PRODUCT) {
    const path = join(COMPILED, name)
    const files = name.endsWith('.js') ? [''] : await readdir(path, { recursive: true })
    for (const file of files.sort()) {
      if (file !== '' && !file.endsWith('.js')) continue
      hash.update(`${name}/${file}\0`).update(await readFile(join(path, file)))
    }
  }
  return hash.digest('hex').slice(0, 12)
}

/** A Markdown table. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const rule = head.map((_, i) => (i === 0 ? '---' : '---:'))
  return [line(head), line(rule), ...rows.map(line)].join('\n')
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2
}

/** `12 300 (11 900 to 12 700)` */
export function medianAndRange(values: readonly number[], digits = 0): string {
  const [least, most] = [Math.min(...values), Math.max(...values)]
  return `${number(median(values), digits)} (${number(least, digits)} to ${number(most, digits)})`
}

/** Thousands apart, as `12 300`. */
export function number(value: number, digits = 0): string {
  const [whole = '', fraction] = value.toFixed(digits).split('.')
  const spaced = whole.replace(/\B(?=(?:\d{3})+$)/gu, ' ')
  return fraction === undefined ? spaced : `${spaced}.${fraction}`
}

/** Writes `bench/results/<name>-<date>.md`. @returns its path */
export async function writeResult(name: string, text: string): Promise<string> {
  const directory = join(packageRoot(), 'bench', 'results')
  await mkdir(directory, { recursive: true })
  const file = join(directory, `${name}-${new Date().toISOString().slice(0, 10)}.md`)
  await writeFile(file, text)
  return file
}
