import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ConfigErrors, diskFiles, errorLines, loadConfig } from '../../config/index.ts'

function linesOf(file: string, environment = {}): readonly string[] {
  try {
    loadConfig({ file, ports: [], environment, files: diskFiles })
  } catch (err) {
    if (err instanceof ConfigErrors) return errorLines(err)
    throw err
  }
  return []
}

test('each error is two lines on standard error: the reason and the place', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'midge-config-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'a: b.conf')
  writeFileSync(file, 'listener 1883\nfoo\ninclude_dir /does/not/exist\n')
  assert.deepEqual(linesOf(file, { MIDGE_INGEST: 'x' }), [
    "Error: Unknown configuration variable 'foo'.",
    `Error found at ${file}:2.`,
    "Error: Unable to open include_dir '/does/not/exist'.",
    `Error found at ${file}:3.`,
    'Error: MIDGE_INGEST is "x", expected auto or on or off.',
    'Error found at environment.',
  ])
})

test('files are read from disk, folders are not, and nothing is read without end', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'midge-config-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'large.conf')
  writeFileSync(file, '#'.repeat(200_000))
  assert.equal(diskFiles.read(file).length, 200_000)
  assert.deepEqual(diskFiles.list(folder), ['large.conf'])
  assert.deepEqual(linesOf(folder), [
    `Error: Config file '${folder}' is a directory.`,
    `Error found at ${folder}.`,
  ])
  assert.throws(() => diskFiles.read('/dev/zero'), /is larger than 8388608 bytes/u)
})
