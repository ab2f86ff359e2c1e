import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withLivePart } from '../../config/live.ts'
import { loadConfig, type LoadedConfig } from '../../config/load.ts'

const ACCOUNTS = `listener 1883
password_file /p
`

function load(text: string, environment: Readonly<Record<string, string>> = {}): LoadedConfig {
  return loadConfig({
    file: 'm.conf',
    ports: [],
    environment,
    files: {
      read: () => Buffer.from(text),
      list: () => [],
    },
  })
}

const accessIn = ({ config }: LoadedConfig) => config.listeners.map((each) => each.accountAccess)
const warningsOf = ({ warnings }: LoadedConfig) => warnings.map(({ problem }) => problem)

const ONLY_SERVICE =
  'Listener 1883 has no acl_file: with tenancy only service_pulse may publish and subscribe there (MIDGE_SERVICE_ACCOUNTS).'

test('with tenants, accounts without an acl_file have nothing but for those named for everything', () => {
  const loaded = load(ACCOUNTS, { MIDGE_TENANCY: 'on' })
  assert.deepEqual(accessIn(loaded), [['service_pulse']])
  assert.deepEqual(warningsOf(loaded), [ONLY_SERVICE])
})

test('other accounts can be named', () => {
  const environment = { MIDGE_TENANCY: 'on', MIDGE_SERVICE_ACCOUNTS: 'ops, service_pulse,,ui' }
  assert.deepEqual(accessIn(load(ACCOUNTS, environment)), [['ops', 'service_pulse', 'ui']])
})

test('without tenants every account has everything, as in Mosquitto', () => {
  const loaded = load(ACCOUNTS)
  assert.deepEqual(accessIn(loaded), ['everything'])
  assert.deepEqual(warningsOf(loaded), [])
})

test('an acl_file that a reload takes away leaves nothing open, whatever becomes of tenancy', () => {
  const before = load(`${ACCOUNTS}acl_file /a\n`, { MIDGE_TENANCY: 'on' })
  assert.deepEqual(warningsOf(before), [])
  for (const tenancy of ['on', 'off']) {
    const after = load(ACCOUNTS, { MIDGE_TENANCY: tenancy })
    const [listener] = withLivePart(before.config, after.config).listeners
    assert.equal(listener?.aclFile, undefined)
    assert.deepEqual(listener?.accountAccess, ['service_pulse'])
  }
})
