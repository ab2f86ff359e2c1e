import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileAcl } from '../../broker/index.ts'
import { MountPoint } from '../../broker/mount-point.ts'
import { parseAclFile } from '../../config/acl-file.ts'
import { startBroker } from '../helpers/broker.ts'
import { HeldSink } from '../helpers/held-sink.ts'

const mounted = {
  listener: { name: 'plain' },
  also: [{ listener: { name: 'a', mountPoint: 'a/' } }],
}

test('topics and filters on their way in and out', () => {
  const mount = new MountPoint('a/')
  assert.equal(mount.topicIn('x/y'), 'a/x/y')
  assert.equal(mount.filterIn('#'), 'a/#')
  assert.equal(mount.filterIn('$share/g/x/+'), '$share/g/a/x/+')
  assert.equal(mount.topicOut('a/x/y'), 'x/y')
  for (const foreign of ['a', 'a/', 'b/x', 'ab/x']) assert.equal(mount.topicOut(foreign), undefined)
  assert.equal(mount.topicIn('x'.repeat(65_534)), '')
  assert.equal(mount.filterIn('x'.repeat(65_534)), '')
  assert.equal(new MountPoint('ä'.repeat(32_767)).topicIn('xy'), '')
  const none = new MountPoint(undefined)
  assert.deepEqual([none.topicIn('x'), none.filterIn('#'), none.topicOut('x')], ['x', '#', 'x'])
})

test('clients of a mounted listener live below its prefix and see nothing else', async (t) => {
  const { client, clientOf } = await startBroker(t, mounted)
  const outside = await client('outside')
  await outside.subscribe('#')
  const inside = await clientOf('a', 'inside')
  await inside.subscribe(['#', '$SYS/#'], 1)

  await inside.publish('x', 'from inside', { qos: 1 })
  assert.equal((await outside.receive()).topic, 'a/x')
  assert.equal((await inside.receive()).topic, 'x')

  for (const topic of ['x', 'ab', 'a', 'b/x']) await outside.publish(topic, 'foreign', { qos: 1 })
  await outside.publish('a/y', 'to inside', { qos: 1 })
  const got = await inside.receive()
  assert.deepEqual([got.topic, String(got.payload)], ['y', 'to inside'])
  await inside.ping()
  assert.equal(inside.unread.length, 0)
})

test('retained messages, shared subscriptions and UNSUBSCRIBE are mounted too', async (t) => {
  const { client, clientOf } = await startBroker(t, mounted)
  const outside = await client('outside')
  await outside.publish('kept', 'foreign', { qos: 1, retain: true })
  await outside.publish('a/kept', 'ours', { qos: 1, retain: true })
  const inside = await clientOf('a', 'inside')
  await inside.subscribe('kept')
  const kept = await inside.receive()
  assert.deepEqual([kept.topic, String(kept.payload), kept.retain], ['kept', 'ours', true])
  await inside.unsubscribe('kept')
  await inside.subscribe('$share/g/s')
  await outside.publish('a/kept', 'not any more', { qos: 1 })
  await outside.publish('a/s', 'shared', { qos: 1 })
  assert.equal((await inside.receive()).topic, 's')
})

test('a Will goes below the prefix', async (t) => {
  const { client, clientOf } = await startBroker(t, mounted)
  const outside = await client('outside')
  await outside.subscribe('#')
  const inside = await clientOf('a', 'inside', { will: { topic: 'gone', payload: 'x' } })
  inside.destroy()
  assert.equal((await outside.receive()).topic, 'a/gone')
})

test('the mounted topic is what acl_file and ingest look at', async (t) => {
  const sink = new HeldSink()
  const acl = compileAcl(parseAclFile('topic write a/ok\ntopic read a/ok\ntopic tenant/#', 'acl'))
  const rules = { tenancy: false, acl, accountAccess: 'everything' } as const
  const { clientOf } = await startBroker(t, {
    sink,
    also: [
      { listener: { name: 'a', mountPoint: 'a/' }, rules },
      { listener: { name: 'device', mountPoint: 'tenant/t/device/d/' }, rules },
    ],
  })
  const inside = await clientOf('a', 'inside')
  await inside.subscribe('#')
  await inside.publish('a/ok', 'no right to a/a/ok', { qos: 1 })
  await inside.publish('tenant/t/device/d/telemetry', '{}', { qos: 1 })
  assert.equal(sink.taken.length, 0)
  await inside.publish('ok', 'x', { qos: 1 })
  assert.equal((await inside.receive()).topic, 'ok')

  const device = await clientOf('device', 'device')
  await device.publish('telemetry', '{}', { qos: 1 })
  assert.deepEqual(
    sink.taken.map(({ topic, tenantId }) => [topic, tenantId]),
    [['tenant/t/device/d/telemetry', 't']],
  )
})

test('a Session taken over from another listener gets nothing it has no name for', async (t) => {
  const { client, clientOf } = await startBroker(t, mounted)
  const first = await client('same', { clean: false })
  await first.subscribe('#', 1)
  await first.disconnect()
  const publisher = await client('publisher')
  await publisher.publish('secret', 'x', { qos: 1 })
  await publisher.publish('a/ours', 'x', { qos: 1 })
  const second = await clientOf('a', 'same', { clean: false })
  assert.equal((await second.receive()).topic, 'ours')
  await second.ping()
  assert.equal(second.unread.length, 0)
})
