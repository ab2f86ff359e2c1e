/**
 * The rules a reload may change. Whoever was given `limits` or `mqtt` once reads what is in force at
 * each use, for the price of a field: the objects stay, and their fields change within one call.
 */
import type { Config, LimitsConfig, MqttConfig } from '../config/types.ts'
import { DEFAULT_MQTT } from './mqtt-rules.ts'

export type Rules = Pick<Config, 'limits' | 'mqtt' | 'deniedPublish' | 'sysInterval'>

export class RulesInForce {
  readonly limits: LimitsConfig
  readonly mqtt: MqttConfig
  #deniedPublish: Config['deniedPublish']
  #sysInterval: number

  constructor({ limits, mqtt = DEFAULT_MQTT, deniedPublish, sysInterval }: Rules) {
    this.limits = { ...limits }
    this.mqtt = { ...mqtt }
    this.#deniedPublish = deniedPublish
    this.#sysInterval = sysInterval
  }

  get deniedPublish(): Config['deniedPublish'] {
    return this.#deniedPublish
  }

  get sysInterval(): number {
    return this.#sysInterval
  }

  replace({ limits, mqtt = DEFAULT_MQTT, deniedPublish, sysInterval }: Rules): void {
    Object.assign(this.limits, limits)
    Object.assign(this.mqtt, mqtt)
    this.#deniedPublish = deniedPublish
    this.#sysInterval = sysInterval
  }
}
