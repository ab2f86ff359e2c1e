/** The reference tables of docs/ say what the code says. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createMetrics } from '../../core/metrics.ts'
import { packageRoot } from '../../core/package-root.ts'

const FOLDERS = ['admin', 'app', 'broker', 'config', 'core', 'ingest', 'pki', 'postgres', 'start']

/** First cells of the tables of a page, without their back-quotes. */
function firstCells(page: string): string[] {
  const text = readFileSync(join(packageRoot(), 'docs', page), 'utf8')
  return [...text.matchAll(/^\| `([^`]+)` \|/gmu)].map(([, cell]) => cell ?? '').sort()
}

function* sources(ending: string): Generator<string> {
  for (const folder of FOLDERS) {
    const root = join(packageRoot(), folder)
    for (const entry of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
      if (entry.endsWith(ending)) yield readFileSync(join(root, entry), 'utf8')
    }
  }
}

test('docs/metrics.md lists every metric', async () => {
  const { registry } = createMetrics()
  const names = (await registry.getMetricsAsJSON()).map(({ name }) => name).sort()
  assert.deepEqual(firstCells('metrics.md'), names)
})

test('docs/errors.md lists every code of an OperationalError', () => {
  const codes = new Set<string>()
  for (const text of sources('.ts')) {
    for (const [, code] of text.matchAll(
      /(?:OperationalError\(|super\(|super\(message,|code(?:: string)? =)\s*'([A-Z][A-Z_]+)'/gu,
    )) {
      codes.add(code ?? '')
    }
  }
  // Classes with a set of codes name them in a union of their own.
  for (const text of sources('errors.ts')) {
    for (const [, union] of text.matchAll(
      /export type \w+ =((?:\s*(?:\/\*\*[^\n]*\*\/|\|\s*'\w+'))+)/gu,
    )) {
      for (const [, code] of (union ?? '').matchAll(/\|\s*'(\w+)'/gu)) codes.add(code ?? '')
    }
  }
  assert.deepEqual(firstCells('errors.md'), [...codes].sort())
})
