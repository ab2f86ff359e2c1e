import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Connections, type ConnectDecision } from '../../../ingest/registry/connections.ts'
import type { DeviceAnswer, UnlistedCertificate } from '../../../ingest/registry/records.ts'
import { FakeClock } from '../../helpers/clock.ts'

const record = (status: string) => ({ status }) as unknown as DeviceAnswer

/** Of a device with a pre-shared key: it has shown no certificate, so none is asked about. */
function decide(
  device: DeviceAnswer | Error,
  unlisted: UnlistedCertificate,
): Promise<ConnectDecision> {
  const connections = new Connections({
    devices: {
      peek: () => undefined,
      load: () => (device instanceof Error ? Promise.reject(device) : Promise.resolve(device)),
      invalidate: () => undefined,
    },
    certificates: {
      load: () => assert.fail('no certificate was shown'),
      invalidate: () => undefined,
    },
    unlisted,
    clock: new FakeClock(),
  })
  return connections.mayConnect('acme/pump', {
    tenantId: 'acme',
    deviceId: 'pump',
    fingerprint: undefined,
  })
}

const away = new Error('the database is away')
const table: readonly (readonly [
  title: string,
  DeviceAnswer | Error,
  UnlistedCertificate,
  expected: string,
])[] = [
  ['suspended', record('SUSPENDED'), 'token', 'device_inactive'],
  ['suspended', record('SUSPENDED'), 'ca', 'device_inactive'],
  [
    'active, where only listed certificates count',
    record('ACTIVE'),
    'strict',
    'certificate_unlisted',
  ],
  [
    'unregistered, where only listed certificates count',
    'unregistered',
    'strict',
    'certificate_unlisted',
  ],
  [
    'asked about in an outage, where only listed ones count',
    away,
    'strict',
    'registry_unavailable',
  ],
  ['active', record('ACTIVE'), 'token', 'admitted'],
  ['unregistered', 'unregistered', 'token', 'admitted'],
  ['asked about in an outage', away, 'token', 'admitted'],
]
for (const [title, device, unlisted, expected] of table) {
  test(`a device without a certificate, ${title}, policy ${unlisted}: ${expected}`, async () => {
    const decision = await decide(device, unlisted)
    assert.equal(decision.admitted ? 'admitted' : decision.reason, expected)
  })
}
