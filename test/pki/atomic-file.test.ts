import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createFileAtomically, PUBLIC, SECRET, writeFileAtomically } from '../../pki/atomic-file.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const modeOf = (path: string): number => statSync(path).mode & 0o777

test('a file is replaced by another, with the mode asked for whatever the umask', async (t) => {
  const directory = await scratchDirectory(t)
  const path = join(directory, 'a', 'b', 'device-crl.pem')
  const umask = process.umask(0o077)
  t.after(() => process.umask(umask))
  await writeFileAtomically({ path, content: 'first', mode: PUBLIC })
  const { ino } = statSync(path)
  await writeFileAtomically({ path, content: 'second', mode: PUBLIC })
  assert.equal(readFileSync(path, 'latin1'), 'second')
  assert.notEqual(statSync(path).ino, ino)
  assert.equal(modeOf(path), PUBLIC)
  assert.deepEqual(readdirSync(join(directory, 'a', 'b')), ['device-crl.pem'])
})

test('a secret is readable by its owner alone', async (t) => {
  const path = join(await scratchDirectory(t), 'key')
  const umask = process.umask(0)
  t.after(() => process.umask(umask))
  assert.equal(await createFileAtomically({ path, content: 'secret', mode: SECRET }), true)
  assert.equal(modeOf(path), SECRET)
})

test('what exists is not created again', async (t) => {
  const directory = await scratchDirectory(t)
  const path = join(directory, 'key')
  writeFileSync(path, 'mine')
  assert.equal(await createFileAtomically({ path, content: 'yours', mode: SECRET }), false)
  assert.equal(readFileSync(path, 'latin1'), 'mine')
  assert.deepEqual(readdirSync(directory), ['key'])
})

test('of many that create one file, one does', async (t) => {
  const path = join(await scratchDirectory(t), 'key')
  const made = await Promise.all(
    Array.from({ length: 8 }, (_, n) =>
      createFileAtomically({ path, content: `${n}`, mode: SECRET }),
    ),
  )
  assert.equal(made.filter(Boolean).length, 1)
  assert.equal(readFileSync(path, 'latin1'), `${made.indexOf(true)}`)
})

test('a write that fails leaves nothing behind', async (t) => {
  const directory = await scratchDirectory(t)
  const path = join(directory, 'taken')
  await writeFileAtomically({ path: join(path, 'inside'), content: '', mode: PUBLIC })
  await assert.rejects(writeFileAtomically({ path, content: 'text', mode: PUBLIC }), {
    code: 'EISDIR',
  })
  assert.deepEqual(readdirSync(directory), ['taken'])
})
