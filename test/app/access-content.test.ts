import assert from 'node:assert/strict'
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { readAccess } from '../../app/access-content.ts'
import type { ListenerConfig } from '../../config/types.ts'
import { silentLog } from '../../core/log.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const listener: ListenerConfig = {
  name: 'test',
  address: '127.0.0.1',
  port: 0,
  protocol: 'mqtt',
  tls: undefined,
  allowAnonymous: true,
  passwordFile: undefined,
  aclFile: undefined,
  accountAccess: 'everything',
  maxConnections: -1,
}

for (const setting of ['aclFile', 'passwordFile'] as const) {
  test(`${setting}: a file that is too large to be taken apart is refused by its size`, async (t) => {
    const file = join(await scratchDirectory(t), 'file')
    writeFileSync(file, '')
    truncateSync(file, 104_857_601)
    const reading = { listener: { ...listener, [setting]: file }, log: silentLog }
    await assert.rejects(readAccess(reading, 'refuse'), {
      code: 'FILE_UNREADABLE',
      message: new RegExp(`${file}: 104857601 bytes, expected at most 104857600$`, 'u'),
    })
  })
}
