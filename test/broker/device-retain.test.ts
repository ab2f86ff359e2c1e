import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { PasswordAccounts } from '../../broker/index.ts'
import { hashPassword } from '../../config/password-hash.ts'
import { parsePasswordFile } from '../../config/password-file.ts'
import { startBroker } from '../helpers/broker.ts'
import { HeldSink } from '../helpers/held-sink.ts'
import { mutualTls } from '../helpers/mutual-tls.ts'
import { RawClient } from '../helpers/raw-client.ts'

const P = 'tenant/acme/device/pump-7'
const pki = mutualTls()
const certificate = pki.device('acme/pump-7')
const random = (bytes: number) => randomBytes(bytes)
const accounts = new PasswordAccounts(
  parsePasswordFile(`service_pulse:${hashPassword('secret', { random, iterations: 1 })}`, 'passwd'),
  { random },
)
const rules = { tenancy: true, acl: undefined, accountAccess: new Set(['service_pulse']) }

async function startWorld(t: TestContext, deviceRetain: 'honour' | 'clear' | undefined) {
  const { broker, port } = await startBroker(t, {
    ...pki.listener(),
    tenancy: true,
    rules,
    sink: new HeldSink(),
    ...(deviceRetain === undefined ? {} : { deviceRetain }),
    also: [{ listener: { name: 'accounts', allowAnonymous: false }, accounts, rules }],
  })
  const device = await pki.connect(t, port, certificate)
  assert.equal((await device.connect({ clientId: 'pump-7' })).returnCode, 0)
  const service = async () => {
    const client = await RawClient.tcp(broker.portOf('accounts'))
    t.after(() => client.destroy())
    const login = { userName: 'service_pulse', password: 'secret' }
    assert.equal((await client.connect(login)).returnCode, 0)
    return client
  }
  return { device, service }
}

/** What a client that subscribes now finds retained, up to a mark that it sets itself. */
async function retained(client: RawClient): Promise<string[]> {
  assert.deepEqual(await client.subscribe('#', 1), [1])
  await client.publish('mark', 'mark')
  const found: string[] = []
  for (;;) {
    const { topic, payload, retain } = await client.receive()
    if (topic === 'mark') return found.sort()
    found.push(`${topic} ${String(payload)} ${retain}`)
  }
}

const DESIRED = `${P}/shadow/desired {"desired":{}} true`
const CASES = [
  [undefined, [DESIRED, `${P}/telemetry {"site_id":"north"} true`]],
  ['honour', [DESIRED, `${P}/telemetry {"site_id":"north"} true`]],
  ['clear', [DESIRED]],
] as const

test('a device may retain what it publishes, unless that is cleared; an account always may', async (t) => {
  for (const [deviceRetain, expected] of CASES) {
    await t.test(String(deviceRetain), async (t) => {
      const { device, service } = await startWorld(t, deviceRetain)
      const watching = await service()
      await watching.subscribe(`${P}/telemetry`, 1)
      await watching.publish(`${P}/shadow/desired`, '{"desired":{}}', { qos: 1, retain: true })
      await device.publish(`${P}/telemetry`, '{"site_id":"north"}', { qos: 1, retain: true })
      const { payload } = await watching.receive()
      assert.equal(String(payload), '{"site_id":"north"}')
      assert.deepEqual(await retained(await service()), expected)
    })
  }
})

test('a device whose retain flag is cleared cannot clear what others retained either', async (t) => {
  for (const [deviceRetain, kept] of [
    ['honour', 0],
    ['clear', 1],
  ] as const) {
    const { device, service } = await startWorld(t, deviceRetain)
    await (await service()).publish(`${P}/telemetry`, '{}', { qos: 1, retain: true })
    await device.publish(`${P}/telemetry`, '', { qos: 1, retain: true })
    assert.equal((await retained(await service())).length, kept, deviceRetain)
  }
})
