/** docs/ingest.md names every reason for which a message is refused, in the order of asking. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { packageRoot } from '../../core/package-root.ts'
import { REASONS } from '../../ingest/reasons.ts'

test('docs/ingest.md has the reasons as the code has them, in the order of asking', () => {
  const text = readFileSync(join(packageRoot(), 'docs', 'ingest.md'), 'utf8')
  const [, table = ''] = text.split('| reason | what is wrong |\n')
  const rows = table.slice(0, table.indexOf('\n\n'))
  const cells = [...rows.matchAll(/^\| `([^`]+)` \|/gmu)].map(([, cell]) => cell)
  assert.deepEqual(cells, [...REASONS, 'ROW_REJECTED:<SQLSTATE>', 'INGEST_EXCEPTION:<class>'])
})
