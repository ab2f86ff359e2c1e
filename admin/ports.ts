/** What the HTTP side asks of the rest; app.ts joins them. */

export interface AdminPorts {
  /** Numbers the platform's operations worker reads; `last_write_at` is the last COMMIT. */
  counters(): {
    readonly messages_received: number
    readonly messages_written: number
    readonly messages_rejected: number
    readonly queue_depth: number
    readonly last_write_at: string | null
  }
  /** Why the process cannot take telemetry now, if so. */
  readiness(): { readonly ready: true } | { readonly ready: false; readonly reason: string }
  readonly metrics: { metrics(): Promise<string>; readonly contentType: string }
  /** Undefined: ingest is off, and there is no HTTP for devices. */
  readonly devices?: DevicePort | undefined
}

export interface TokenDevice {
  readonly tenantId: string
  readonly deviceId: string
}

/** For devices that ask over HTTP. Rejects while the database is away. */
export interface DevicePort {
  /** Undefined: the token of no device that may. */
  identify(token: string): Promise<TokenDevice | undefined>
  /** `desired` is JSON text; undefined: there is no state of this device yet. */
  shadow(
    device: TokenDevice,
  ): Promise<{ readonly desired: string; readonly version: number } | undefined>
  /** @param reported JSON text of an object; false: it cannot be stored */
  report(device: TokenDevice, reported: string, version: number): Promise<boolean>
  /** JSON text of an array of command_id, type, params, expires_at. */
  pendingCommands(device: TokenDevice): Promise<string>
  acknowledge(
    device: TokenDevice,
    commandId: string,
    answer: { readonly status: string; readonly details: object | null },
  ): Promise<'acknowledged' | 'unknown' | 'invalid'>
}
