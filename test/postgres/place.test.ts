import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { choosePlace, fitsSocket, hostOf } from '../../postgres/place.ts'

test('a socket path of 107 bytes fits on Linux, of 103 on macOS, none on Windows', () => {
  const name = '/.s.PGSQL.5432'.length
  for (const [bytes, linux, darwin] of [
    [108, false, false],
    [107, true, false],
    [104, true, false],
    [103, true, true],
  ] as const) {
    const directory = `/${'d'.repeat(bytes - name - 1)}`
    assert.equal(fitsSocket(directory, 'linux'), linux, `${bytes} on linux`)
    assert.equal(fitsSocket(directory, 'darwin'), darwin, `${bytes} on darwin`)
  }
  assert.equal(fitsSocket(`/${'é'.repeat(60)}`, 'linux'), false, 'bytes, not characters')
  assert.equal(fitsSocket('/d', 'win32'), false)
})

test('a folder that holds no sockets gets a loopback port', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'midge-'))
  t.after(() => rm(directory, { recursive: true }))
  assert.deepEqual(await choosePlace(directory), { kind: 'socket', directory, port: 5432 })
  assert.deepEqual(await readdir(directory), [], 'the trial leaves nothing')

  const place = await choosePlace(join(directory, 'missing'))
  assert.equal(place.kind, 'loopback')
  assert.ok(place.port > 0)
  assert.equal(hostOf(place), '127.0.0.1')
})
