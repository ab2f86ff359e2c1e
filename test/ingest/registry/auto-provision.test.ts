import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AutoProvision } from '../../../ingest/registry/auto-provision.ts'
import { FORCED, PUMP, openPool, openRegistry, type OpenedRegistry } from './open-registry.ts'

const subscription = (id: string, limit: number, changes: { [column: string]: string } = {}) => {
  const row: { [column: string]: string } = {
    subscription_id: `'${id}'`,
    tenant_id: `'acme'`,
    subscription_type: `'MAIN'`,
    status: `'ACTIVE'`,
    device_limit: String(limit),
    term_end: `now() + interval '1 year'`,
    ...changes,
  }
  return `INSERT INTO subscriptions (${Object.keys(row).join(', ')})
          VALUES (${Object.values(row).join(', ')});`
}

function provisionOf({ database, schema, persistence, log }: OpenedRegistry): AutoProvision {
  return new AutoProvision({ database, schema, persistence, log: log.log })
}

const device = (deviceId: string, tenantId = 'acme') => ({ tenantId, deviceId })

test('a device goes to the oldest main subscription that is active, which counts it', async (t) => {
  for (const login of ['superuser', 'owner', 'member'] as const) {
    const opened = await openRegistry(t, {
      generation: 'old',
      login,
      prepare: [
        PUMP + ';',
        subscription('trial', 99, { status: `'TRIAL'`, created_at: `now() - interval '9 days'` }),
        subscription('addon', 99, {
          subscription_type: `'ADDON'`,
          created_at: `now() - interval '9 days'`,
        }),
        subscription('newer', 99),
        subscription('oldest', 1, { created_at: `now() - interval '5 days'` }),
        FORCED,
      ].join('\n'),
    })
    const provision = provisionOf(opened)
    assert.equal(await provision.provision('acme/new', device('new'), 'east'), 'registered', login)
    assert.deepEqual(
      await opened.query(
        `SELECT site_id, r.status, subscription_id, active_device_count FROM device_registry r
           JOIN subscriptions USING (subscription_id) WHERE device_id = 'new'`,
      ),
      [{ site_id: 'east', status: 'ACTIVE', subscription_id: 'oldest', active_device_count: 1 }],
    )
    // Full now, and the newer one does not step in.
    assert.equal(await provision.provision('acme/next', device('next'), 'east'), 'no_capacity')
    assert.equal(await provision.provision('acme/new', device('new'), 'west'), 'registered')
    assert.equal(
      await provision.provision('other/new', device('new', 'other'), 'east'),
      'no_capacity',
    )
    assert.equal((await opened.query('SELECT 1 FROM device_registry')).length, 2)
  }
})

test('twenty processes that see the same new device at once register it once', async (t) => {
  const opened = await openRegistry(t, {
    generation: 'old',
    prepare: `${PUMP}; ${subscription('s', 100)}`,
  })
  const pools = Array.from({ length: 4 }, () => openPool(t, opened.connection, opened.log))
  const provisions = pools.flatMap((database) =>
    Array.from({ length: 5 }, () => provisionOf({ ...opened, database })),
  )
  const outcomes = await Promise.all(
    provisions.map((provision) => provision.provision('acme/new', device('new'), 'east')),
  )
  assert.deepEqual(new Set(outcomes), new Set(['registered']))
  assert.deepEqual(await opened.query('SELECT active_device_count FROM subscriptions'), [
    { active_device_count: 1 },
  ])
})

test('twenty new devices at once do not go beyond the limit', async (t) => {
  const opened = await openRegistry(t, {
    generation: 'old',
    prepare: `${PUMP}; ${subscription('s', 7)}`,
  })
  const pools = Array.from({ length: 4 }, () => openPool(t, opened.connection, opened.log))
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      provisionOf({ ...opened, database: pools[i % 4] ?? opened.database }).provision(
        `acme/d${i}`,
        device(`d${i}`),
        'east',
      ),
    ),
  )
  assert.equal(outcomes.filter((outcome) => outcome === 'registered').length, 7)
  const [row] = await opened.query(
    `SELECT count(*)::int AS devices, max(active_device_count) AS counted FROM device_registry
       JOIN subscriptions USING (subscription_id)`,
  )
  assert.deepEqual(row, { devices: 7, counted: 7 })
})

test('those who ask for the same device in one process share the answer', async (t) => {
  const opened = await openRegistry(t, {
    generation: 'old',
    prepare: `${PUMP}; ${subscription('s', 100)}`,
  })
  const provision = provisionOf(opened)
  const asked = Array.from({ length: 20 }, () =>
    provision.provision('acme/new', device('new'), 'east'),
  )
  assert.equal(new Set(asked).size, 1)
  await Promise.all(asked)
})

test('newer tables have nothing to count by: no capacity, said once', async (t) => {
  const opened = await openRegistry(t, { prepare: PUMP })
  const provision = provisionOf(opened)
  for (const id of ['a', 'b']) {
    assert.equal(await provision.provision(`acme/${id}`, device(id), 'east'), 'no_capacity')
  }
  const said = opened.log.lines.filter(({ event }) => event === 'provision.refused')
  assert.equal(said.length, 1)
})
