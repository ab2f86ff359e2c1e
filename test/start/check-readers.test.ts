import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadConfig } from '../../config/index.ts'
import { diskFiles } from '../../config/files.ts'
import { unreadableLater } from '../../start/check-readers.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const STRANGER = { name: undefined, uid: 4242, gid: 4242 }
const OURSELVES = {
  name: undefined,
  uid: process.getuid?.() ?? 0,
  gid: process.getgid?.() ?? 0,
}

test('files the later user could not read again are named with mode and owner', async (t) => {
  const folder = await scratchDirectory(t)
  const closed = join(folder, 'closed')
  mkdirSync(closed, { mode: 0o700 })
  for (const [name, mode] of [
    ['m.conf', 0o644],
    ['acl', 0o640],
    ['closed/passwd', 0o644],
  ] as const) {
    writeFileSync(join(folder, name), '')
    chmodSync(join(folder, name), mode)
  }
  const file = join(folder, 'm.conf')
  symlinkSync(join(folder, 'acl'), join(folder, 'link'))
  writeFileSync(
    file,
    `acl_file ${folder}/link\npassword_file ${closed}/passwd\nlistener 1883\npsk_hint x\npsk_file ${folder}/none\n`,
  )
  const { config } = loadConfig({ file, ports: [], environment: {}, files: diskFiles })
  const texts = (target: typeof STRANGER) =>
    unreadableLater(config, file, target).map(({ text }) => text.replaceAll(folder, 'DIR'))
  const owner = `owner ${OURSELVES.uid}:${OURSELVES.gid}`
  assert.deepEqual(texts(STRANGER), [
    `DIR/link: once the broker runs as uid 4242 it cannot be read again because of DIR/acl (mode 0640, ${owner}): a rotated or changed file would be refused`,
    `DIR/closed/passwd: once the broker runs as uid 4242 it cannot be read again because of DIR/closed (mode 0700, ${owner}): a rotated or changed file would be refused`,
  ])
  assert.deepEqual(texts({ ...STRANGER, gid: OURSELVES.gid }).length, 1)
  assert.deepEqual(texts(OURSELVES), [])
})
