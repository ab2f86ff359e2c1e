import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { hashPassword } from '../../config/index.ts'
import { spawnMidge } from '../helpers/midge-process.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { freePort } from '../helpers/free-port.ts'

type Line = Readonly<Record<string, unknown>>

/** A Midge with a mosquitto.conf that can be written anew and reloaded. */
async function running(t: TestContext, first: (folder: string) => string) {
  const folder = await mkdtemp(join(tmpdir(), 'midge-reload-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const [port, http] = [await freePort(), await freePort()]
  const conf = join(folder, 'mosquitto.conf')
  const write = (name: string, text: string) => writeFile(join(folder, name), text)
  // Another user could not read what is in this folder.
  const head = `user root\nlistener ${port} 127.0.0.1\n`
  await write('acl-a', 'topic readwrite a/#\nuser bob\ntopic readwrite a/#\n')
  await write('acl-b', 'topic readwrite b/#\nuser bob\ntopic readwrite b/#\n')
  await write('passwd', `bob:${hashPassword('right', { random: randomBytes })}\n`)
  await write('mosquitto.conf', head + first(folder))
  const midge = spawnMidge(t, {
    args: ['-c', conf],
    env: { MIDGE_HTTP_PORT: String(http), MIDGE_INGEST: 'off' },
  })
  await midge.printed(/"event":"midge\.running"/u)
  let seen = 0
  /** Writes the file, reloads, and waits until it was decided. */
  const reload = async (text: string): Promise<Line> => {
    await write('mosquitto.conf', head + text)
    const from = midge.output().length
    seen++
    midge.child.kill('SIGHUP')
    const decided = new RegExp(`(?:"event":"config\\.re(?:placed|jected)"[^]*?){${seen}}\\n`, 'u')
    await midge.printed(decided)
    const lines = midge
      .output()
      .slice(from)
      .split('\n')
      .filter((line) => line.startsWith('{'))
    const events = lines.map((line) => JSON.parse(line) as Line)
    const decision = events.findLast(({ event }) =>
      ['config.replaced', 'config.rejected'].includes(String(event)),
    )
    assert.ok(decision)
    return decision
  }
  const client = async (fields: Parameters<RawClient['connect']>[0] = {}) => {
    const one = await RawClient.tcp(port)
    t.after(() => one.destroy())
    const { returnCode } = await one.connect({ clientId: 'c', ...fields })
    return { one, returnCode }
  }
  const gauge = async (name: string) => {
    const text = await (await fetch(`http://127.0.0.1:${http}/metrics`)).text()
    return text.match(new RegExp(`^${name}(?:\\{.*\\})? (.*)$`, 'mu'))?.[1]
  }
  return { midge, port, conf, folder, write, reload, client, gauge }
}

test('an anonymous client is closed when allow_anonymous goes, and nobody else', {
  timeout: 30_000,
}, async (t) => {
  const { folder, reload, client } = await running(
    t,
    (folder) => `allow_anonymous true\npassword_file ${folder}/passwd\n`,
  )
  const anonymous = await client({ clientId: 'nobody' })
  const bob = await client({ clientId: 'b', userName: 'bob', password: 'right' })
  assert.deepEqual([anonymous.returnCode, bob.returnCode], [0, 0])

  const decision = await reload(`allow_anonymous false\npassword_file ${folder}/passwd\n`)
  assert.equal(decision['event'], 'config.replaced')
  assert.equal(decision['closed'], 1)
  await anonymous.one.closed
  await bob.one.ping()
  assert.equal((await client()).returnCode, 5)
})

test('a password_file where there was none ends the accounts that nobody has proved', {
  timeout: 30_000,
}, async (t) => {
  const { folder, reload, client } = await running(t, () => 'allow_anonymous true\n')
  const anonymous = await client({ clientId: 'nobody' })
  const claimed = await client({ clientId: 'b', userName: 'bob', password: 'anything' })
  const stranger = await client({ clientId: 'e', userName: 'eve' })
  const text = `allow_anonymous true\npassword_file ${folder}/passwd\n`
  assert.equal((await reload(text))['closed'], 2)
  await Promise.all([claimed.one.closed, stranger.one.closed])
  await anonymous.one.ping()
  const login = { clientId: 'b', userName: 'bob' }
  assert.equal((await client({ ...login, password: 'anything' })).returnCode, 5)
  assert.equal((await client({ ...login, password: 'right' })).returnCode, 0)

  // Another file with the same line ends nobody; no file at all, with nobody let in without, does.
  const again = await client({ ...login, password: 'right' })
  await copyFile(join(folder, 'passwd'), join(folder, 'copy'))
  assert.equal((await reload(text.replace('passwd', 'copy')))['closed'], 0)
  await again.one.ping()
  assert.equal((await reload('allow_anonymous false\n'))['closed'], 2)
  await again.one.closed
  assert.equal((await client({ ...login, password: 'right' })).returnCode, 5)
})

test('mosquitto_sub and mosquitto_pub meet another acl_file after a reload', {
  timeout: 30_000,
}, async (t) => {
  const { folder, port, reload, client } = await running(
    t,
    (folder) => `allow_anonymous true\nacl_file ${folder}/acl-a\n`,
  )
  // Into a pipe it would keep what it has to say.
  const subscriber = spawn('stdbuf', [
    ...['-oL', 'mosquitto_sub'],
    ...['-h', '127.0.0.1', '-p', String(port), '-i', 'sub'],
    ...['-t', '#', '-q', '1', '-v', '-C', '3', '-d'],
  ])
  t.after(() => subscriber.kill())
  const ended = once(subscriber, 'close')
  let heard = ''
  const subscribed = new Promise<void>((resolve) => {
    subscriber.stdout.on('data', (text: Buffer) => {
      heard += String(text)
      if (/Subscribed/u.test(heard)) resolve()
    })
  })
  await subscribed
  const publish = async (topic: string, payload: string) => {
    const { one } = await client({ clientId: 'pub' })
    await one.publish(topic, payload, { qos: 1 })
    await one.disconnect()
  }
  await publish('a/1', 'one')
  await publish('b/1', 'hidden')
  assert.equal((await reload(`allow_anonymous true\nacl_file ${folder}/acl-b\n`))['closed'], 0)
  await publish('a/2', 'hidden')
  const sent = spawn('mosquitto_pub', [
    ...['-h', '127.0.0.1', '-p', String(port)],
    ...['-t', 'b/2', '-m', 'two', '-q', '1'],
  ])
  await once(sent, 'close')
  // And without any: as without an acl_file from the start.
  await reload('allow_anonymous true\n')
  await publish('c', 'three')
  await ended
  const lines = heard.split('\n').filter((line) => /^[abc](\/\d)? /u.test(line))
  assert.deepEqual(lines, ['a/1 one', 'b/2 two', 'c three'])
})

test('a smaller window drains, a larger one fills at the next acknowledgement', {
  timeout: 30_000,
}, async (t) => {
  const { reload, client } = await running(
    t,
    () => 'allow_anonymous true\nmax_inflight_messages 3\n',
  )
  const { one: subscriber } = await client({ clientId: 'sub', clean: false })
  await subscriber.subscribe('t', 1)
  const { one: publisher } = await client({ clientId: 'pub' })
  for (let i = 1; i <= 8; i++) await publisher.publish('t', String(i), { qos: 1 })
  await subscriber.ping()
  assert.equal(subscriber.unread.length, 3)

  const smaller = await reload('allow_anonymous true\nmax_inflight_messages 1\n')
  assert.deepEqual(smaller['settings'], ['limits.maxInflightMessages'])
  const received = [await subscriber.receive(), await subscriber.receive()]
  await subscriber.ping()
  assert.deepEqual(
    received.map(({ payload }) => String(payload)),
    ['1', '2'],
  )
  // 3 is still in flight, so nothing new came.
  assert.equal(subscriber.unread.length, 1)
  assert.equal(String((await subscriber.receive()).payload), '3')
  await subscriber.ping()
  assert.equal(subscriber.unread.length, 1)

  await reload('allow_anonymous true\nmax_inflight_messages 0\n')
  const rest: string[] = []
  for (let i = 4; i <= 8; i++) rest.push(String((await subscriber.receive()).payload))
  assert.deepEqual(rest, ['4', '5', '6', '7', '8'])
})

test('a bad file changes nothing, and says where', { timeout: 30_000 }, async (t) => {
  const { folder, conf, reload, client, gauge, write } = await running(
    t,
    (folder) => `allow_anonymous true\nacl_file ${folder}/acl-a\n`,
  )
  assert.equal(await gauge('config_rejected'), '0')
  const anonymous = await client({ clientId: 'nobody' })
  const subscribed = await client({ clientId: 'sub' })
  await subscribed.one.subscribe('#', 1)

  const broken = await reload(`allow_anonymous false\nacl_file ${folder}/acl-b\nfoo\n`)
  assert.deepEqual(
    [broken['level'], broken['event'], broken['msg'], broken['problem']],
    [
      'error',
      'config.rejected',
      'configuration refused, nothing was changed',
      `Error: Unknown configuration variable 'foo'. Error found at ${conf}:5.`,
    ],
  )
  assert.equal(await gauge('config_rejected'), '1')

  // A good mosquitto.conf with a bad acl_file, or a password_file that is not there.
  await write('acl-c', 'topic readwrite b/#\nwhatever\n')
  const badAcl = await reload(`allow_anonymous false\nacl_file ${folder}/acl-c\n`)
  assert.equal(badAcl['event'], 'config.rejected')
  assert.match(String(badAcl['problem']), new RegExp(`Error found at ${folder}/acl-c:2\\.$`, 'u'))
  const missing = await reload(`acl_file ${folder}/acl-b\npassword_file ${folder}/nowhere\n`)
  assert.equal(
    missing['problem'],
    `cannot read the password_file ${folder}/nowhere: it does not exist; make it, or take it out of the configuration`,
  )

  await anonymous.one.publish('b/1', 'hidden', { qos: 1 })
  await anonymous.one.publish('a/1', 'seen', { qos: 1 })
  assert.equal(String((await subscribed.one.receive()).topic), 'a/1')
  assert.equal((await client({ clientId: 'another' })).returnCode, 0)

  const good = await reload(`allow_anonymous true\nacl_file ${folder}/acl-a\n`)
  assert.equal(good['event'], 'config.replaced')
  assert.equal(await gauge('config_rejected'), '0')
})

test('a mixed file: what may change live is in force, the rest is named until a restart', {
  timeout: 30_000,
}, async (t) => {
  const { midge, port, reload, client, gauge } = await running(t, () => 'allow_anonymous true\n')
  const name = `listener 127.0.0.1:${port}`
  const mixed =
    'allow_anonymous true\nmax_connections 3\nmessage_size_limit 4\nlistener 1 127.0.0.1\n'
  const decision = await reload(mixed)
  assert.deepEqual(decision['settings'], ['mqtt.maxPayloadBytes'])
  const waiting = `these changes wait for a restart: ${name}: maxConnections; listener 127.0.0.1:1`
  await midge.printed(new RegExp(`"event":"config\\.pending".*"msg":"${waiting}"`, 'u'))
  assert.equal(await gauge('config_pending_settings'), '2')

  const { one } = await client({ clientId: 'sub' })
  await one.subscribe('t', 1)
  await one.publish('t', 'large', { qos: 1 })
  await one.publish('t', 'tiny', { qos: 1 })
  assert.equal(String((await one.receive()).payload), 'tiny')

  // They still wait at the next reload, and no more once they are taken back.
  assert.deepEqual((await reload(mixed))['settings'], [])
  assert.equal(await gauge('config_pending_settings'), '2')
  await reload('allow_anonymous true\nmessage_size_limit 4\n')
  assert.equal(await gauge('config_pending_settings'), '0')
})

test('a file named by a reload is followed from then on; a bad one changes nothing', {
  timeout: 30_000,
}, async (t) => {
  const { midge, folder, reload, client, gauge, write } = await running(
    t,
    (folder) => `allow_anonymous true\nacl_file ${folder}/acl-a\n`,
  )
  await reload(`allow_anonymous false\nacl_file ${folder}/acl-b\npassword_file ${folder}/passwd\n`)
  const bob = await client({ clientId: 'b', userName: 'bob', password: 'right' })
  await bob.one.subscribe('#', 1)
  await write('acl-b', 'user bob\ntopic readwrite c/#\n')
  await midge.printed(/"event":"access\.replaced"/u)
  await bob.one.publish('b/1', 'hidden', { qos: 1 })
  await bob.one.publish('c/1', 'seen', { qos: 1 })
  assert.equal((await bob.one.receive()).topic, 'c/1')

  await write('acl-b', 'user bob\nnothing\n')
  await midge.printed(/"event":"access\.rejected".*acl-b:2/u)
  assert.equal(await gauge('access_files_rejected'), '1')
  await bob.one.publish('c/2', 'still', { qos: 1 })
  assert.equal((await bob.one.receive()).topic, 'c/2')

  await write('passwd', `eve:${hashPassword('x', { random: randomBytes })}\n`)
  await write('acl-b', 'user eve\ntopic read #\n')
  await bob.one.closed
  assert.equal((await client({ userName: 'bob', password: 'right' })).returnCode, 5)
  assert.equal(await gauge('access_files_rejected'), '0')
})
