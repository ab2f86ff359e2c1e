import type { Message } from '../decode.ts'
import type { Check } from './check.ts'

const MAX_METRICS = 50
/** More than 128 characters: code points, neither bytes nor UTF-16 units. */
const LONG_NAME = /^.{129}/su

/**
 * TOO_MANY_METRICS, METRIC_KEY_TOO_LONG, METRIC_KEY_INVALID, in this order: what telemetry that comes
 * over HTTP has to keep to. Parses the metrics once more, so it costs as much as decoding did.
 */
export const metricLimits: Check = ({ metrics }: Message) => {
  const names = namesOf(metrics)
  if (names.length > MAX_METRICS) return 'TOO_MANY_METRICS'
  if (names.some(isTooLong)) return 'METRIC_KEY_TOO_LONG'
  return names.some(hasControl) ? 'METRIC_KEY_INVALID' : undefined
}

function namesOf(metrics: Uint8Array): readonly string[] {
  const value: unknown = JSON.parse(Buffer.from(metrics).toString())
  return typeof value === 'object' && value !== null ? Object.keys(value) : []
}

function isTooLong(name: string): boolean {
  return LONG_NAME.test(name)
}

function hasControl(name: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return /[\u0000-\u001f]/u.test(name)
}
