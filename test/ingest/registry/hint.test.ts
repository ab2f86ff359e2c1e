import assert from 'node:assert/strict'
import { test } from 'node:test'
import { probeText, readNotification } from '../../../ingest/registry/hint.ts'

const pump = { tenantId: 'acme', deviceId: 'pump-7' }
const long = 'x'.repeat(200)

const table: readonly (readonly [payload: string | undefined, expected: unknown])[] = [
  [undefined, 'everything'],
  ['', 'everything'],
  ['{}', 'everything'],
  ['null', 'everything'],
  ['[]', 'everything'],
  ['7', 'everything'],
  ['"acme/pump-7"', 'everything'],
  ['{"tenant_id":"acme"', 'everything'],
  ['{"tenant_id":"acme"}', 'everything'],
  ['{"tenant_id":"acme","device_id":7}', 'everything'],
  ['{"tenant_id":["acme"],"device_id":"pump-7"}', 'everything'],
  ['{"tenant_id":"acme","device_id":""}', 'everything'],
  ['{"tenant_id":"acme","device_id":"pump\\u00007"}', 'everything'],
  ['{"tenant_id":"acme","device_id":"pump\\ud8007"}', 'everything'],
  ['{"tenant_id":"acme","device_id":"a/b"}', 'everything'],
  ['{"tenant_id":"acme","device_id":"+"}', 'everything'],
  [`{"tenant_id":"acme","device_id":"${long}x"}`, 'everything'],
  ['{"__proto__":{"tenant_id":"acme","device_id":"pump-7"}}', 'everything'],
  ['{"probe":7}', 'everything'],
  ['['.repeat(7999), 'everything'],
  ['{"tenant_id":"acme","device_id":"pump-7"}', pump],
  ['{"tenant_id":"acme","device_id":"pump-7","status":"ACTIVE"}', pump],
  [`{"tenant_id":"${long}","device_id":"${long}"}`, { tenantId: long, deviceId: long }],
  [
    `{"tenant_id":"acme'; DROP TABLE telemetry; --","device_id":"\\\\"}`,
    { tenantId: "acme'; DROP TABLE telemetry; --", deviceId: '\\' },
  ],
  [probeText('nonce'), { probe: 'nonce' }],
]
for (const [payload, expected] of table) {
  const shown = payload === undefined ? 'nothing' : payload.slice(0, 60)
  test(`a notification that says ${shown} is a hint at ${JSON.stringify(expected).slice(0, 60)}`, () => {
    assert.deepEqual(readNotification(payload), expected)
  })
}
