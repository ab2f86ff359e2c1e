/** What lies below compose/, for its tests. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from '../../core/package-root.ts'

export function composePath(...names: readonly string[]): string {
  return join(packageRoot(), 'compose', ...names)
}

export function composeText(...names: readonly string[]): string {
  return readFileSync(composePath(...names), 'utf8')
}
