import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { spawnMidge } from '../helpers/midge-process.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { freePort } from '../helpers/free-port.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

async function started(t: TestContext, settings: string, args: readonly string[] = []) {
  const file = join(await scratchDirectory(t), 'mosquitto.conf')
  const port = await freePort()
  const configure = (lines: string) =>
    writeFile(file, `user root\nlistener ${port} 127.0.0.1\nallow_anonymous true\n${lines}`)
  await configure(settings)
  const midge = spawnMidge(t, { args: ['-c', file, ...args] })
  await midge.printed(/version \S+ running/u)
  const client = await RawClient.tcp(port)
  t.after(() => client.destroy())
  await client.connect({ clientId: 'one' })
  return { ...midge, client, configure, port }
}

test('SIGHUP turns packet lines on and off for open connections', {
  timeout: 20_000,
}, async (t) => {
  const { child, client, configure, output, printed } = await started(t, 'log_type information\n')
  await client.ping()
  await configure('log_type information\nlog_type debug\n')
  child.kill('SIGHUP')
  await printed(/applied: .*log/u)
  await client.ping()
  await printed(/Received PINGREQ from one[^]*Sending PINGRESP to one/u)
  assert.equal(output().match(/PINGREQ/gu)?.length, 1)
  await configure('log_type information\n')
  child.kill('SIGHUP')
  await printed(/applied: [^]*applied: .*log/u)
  await client.ping()
  assert.equal(output().match(/PINGREQ/gu)?.length, 1)
})

test('-v writes packets in JSON, too', { timeout: 20_000 }, async (t) => {
  const { client, printed } = await started(t, '', ['-v'])
  await client.publish('a', 'x', { qos: 1 })
  const [line] = await printed(/^\{"level":"trace".*"packet":"PUBACK".*\}$/mu)
  const {
    ts: _ts,
    peerPort: _peerPort,
    trace_id: traceId,
    ...fields
  } = JSON.parse(line) as Record<string, unknown>
  assert.match(String(traceId), /^[0-9a-f]{32}$/u)
  assert.deepEqual(fields, {
    level: 'trace',
    service: 'ingest',
    logger: 'broker',
    listener: fields['listener'],
    peer: '127.0.0.1',
    clientId: 'one',
    event: 'packet.sent',
    packet: 'PUBACK',
    packetId: 1,
    msg: 'PUBACK sent',
  })
})

test('a client that follows $SYS/broker/log does not set off lines about itself', {
  timeout: 20_000,
}, async (t) => {
  const settings = 'log_type all\nlog_dest topic\nlog_dest stderr\nsys_interval 0\n'
  const { client, port, output } = await started(t, settings)
  await client.subscribe('$SYS/broker/log/#', 1)
  const other = await RawClient.tcp(port)
  t.after(() => other.destroy())
  await other.connect({ clientId: 'other' })
  await other.subscribe('x', 1)
  await other.disconnect()
  const lines: string[] = []
  while (!lines.at(-1)?.includes('disconnected')) {
    const { topic, payload } = await client.receive()
    lines.push(
      `${topic.slice('$SYS/broker/log/'.length)} ${String(payload).replace(/^\d+: /u, '')}`,
    )
  }
  await client.ping()
  assert.deepEqual(
    lines.map((line) => line.replace(/127\.0\.0\.1:\d+|port \d+/gu, '…')),
    [
      'M/subscribe one 1 $SYS/broker/log/#',
      'N New connection from … on ….',
      'N New client connected from … as other (p4, c1, k0).',
      'M/subscribe other 1 x',
      'N Client other […] disconnected.',
    ],
  )
  assert.equal(client.unread.length, 0)
  assert.match(
    output(),
    /Sending PUBLISH to one \(d0, q1, r0, m1, '\$SYS\/broker\/log\/M\/subscribe'/u,
  )
})
