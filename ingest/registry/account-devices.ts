/**
 * Whose an account of a password file is that is called `device_{tenant}_{device}`. Different devices
 * can be called the same there, so the name alone says nothing: the device is the one whose provision
 * token was the password, and which is called so.
 */
import type { Clock } from '../../core/clock.ts'
import { BatchLoader } from './batch-loader.ts'
import type { Persistence } from './persistence.ts'
import type { RegistryReader } from './reader.ts'
import type { DeviceAccount, DeviceName, TokenBearers } from './records.ts'
import { TtlCache } from './ttl-cache.ts'

/** Why an account is no device's; closed set. */
export type AccountRefusal =
  /** No device with this token is called so. */
  | 'account_device_unknown'
  /** Several are. */
  | 'account_device_ambiguous'
  /** Row-level security shows one tenant at a time. */
  | 'registry_hidden'
  /** No answer in time. */
  | 'registry_unavailable'
  | 'registry_off'

export type AccountDevice =
  | { readonly found: true; readonly tenantId: string; readonly deviceId: string }
  | { readonly found: false; readonly reason: AccountRefusal }

export interface AccountDevicesParts {
  readonly maxEntries: number
  readonly reader: Pick<RegistryReader, 'bearers'>
  readonly persistence: Persistence
  readonly clock: Pick<Clock, 'monotonic' | 'sleep'>
}

const PATIENCE_MS = 3_000
/** What an outage is bridged with, and nothing else: the password has been right again by then. */
const REMEMBERED_MS = 86_400_000
/** Devices looked at that share a token; with more of them nobody is sure to be the only one. */
const MAX_BEARERS = 1_000

export class AccountDevices {
  readonly #clock: Pick<Clock, 'sleep'>
  readonly #loader: BatchLoader<string, TokenBearers>
  /** By token hash and user name. */
  readonly #remembered: TtlCache<DeviceName>

  constructor({ maxEntries, reader, persistence, clock }: AccountDevicesParts) {
    this.#clock = clock
    this.#remembered = new TtlCache(maxEntries, clock)
    this.#loader = new BatchLoader({
      fetch: (hashes) => reader.bearers(hashes, MAX_BEARERS + 1),
      loaded: () => undefined,
      persistence,
    })
  }

  /**
   * Asks the database each time. While it is away, an account that was found before is still that
   * device's, as a certificate would be; any other is nobody's. Never rejects.
   */
  async find({ userName, tokenHash }: DeviceAccount): Promise<AccountDevice> {
    const key = `${tokenHash} ${userName}`
    const bearers = await this.#ask(tokenHash)
    if (bearers === undefined) {
      const name = this.#remembered.peek(key)
      return name === undefined ? refused('registry_unavailable') : { found: true, ...name }
    }
    const answer = deviceAmong(bearers, userName)
    if (answer.found) {
      const { tenantId, deviceId } = answer
      this.#remembered.put(key, { tenantId, deviceId }, REMEMBERED_MS)
    } else this.#remembered.delete(key)
    return answer
  }

  /** Undefined: the database gave no answer in time. */
  async #ask(tokenHash: string): Promise<TokenBearers | undefined> {
    const patience = new AbortController()
    try {
      const answer = await Promise.race([
        this.#loader.load(tokenHash, tokenHash),
        this.#clock.sleep(PATIENCE_MS, patience.signal),
      ])
      return answer ?? undefined
    } catch {
      return undefined
    } finally {
      patience.abort()
    }
  }
}

function deviceAmong(bearers: TokenBearers, userName: string): AccountDevice {
  if (bearers === 'hidden') return refused('registry_hidden')
  if (bearers.length > MAX_BEARERS) return refused('account_device_ambiguous')
  const [device, ...others] = bearers.filter((name) => isCalled(name, userName))
  if (device === undefined) return refused('account_device_unknown')
  return others.length > 0 ? refused('account_device_ambiguous') : { found: true, ...device }
}

/**
 * Is this the account of that device, by its name? What writes the file may take letters of all
 * scripts for alphanumeric, or those of ASCII alone.
 */
export function isCalled({ tenantId, deviceId }: DeviceName, userName: string): boolean {
  return [/[^A-Za-z0-9_-]/gu, /[^\p{L}\p{N}_-]/gu].some((unsafe) => {
    const [tenant, device] = [tenantId.replace(unsafe, '_'), deviceId.replace(unsafe, '_')]
    return userName === `device_${tenant}_${device}`
  })
}

function refused(reason: AccountRefusal): AccountDevice {
  return { found: false, reason }
}
