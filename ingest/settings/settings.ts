/** What operators change in table app_settings while everything runs. */

export interface Settings {
  /** Anything but DEV keeps rejected payloads out of the database. */
  readonly mode: 'PROD' | 'DEV'
  /** Write rejected messages to quarantine_events. */
  readonly storeRejects: boolean
  /** Read and shown; has no effect. */
  readonly mirrorRejects: boolean
  readonly maxPayloadBytes: number
  /** Messages per second and device. */
  readonly rateLimitRps: number
  readonly rateLimitBurst: number
}

/** Keys of app_settings that are read. */
export const KEYS = [
  'MODE',
  'STORE_REJECTS',
  'MIRROR_REJECTS_TO_RAW',
  'MAX_PAYLOAD_BYTES',
  'RATE_LIMIT_RPS',
  'RATE_LIMIT_BURST',
] as const

export interface SettingDefaults {
  /** Where MAX_PAYLOAD_BYTES is absent, or no number. */
  readonly maxPayloadBytes: number
  /** False: never, whatever the table says. */
  readonly storeRejects: boolean
}

const RPS = 5
const BURST = 20

/** Never throws: a value that is none counts as an absent one. */
export function settingsOf(
  values: ReadonlyMap<string, string>,
  defaults: SettingDefaults,
): Settings {
  const mode = values.get('MODE')?.trim().toUpperCase() === 'DEV' ? 'DEV' : 'PROD'
  const isOn = (key: string) => mode === 'DEV' && values.get(key)?.trim() === '1'
  return {
    mode,
    storeRejects: isOn('STORE_REJECTS') && defaults.storeRejects,
    mirrorRejects: isOn('MIRROR_REJECTS_TO_RAW'),
    maxPayloadBytes: wholeOf(values.get('MAX_PAYLOAD_BYTES')) ?? defaults.maxPayloadBytes,
    rateLimitRps: atLeast0(numberOf(values.get('RATE_LIMIT_RPS'))) ?? RPS,
    rateLimitBurst: numberOf(values.get('RATE_LIMIT_BURST')) ?? BURST,
  }
}

function numberOf(text: string | undefined): number | undefined {
  const trimmed = text?.trim() ?? ''
  return /^[+-]?(?:\d+\.?\d*|\.\d+)$/u.test(trimmed) ? Number(trimmed) : undefined
}

function wholeOf(text: string | undefined): number | undefined {
  const number = numberOf(text)
  return number !== undefined && Number.isSafeInteger(number) && number >= 0 ? number : undefined
}

function atLeast0(number: number | undefined): number | undefined {
  return number !== undefined && number >= 0 ? number : undefined
}
