/** The metrics that alerts and dashboards of the platform are written against, to the letter. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { testDatabase } from '../helpers/postgres.ts'
import { message, numbered } from './messages.ts'
import { ingestConfig, openIngest } from './open.ts'
import { registryRules } from './platform.ts'

// Ingest's own timers keep no process alive, and this test waits for them.
const alive = setInterval(() => undefined, 1000)
after(() => clearInterval(alive))

test('names, labels and buckets are those that alerts are written against', async (t) => {
  const { connection, query } = await testDatabase(t)
  const config = ingestConfig(connection, { registry: registryRules({ requireToken: false }) })
  await (await openIngest(t, config)).ingest.stop(1000)
  await query(
    `INSERT INTO app_settings (key, value) VALUES ('RATE_LIMIT_RPS', '0'), ('RATE_LIMIT_BURST', '2')
         ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
  )
  const { ingest, metrics } = await openIngest(t, config)
  await ingest.registerDevice({ tenantId: 'acme', deviceId: 'pump-7', siteId: 'north' })
  for (const device of ['pump-7', 'pump-7', 'pump-7', 'stranger']) {
    await ingest.append(numbered(1, { device }))
  }
  await ingest.append(message('no JSON'))
  const text = async () => (await metrics.registry.metrics()).split('\n')
  // Gauges are set about once a second.
  while (!(await text()).includes('pulse_ingest_queue_depth 0')) await systemClock.sleep(20)
  while (!(await text()).some((line) => line.startsWith('pulse_db_pool_size{')))
    await systemClock.sleep(20)
  const lines = await text()
  const has = (line: string | RegExp) =>
    assert.ok(
      lines.some((each) => (typeof line === 'string' ? each === line : line.test(each))),
      `${String(line)} in\n${lines.filter((each) => each.startsWith('pulse_')).join('\n')}`,
    )
  has('pulse_ingest_messages_total{tenant_id="acme",result="accepted"} 2')
  has('pulse_ingest_messages_total{tenant_id="acme",result="rate_limited"} 1')
  has('pulse_ingest_messages_total{tenant_id="acme",result="rejected"} 2')
  has(/^pulse_db_pool_size\{service="ingest"\} \d+$/u)
  has(/^pulse_db_pool_free\{service="ingest"\} \d+$/u)
  has('# TYPE ingest_records_dropped_total counter')
  has('# TYPE pulse_ingest_queue_depth gauge')
  const buckets = lines.flatMap(
    (line) =>
      /^pulse_ingest_batch_write_seconds_bucket\{le="([^"]+)",tenant_id="__all__"\}/u.exec(
        line,
      )?.[1] ?? [],
  )
  assert.deepEqual(buckets, ['0.05', '0.1', '0.25', '0.5', '1', '2', '5', '10', '30', '+Inf'])
  for (const cache of ['device', 'certificate', 'rate']) {
    has(new RegExp(`^ingest_cache_entries\\{cache="${cache}"\\} \\d+$`, 'u'))
  }
  for (const what of ['hits', 'misses']) {
    has(new RegExp(`^ingest_cache_${what}_total\\{cache="device"\\} [1-9]\\d*$`, 'u'))
  }
})
