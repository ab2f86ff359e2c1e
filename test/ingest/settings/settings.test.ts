import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LiveSettings } from '../../../ingest/settings/live-settings.ts'
import { settingsOf, type Settings } from '../../../ingest/settings/settings.ts'
import { RememberingLog } from '../../helpers/log.ts'
import { serverError } from '../server-error.ts'

const DEFAULTS = { maxPayloadBytes: 8192, storeRejects: true }
const NOTHING_SET: Settings = {
  mode: 'PROD',
  storeRejects: false,
  mirrorRejects: false,
  maxPayloadBytes: 8192,
  rateLimitRps: 5,
  rateLimitBurst: 20,
}

const CASES: readonly (readonly [Record<string, string>, Partial<Settings>])[] = [
  [{}, {}],
  [{ MODE: 'DEV' }, { mode: 'DEV' }],
  [{ MODE: 'dev' }, { mode: 'DEV' }],
  [{ MODE: 'STAGING', STORE_REJECTS: '1' }, {}],
  [{ MODE: '', STORE_REJECTS: '1' }, {}],
  [{ STORE_REJECTS: '1', MIRROR_REJECTS_TO_RAW: '1' }, {}],
  [{ MODE: 'PROD', STORE_REJECTS: '1', MIRROR_REJECTS_TO_RAW: '1' }, {}],
  [
    { MODE: 'DEV', STORE_REJECTS: '1' },
    { mode: 'DEV', storeRejects: true },
  ],
  [{ MODE: 'DEV', STORE_REJECTS: '0' }, { mode: 'DEV' }],
  [{ MODE: 'DEV', STORE_REJECTS: 'true' }, { mode: 'DEV' }],
  [
    { MODE: 'DEV', MIRROR_REJECTS_TO_RAW: '1' },
    { mode: 'DEV', mirrorRejects: true },
  ],
  [{ MAX_PAYLOAD_BYTES: '16384' }, { maxPayloadBytes: 16_384 }],
  [{ MAX_PAYLOAD_BYTES: ' 100 ' }, { maxPayloadBytes: 100 }],
  ...['x', '', '1.5', '-1', '1e3', '0x10', 'NaN', 'Infinity', '9'.repeat(30)].map(
    (MAX_PAYLOAD_BYTES) => [{ MAX_PAYLOAD_BYTES }, {}] as const,
  ),
  [
    { RATE_LIMIT_RPS: '10', RATE_LIMIT_BURST: '50' },
    { rateLimitRps: 10, rateLimitBurst: 50 },
  ],
  [{ RATE_LIMIT_RPS: '0.5' }, { rateLimitRps: 0.5 }],
  [{ RATE_LIMIT_RPS: '0' }, { rateLimitRps: 0 }],
  [{ RATE_LIMIT_BURST: '0' }, { rateLimitBurst: 0 }],
  ...['-1', 'many', '', 'Infinity', 'NaN'].map(
    (RATE_LIMIT_RPS) => [{ RATE_LIMIT_RPS }, {}] as const,
  ),
  ...['many', '', 'Infinity'].map((RATE_LIMIT_BURST) => [{ RATE_LIMIT_BURST }, {}] as const),
  [{ UNKNOWN: '1' }, {}],
]

test('each setting has its value, or the default where that is none', () => {
  for (const [values, expected] of CASES) {
    const found = settingsOf(new Map(Object.entries(values)), DEFAULTS)
    assert.deepEqual(found, { ...NOTHING_SET, ...expected }, JSON.stringify(values))
  }
})

test('what the process was told never to store is not stored', () => {
  const values = new Map([
    ['MODE', 'DEV'],
    ['STORE_REJECTS', '1'],
  ])
  assert.equal(settingsOf(values, { ...DEFAULTS, storeRejects: false }).storeRejects, false)
})

function live(answers: (Record<string, string> | Error)[], hasTable = true) {
  const remembering = new RememberingLog()
  const rows = async (): Promise<never[]> => {
    const answer = answers.shift() ?? {}
    if (answer instanceof Error) throw answer
    return Object.entries(answer).map(([key, value]) => ({ key, value })) as never[]
  }
  const settings = new LiveSettings({
    database: { rows },
    hasTable: () => hasTable,
    defaults: DEFAULTS,
    log: remembering.log,
  })
  return { settings, remembering }
}

test('values change with a poll, under those who hold the settings', async () => {
  const { settings, remembering } = live([
    { RATE_LIMIT_RPS: '7' },
    { RATE_LIMIT_RPS: '7' },
    { RATE_LIMIT_RPS: '8', MAX_PAYLOAD_BYTES: '9', MODE: 'DEV', STORE_REJECTS: '1' },
    {},
  ])
  assert.equal(settings.rateLimitRps, 5)
  await settings.poll()
  assert.equal(settings.rateLimitRps, 7)
  await settings.poll()
  const changes = () => remembering.lines.filter(({ event }) => event === 'settings.changed').length
  assert.equal(changes(), 1)
  await settings.poll()
  assert.deepEqual(
    [settings.rateLimitRps, settings.maxPayloadBytes, settings.mode, settings.storeRejects],
    [8, 9, 'DEV', true],
  )
  await settings.poll()
  assert.deepEqual(
    [settings.rateLimitRps, settings.maxPayloadBytes, settings.mode, settings.storeRejects],
    [5, 8192, 'PROD', false],
  )
})

test('a poll that fails keeps what was in force, and says so', async () => {
  const { settings, remembering } = live([
    { RATE_LIMIT_RPS: '7', MODE: 'DEV' },
    serverError('57P01'),
    new Error('socket'),
    { RATE_LIMIT_RPS: '8' },
  ])
  await settings.poll()
  for (let i = 0; i < 2; i++) {
    await settings.poll()
    assert.equal(settings.rateLimitRps, 7)
    assert.equal(settings.mode, 'DEV')
  }
  const failures = remembering.lines.filter(({ event }) => event === 'settings_refresh_failed')
  assert.equal(failures.length, 2)
  assert.equal(failures[0]?.['level'], 'warn')
  await settings.poll()
  assert.equal(settings.rateLimitRps, 8)
})

test('polls do not overtake one another: while one runs, the next is the same', async () => {
  const { settings } = live([{ RATE_LIMIT_RPS: '7' }, { RATE_LIMIT_RPS: '8' }])
  await Promise.all([settings.poll(), settings.poll()])
  assert.equal(settings.rateLimitRps, 7)
})

test('without the table the settings of the process hold', async () => {
  const { settings } = live([], false)
  await settings.poll()
  assert.equal(settings.storeRejects, true)
  assert.equal(settings.maxPayloadBytes, 8192)
})
