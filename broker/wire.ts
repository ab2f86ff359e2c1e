/** What is known of the packets of all connections: counted always, written down when asked for. */
import type { LogConfig } from '../config/types.ts'
import { PacketTrace, wantsPackets } from './packet-trace.ts'
import { Traffic } from './traffic.ts'

export class Wire {
  readonly traffic = new Traffic()
  readonly trace = new PacketTrace()
  readonly #tracePrefix: string
  #arrivals = 0

  /** @param tracePrefix of this start: 16 hexadecimal digits */
  constructor(log: LogConfig, tracePrefix: string) {
    this.#tracePrefix = tracePrefix
    this.replaceLog(log)
  }

  /** Packets are written down from now on, or no longer. */
  replaceLog(log: LogConfig): void {
    this.trace.isOn = wantsPackets(log)
  }

  /** One per connection, as the trace ids of W3C Trace Context are: 32 hexadecimal digits. */
  nextTraceId(): string {
    return this.#tracePrefix + (++this.#arrivals).toString(16).padStart(16, '0')
  }
}
