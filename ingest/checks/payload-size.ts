import type { Check } from './check.ts'

/** PAYLOAD_TOO_LARGE: one byte more than `maxPayloadBytes`, as the payload arrived. Read each time. */
export function payloadSize(limits: { readonly maxPayloadBytes: number }): Check {
  return ({ telemetry }) =>
    telemetry.payload.length > limits.maxPayloadBytes ? 'PAYLOAD_TOO_LARGE' : undefined
}
