/** What a newcomer does: start, paste the commands, look at the rows, stop, start again. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmod, mkdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { runMidge, startMidge } from '../helpers/midge-process.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const has = (program: string) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0

test('first start, the printed commands, second start', { timeout: 240_000 }, async (t) => {
  const data = join(await scratchDirectory(t), 'data')
  const first = await startMidge(t, { args: ['--data', data] })
  const screen = first.output()
  assert.match(screen, /shown this once: \S+/u)
  assert.equal((await stat(join(data, 'passwd'))).mode & 0o777, 0o600)
  for (const key of ['server.key', 'device-ca.key']) {
    assert.equal((await stat(join(data, 'certs', key))).mode & 0o777, 0o600, key)
  }

  await t.test(
    'publishing as the device with mosquitto_pub',
    { skip: has('mosquitto_pub') ? false : 'mosquitto_pub is not installed' },
    () => {
      const command = /^ {2}mosquitto_pub [\s\S]*?'\{.*\}'$/mu.exec(screen)?.[0] ?? ''
      const { status, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8' })
      assert.equal(status, 0, `${command}\n${stderr}`)
    },
  )

  await t.test('publishing as the device with MQTT.js', () => {
    const command = /^ {2}npx mqtt pub [\s\S]*?'\{.*\}'$/mu.exec(screen)?.[0] ?? ''
    const { status, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8' })
    assert.equal(status, 0, `${command}\n${stderr}`)
  })

  await t.test(
    'subscribing as the service',
    { skip: has('mosquitto_sub') ? false : 'mosquitto_sub is not installed' },
    () => {
      const command = /^ {2}(mosquitto_sub .*)$/mu.exec(screen)?.[1] ?? ''
      // One message is enough; $SYS answers at once.
      const { status, stdout, stderr } = spawnSync(
        'sh',
        ['-c', `${command.replace("'tenant/#'", "'$SYS/broker/version'")} -C 1 -W 20`],
        { encoding: 'utf8' },
      )
      assert.equal(status, 0, stderr)
      assert.match(stdout, /midge version/u)
    },
  )

  await t.test('the rows are there', async (t) => {
    const { code, output } = await runMidge(t, { args: ['rows', '--data', data] })
    assert.equal(code, 0, output)
    assert.match(output, /acme\/pump-7 {2}telemetry {2}\{"temp_c": ?21\.4\}/u)
  })

  await t.test('health, ready and metrics', async () => {
    const get = async (path: string) => {
      const answer = await fetch(`http://127.0.0.1:${first.ports.http}${path}`)
      return { status: answer.status, text: await answer.text() }
    }
    assert.deepEqual(JSON.parse((await get('/ready')).text), { status: 'ready' })
    assert.match((await get('/health')).text, /"status":"healthy"/u)
    assert.match((await get('/metrics')).text, /ingest_rows_committed_total \d/u)
  })

  await t.test('another Midge on the same directory is refused in one sentence', async (t) => {
    const { code, output } = await runMidge(t, { args: ['--data', data] })
    assert.notEqual(code, 0)
    assert.match(output, /midge: .*data directory.*/u)
    assert.doesNotMatch(output, /\n {4}at /u)
  })

  assert.equal((await first.end('SIGINT')).code, 0)

  await t.test('a second start reuses everything', async (t) => {
    const passwd = await readFile(join(data, 'passwd'), 'utf8')
    const second = await startMidge(t, { args: ['--data', data] })
    assert.doesNotMatch(second.output(), /shown this once/u)
    assert.equal(await readFile(join(data, 'passwd'), 'utf8'), passwd)
    const { output } = await runMidge(t, { args: ['rows', '--data', data] })
    assert.match(output, /acme\/pump-7/u)
    assert.equal((await second.end()).code, 0)
  })
})

test('what keeps it from starting is said in one sentence', async (t) => {
  const parent = await scratchDirectory(t)

  await t.test('a port in use', async (t) => {
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    t.after(() => taken.close())
    const address = taken.address()
    const port = typeof address === 'object' ? address?.port : undefined
    const env = { MIDGE_MQTT_PORT: String(port), DATABASE_URL: '' }
    const { code, output } = await runMidge(t, { args: ['--data', join(parent, 'a')], env })
    assert.notEqual(code, 0)
    assert.match(
      output,
      new RegExp(`midge: cannot listen on 127\\.0\\.0\\.1, port ${port}: the port is in use`, 'u'),
    )
    assert.doesNotMatch(output, /\n {4}at /u)
  })

  await t.test(
    'a directory that cannot be written',
    {
      skip:
        process.getuid?.() === 0 && !has('setpriv')
          ? 'root may write everywhere, and setpriv is not installed'
          : false,
    },
    async (t) => {
      const locked = join(parent, 'locked')
      await mkdir(locked)
      await chmod(locked, 0o555)
      if (process.getuid?.() === 0) {
        // Root may write everywhere; a file in the place of the directory stops root too.
        const file = join(parent, 'file')
        await writeFile(file, '')
        const { code, output } = await runMidge(t, { args: ['--data', file] })
        assert.notEqual(code, 0)
        assert.match(
          output,
          /midge: cannot write below the data directory .*--data DIR or MIDGE_DATA/u,
        )
      } else {
        const { code, output } = await runMidge(t, { args: ['--data', join(locked, 'data')] })
        assert.notEqual(code, 0)
        assert.match(
          output,
          /midge: cannot write below the data directory .*--data DIR or MIDGE_DATA/u,
        )
      }
    },
  )

  await t.test('a broken certificate', async (t) => {
    const data = join(parent, 'broken')
    await runMidge(t, { args: ['pki', 'init', '--directory', join(data, 'certs')] })
    await truncate(join(data, 'certs', 'server.crt'), 100)
    const { code, output } = await runMidge(t, { args: ['--data', data] })
    assert.notEqual(code, 0)
    assert.match(output, /midge: .*server\.crt/u)
    assert.doesNotMatch(output, /\n {4}at /u)
  })

  await t.test('a word that is no command', async (t) => {
    const { code, output } = await runMidge(t, { args: ['frobnicate'] })
    assert.equal(code, 3)
    assert.match(output, /Unknown option 'frobnicate'/u)
  })
})

test('the demo ends with a difference of 0', { timeout: 120_000 }, async (t) => {
  const data = join(await scratchDirectory(t), 'data')
  const demo = await startMidge(t, {
    args: ['demo', '--devices', '5', '--rate', '50', '--data', data],
  })
  await demo.printed(/[1-9]\d* messages\/s · [1-9]\d* rows committed · PUBACK p50/u)
  await demo.printed(/demo\/sim-0001 {2}(telemetry|heartbeat)/u)
  const { code } = await demo.end('SIGINT')
  assert.match(demo.output(), /difference {4}0 /u)
  assert.equal(code, 0)
})
