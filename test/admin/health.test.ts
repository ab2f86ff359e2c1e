/** The words other services read over HTTP, to the letter. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { createAdmin, type AdminPorts } from '../../admin/index.ts'
import { createMetrics } from '../../core/metrics.ts'

async function get(t: TestContext, path: string, ports: Partial<AdminPorts> = {}) {
  const admin = await createAdmin(
    { host: '127.0.0.1', port: 0 },
    {
      counters: () => ({
        messages_received: 7,
        messages_written: 4,
        messages_rejected: 2,
        queue_depth: 1,
        last_write_at: '2026-03-01T12:00:00.000Z',
      }),
      readiness: () => ({ ready: true }),
      metrics: createMetrics().registry,
      ...ports,
    },
  )
  t.after(() => admin.close())
  const answer = await fetch(`http://127.0.0.1:${admin.port}${path}`)
  return {
    status: answer.status,
    body: await answer.text(),
    type: answer.headers.get('content-type'),
  }
}

test('/health is 200 with the counters and the last COMMIT, whatever the state', async (t) => {
  for (const readiness of [{ ready: true }, { ready: false, reason: 'db_pool' }] as const) {
    const { status, body } = await get(t, '/health', { readiness: () => readiness })
    assert.equal(status, 200)
    assert.deepEqual(JSON.parse(body), {
      status: 'healthy',
      service: 'ingest',
      counters: {
        messages_received: 7,
        messages_written: 4,
        messages_rejected: 2,
        queue_depth: 1,
      },
      last_write_at: '2026-03-01T12:00:00.000Z',
    })
  }
})

test('/ready is 200, or 503 with the reason', async (t) => {
  const ready = await get(t, '/ready')
  assert.deepEqual([ready.status, JSON.parse(ready.body)], [200, { status: 'ready' }])
  for (const reason of ['mqtt', 'db_pool', 'batch_writer', 'tls', 'draining', 'backlog']) {
    const { status, body } = await get(t, '/ready', {
      readiness: () => ({ ready: false, reason }),
    })
    assert.deepEqual([status, JSON.parse(body)], [503, { status: 'not_ready', reason }])
  }
})

test('/metrics is Prometheus text', async (t) => {
  const { status, body, type } = await get(t, '/metrics')
  assert.equal(status, 200)
  assert.match(type ?? '', /^text\/plain; version=0\.0\.4/u)
  assert.match(body, /^# TYPE pulse_ingest_queue_depth gauge$/mu)
})
