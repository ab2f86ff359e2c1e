import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planOf } from '../../../ingest/downlink/batch-plan.ts'
import type { CommandAck, ShadowReport } from '../../../ingest/downlink/report.ts'

const shadow = (tenantId: string, deviceId: string, reported: string, version: number) =>
  ({ kind: 'shadow_reported', tenantId, deviceId, reported, version }) satisfies ShadowReport
const ack = (tenantId: string, deviceId: string, commandId: string) =>
  ({ kind: 'command_ack', tenantId, deviceId, commandId, ackDetails: '{}' }) satisfies CommandAck

test('tenants are apart and in order, and no report is forgotten', () => {
  const plans = planOf([
    shadow('b', 'x', '{"n":1}', 9),
    ack('a', 'x', 'c'),
    shadow('b', 'w', '{}', 1),
    shadow('b', 'x', '{"n":2}', 3),
    ack('b', 'x', 'c'),
    ack('a', 'x', 'c'),
    ack('a', 'y', 'c'),
  ])
  assert.deepEqual(
    plans.map(({ tenantId, shadows, acks, repeated }) => ({
      tenantId,
      shadows: shadows.map(({ report, places }) => [
        report.deviceId,
        report.reported,
        report.version,
        places,
      ]),
      acks: acks.map(({ report, places }) => [report.deviceId, report.commandId, places]),
      repeated,
    })),
    [
      {
        tenantId: 'a',
        shadows: [],
        acks: [
          ['x', 'c', [1]],
          ['y', 'c', [6]],
        ],
        repeated: [5],
      },
      {
        tenantId: 'b',
        shadows: [
          ['w', '{}', 1, [2]],
          ['x', '{"n":2}', 9, [0, 3]],
        ],
        acks: [['x', 'c', [4]]],
        repeated: [],
      },
    ],
  )
})
