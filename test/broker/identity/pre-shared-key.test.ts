import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keyOf, pskIdentityOf } from '../../../broker/identity/index.ts'
import { mayPublish, maySubscribe } from '../../../broker/access/index.ts'

const long = (length: number) => 'x'.repeat(length)

const refused: readonly [identity: string | undefined, reason: string][] = [
  [undefined, 'no_identity'],
  ['', 'no_identity'],
  ['/', 'psk_identity'],
  ['acme/', 'psk_identity'],
  ['/pump', 'psk_identity'],
  ['acme//pump', 'psk_identity'],
  ['acme/pump/7', 'psk_identity'],
  ['acme/pump/', 'psk_identity'],
  ['+/pump', 'psk_identity'],
  ['acme/+', 'psk_identity'],
  ['acme/#', 'psk_identity'],
  ['acme/pump\u0000', 'psk_identity'],
  ['acme/pump\n', 'psk_identity'],
  ['acme/\ud800', 'psk_identity'],
  [`acme/${long(196)}`, 'psk_identity'],
  [`${long(300)}/pump`, 'psk_identity'],
]
for (const [identity, reason] of refused) {
  test(`with tenancy ${JSON.stringify(identity)?.slice(0, 20)} is nobody`, () => {
    assert.equal(pskIdentityOf(identity, true), reason)
  })
}

test('without tenancy any identity but an empty one is an account', () => {
  for (const userName of ['pump', 'acme/pump', 'a/b/c', '/', '+']) {
    assert.deepEqual(pskIdentityOf(userName, false), { kind: 'account', userName })
  }
  assert.equal(pskIdentityOf('', false), 'no_identity')
})

test('with tenancy an identity without a slash is an account, also one that looks like a device', () => {
  for (const userName of ['pump', 'service_pulse', 'acme\\pump', 'device_acme_pump', '#']) {
    assert.deepEqual(pskIdentityOf(userName, true), { kind: 'account', userName })
  }
})

test('with tenancy tenant/device is that device, without a certificate', () => {
  for (const userName of ['acme/pump-7', 'Acme/Pump 7', '$SYS/x', `acme/${long(195)}`]) {
    const identity = pskIdentityOf(userName, true)
    assert.ok(typeof identity !== 'string' && identity.kind === 'device', userName)
    const [tenant, device] = userName.split('/')
    assert.deepEqual(
      { ...identity },
      {
        kind: 'device',
        userName,
        tenantId: tenant,
        deviceId: device,
        topicPrefix: `tenant/${tenant}/device/${device}/`,
        certificate: undefined,
      },
    )
    assert.ok(Object.isFrozen(identity))
  }
})

test('it is bound by the prefix of the device, whatever its Client Identifier says', () => {
  const identity = pskIdentityOf('acme/pump-7', true)
  assert.ok(typeof identity !== 'string')
  const subject = { identity, clientId: 'acme/pump-70' }
  const rules = { tenancy: true, acl: undefined, accountAccess: new Set(['acme/pump-7']) }
  const own = 'tenant/acme/device/pump-7/'
  for (const topic of [
    'tenant/acme/device/pump-70/telemetry',
    'tenant/acme/device/x/y',
    'a',
    '#',
  ]) {
    assert.equal(mayPublish(subject, topic, rules).allowed, false, topic)
    assert.equal(maySubscribe(subject, topic, rules).allowed, false, topic)
  }
  assert.equal(maySubscribe(subject, 'tenant/+/device/pump-7/shadow/desired', rules).allowed, false)
  assert.equal(mayPublish(subject, `${own}telemetry`, rules).allowed, true)
  assert.equal(maySubscribe(subject, `${own}shadow/desired`, rules).allowed, true)
})

test('an account and a device of one name have no Session in common', () => {
  const [device, account] = [true, false].map((tenancy) => pskIdentityOf('acme/pump-7', tenancy))
  assert.ok(typeof device === 'object' && typeof account === 'object')
  assert.notEqual(keyOf(device), keyOf(account))
})
