/** Reports for the tests of ingest. */
import { deviceId, tenantId } from '../../../core/names.ts'
import type { DeviceReport } from '../../../ingest/downlink/report.ts'
import { publisher, RECEIVED_AT } from '../messages.ts'

export function reportOf(
  kind: DeviceReport['kind'],
  payload: string | Buffer | object,
  { tenant = 'acme', device = 'pump-7' } = {},
): DeviceReport {
  const below = kind === 'command_ack' ? 'commands/ack' : 'shadow/reported'
  const isText = typeof payload === 'string' || Buffer.isBuffer(payload)
  return {
    kind,
    tenantId: tenantId(tenant),
    deviceId: deviceId(device),
    topic: `tenant/${tenant}/device/${device}/${below}`,
    payload: Buffer.from(isText ? payload : JSON.stringify(payload)),
    qos: 1,
    receivedAt: RECEIVED_AT,
    publisher,
  }
}
