/** Whose an account is that is called like a device: by its token, and then by its name. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { AccountDevices, type AccountDevice } from '../../../ingest/registry/account-devices.ts'
import { RegistryReader } from '../../../ingest/registry/reader.ts'
import type { TokenBearers } from '../../../ingest/registry/records.ts'
import { FakeClock } from '../../helpers/clock.ts'
import { fakePersistence } from './fakes.ts'
import { FORCED, PUMP, openRegistry } from './open-registry.ts'

const hashOf = (token: string) => createHash('sha256').update(token).digest('hex')
const named = (...names: string[]) =>
  names.map((name) => {
    const [tenantId = '', deviceId = ''] = name.split('|')
    return { tenantId, deviceId }
  })

function world(bearers: ReadonlyMap<string, TokenBearers>, maxEntries = 100) {
  const clock = new FakeClock()
  const asked: (readonly string[])[] = []
  const state = { isAway: false }
  const accounts = new AccountDevices({
    maxEntries,
    reader: {
      bearers: async (hashes) => {
        asked.push(hashes)
        if (state.isAway) throw new Error('the database is away')
        return hashes.map((hash) => bearers.get(hash) ?? [])
      },
    },
    persistence: fakePersistence(clock),
    clock,
  })
  const find = (userName: string, token: string) =>
    accounts.find({ userName, tokenHash: hashOf(token) })
  /** With nobody who answers. */
  const findAway = async (userName: string, token: string) => {
    state.isAway = true
    const answer = find(userName, token)
    clock.advance(3_000)
    const settled = await answer
    state.isAway = false
    return settled
  }
  return { asked, find, findAway }
}

const textOf = (answer: AccountDevice) =>
  answer.found ? `${answer.tenantId}|${answer.deviceId}` : answer.reason

const many = (count: number) => named(...Array.from({ length: count }, (_, i) => `acme|d${i}`))

const table: readonly (readonly [
  title: string,
  bearers: TokenBearers,
  userName: string,
  expected: string,
])[] = [
  ['a token of nobody', [], 'device_acme_pump', 'account_device_unknown'],
  ['of another device', named('acme|valve'), 'device_acme_pump', 'account_device_unknown'],
  ['of another tenant', named('globex|pump'), 'device_acme_pump', 'account_device_unknown'],
  ['of a longer name', named('acme|pump_7'), 'device_acme_pump', 'account_device_unknown'],
  ['other case', named('acme|PUMP'), 'device_acme_pump', 'account_device_unknown'],
  ['no name at all', named('acme|pump'), 'device_', 'account_device_unknown'],
  ['a part of the name', named('acme|pump'), 'device_acme', 'account_device_unknown'],
  ['the name unsafe', named('acme|pump.7'), 'device_acme_pump.7', 'account_device_unknown'],
  ['a pattern', named('acme|pump'), 'device_acme_....', 'account_device_unknown'],
  [
    'two devices that are called the same',
    named('acme|pump.7', 'acme|pump 7'),
    'device_acme_pump_7',
    'account_device_ambiguous',
  ],
  [
    'tenant and device divided elsewhere',
    named('a_b|c', 'a|b_c'),
    'device_a_b_c',
    'account_device_ambiguous',
  ],
  ['more devices than are looked at', many(1001), 'device_acme_d3', 'account_device_ambiguous'],
  ['row-level security', 'hidden', 'device_acme_pump', 'registry_hidden'],
  ['one device', named('acme|pump'), 'device_acme_pump', 'acme|pump'],
  ['what is replaced', named('acme inc|p.7/ä'), 'device_acme_inc_p_7__', 'acme inc|p.7/ä'],
  ['letters of all scripts', named('acme|pömpé.7'), 'device_acme_pömpé_7', 'acme|pömpé.7'],
  ['one code point, one _', named('acme|p😀'), 'device_acme_p_', 'acme|p😀'],
  ['one of several with the token', many(1000), 'device_acme_d3', 'acme|d3'],
]
for (const [title, bearers, userName, expected] of table) {
  test(`${userName}, ${title}: ${expected}`, async () => {
    const { find } = world(new Map([[hashOf('token'), bearers]]))
    assert.equal(textOf(await find(userName, 'token')), expected)
  })
}

test('devices that are called the same are told apart by their tokens, asked in one question', async () => {
  const { find, asked } = world(
    new Map([
      [hashOf('one'), named('acme|pump.7')],
      [hashOf('two'), named('acme|pump 7')],
    ]),
  )
  const name = 'device_acme_pump_7'
  const answers = await Promise.all([find(name, 'one'), find(name, 'two'), find(name, 'one')])
  assert.deepEqual(answers.map(textOf), ['acme|pump.7', 'acme|pump 7', 'acme|pump.7'])
  assert.deepEqual(asked, [[hashOf('one'), hashOf('two')]])
})

test('an outage: who was found before is found, by the very same password, and nobody else', async () => {
  const bearers = new Map<string, TokenBearers>([[hashOf('one'), named('acme|pump')]])
  const { find, findAway } = world(bearers)
  const name = 'device_acme_pump'
  assert.equal(textOf(await findAway(name, 'one')), 'registry_unavailable')
  assert.equal(textOf(await find(name, 'one')), 'acme|pump')
  assert.equal(textOf(await findAway(name, 'one')), 'acme|pump')
  assert.equal(textOf(await findAway(name, 'two')), 'registry_unavailable')
  assert.equal(textOf(await findAway('device_acme_valve', 'one')), 'registry_unavailable')
})

test('an outage: who was found to be nobody since is nobody', async () => {
  const bearers = new Map<string, TokenBearers>([[hashOf('one'), named('acme|pump')]])
  const { find, findAway } = world(bearers)
  const name = 'device_acme_pump'
  await find(name, 'one')
  bearers.clear()
  assert.equal(textOf(await find(name, 'one')), 'account_device_unknown')
  assert.equal(textOf(await findAway(name, 'one')), 'registry_unavailable')
})

test('an outage: no more accounts are remembered than the bound', async () => {
  const devices = named('acme|a', 'acme|b', 'acme|c')
  const { find, findAway } = world(new Map([[hashOf('one'), devices]]), 2)
  for (const { deviceId } of devices) await find(`device_acme_${deviceId}`, 'one')
  assert.equal(textOf(await findAway('device_acme_a', 'one')), 'registry_unavailable')
  assert.equal(textOf(await findAway('device_acme_c', 'one')), 'acme|c')
})

test('the table is asked by the hash, for all tenants', async (t) => {
  const { database, schema } = await openRegistry(t, {
    prepare: `${PUMP};
      UPDATE device_registry SET provision_token_hash = '${hashOf('one')}', status = 'SUSPENDED';
      INSERT INTO device_registry (tenant_id, device_id, site_id, provision_token_hash) VALUES
        ('other', 'pump-7', 'n', '${hashOf('two')}'), ('other', 'a', 'n', '${hashOf('two')}'),
        ('other', 'none', 'n', NULL)`,
  })
  const reader = new RegistryReader(database, schema)
  const hashes = ['two', 'nobody', 'one'].map(hashOf)
  const [two, nobody, one] = await reader.bearers(hashes, 9)
  assert.ok(typeof two === 'object')
  assert.deepEqual(new Set(two), new Set(named('other|a', 'other|pump-7')))
  assert.deepEqual([nobody, one], [[], named('acme|pump-7')])
  const [bounded] = await reader.bearers(hashes, 1)
  assert.equal(bounded?.length, 1)
})

test('where row-level security shows one tenant at a time, nobody is found', async (t) => {
  const { database, schema } = await openRegistry(t, {
    prepare: `${PUMP}; UPDATE device_registry SET provision_token_hash = '${hashOf('one')}';
      ${FORCED}`,
  })
  // What such a database comes to when the login role may not become one that sees all tenants.
  const byTenant = { ...schema(), read: { role: undefined, byTenant: true } }
  const reader = new RegistryReader(database, () => byTenant)
  assert.deepEqual(await reader.bearers([hashOf('one')], 9), ['hidden'])
})
