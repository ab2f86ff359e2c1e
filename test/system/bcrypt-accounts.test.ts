/** A password_file as a provisioning service writes it: bcrypt, a whole process, mosquitto_pub. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort } from '../../postgres/place.ts'
import { runMidge, spawnMidge } from '../helpers/midge-process.ts'
import { exitOf } from '../helpers/platform-clients.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const skip =
  spawnSync('which', ['mosquitto_pub']).status === 0 ? false : 'mosquitto_pub is not installed'

/** Made by libxcrypt; the password of the first three is `secret`. */
const LINES = [
  'cost12:$2b$12$abcdefghijklmnopqrstuuT1Iwu6o8Wx7BoOyIMHfgVJq6JO/IJhW',
  'php:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW',
  'old:$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW',
  'other:$2y$04$CCCCCCCCCCCCCCCCCCCCC.xoopVBHwkwKVVh8Dy5scrzytsDIMx2G',
]

test('accounts with bcrypt hashes log in, and no others', { skip, timeout: 60_000 }, async (t) => {
  const folder = await scratchDirectory(t)
  const [passwords, conf] = [join(folder, 'passwd'), join(folder, 'mosquitto.conf')]
  const port = await freePort()
  await writeFile(passwords, `${LINES.join('\n')}\n`, { mode: 0o600 })
  await writeFile(
    conf,
    `listener ${port} 127.0.0.1\nallow_anonymous false\npassword_file ${passwords}\n`,
  )
  const checked = await runMidge(t, { args: ['check', conf] })
  assert.ok(checked.code === 0 || checked.code === 2, checked.output)
  assert.doesNotMatch(checked.output, /cannot be verified|bcrypt/u)
  const edited = await runMidge(t, { args: ['passwd', '-b', passwords, 'added', 'new'] })
  assert.equal(edited.code, 0, edited.output)
  assert.deepEqual((await readFile(passwords, 'utf8')).split('\n').slice(0, 4), LINES)
  const hashed = await runMidge(t, { args: ['passwd', '-U', passwords] })
  assert.equal(hashed.code, 0, hashed.output)
  assert.deepEqual((await readFile(passwords, 'utf8')).split('\n').slice(0, 4), LINES)

  const midge = spawnMidge(t, { args: ['-c', conf] })
  await midge.printed(/midge\.running/u)
  const publish = async (user: string, password: string) => {
    const where = ['-h', '127.0.0.1', '-p', String(port), '-u', user, '-P', password]
    return (await exitOf('mosquitto_pub', [...where, '-q', '1', '-t', 't', '-m', 'x'])).code
  }
  for (const [user, password, code] of [
    ['cost12', 'Secret', 5],
    ['cost12', 'tok-é-7', 5],
    ['cost12', `secret${'x'.repeat(67)}`, 5],
    ['nobody', 'secret', 5],
    ['other', 'secret', 5],
    ['cost12', 'secret', 0],
    ['php', 'secret', 0],
    ['old', 'secret', 0],
    ['other', 'tok-é-7', 0],
    ['added', 'new', 0],
  ] as const) {
    assert.equal(await publish(user, password), code, `${user} ${password}`)
  }
  // A thread that has nothing to do holds nobody up.
  assert.deepEqual(await midge.end(), { code: 0, signal: null })

  await writeFile(passwords, `${LINES[0]?.replace('$12$', '$16$')}\n`)
  const refused = await runMidge(t, { args: ['check', conf] })
  assert.equal(refused.code, 3, refused.output)
  assert.match(refused.output, /passwd:1: a bcrypt hash has a cost of at most 15/u)
})
