import type {
  DeniedPublish,
  DeviceReport,
  PublishedTelemetry,
  TelemetrySink,
} from '../../broker/ports.ts'

/** A sink whose COMMIT the test decides on; by default everything commits at once. */
export class HeldSink implements TelemetrySink {
  readonly taken: PublishedTelemetry[] = []
  readonly reports: DeviceReport[] = []
  readonly denied: DeniedPublish[] = []
  hold = false
  hasRoom = true
  #held: { commit: () => void; refuse: (err: Error) => void }[] = []
  #waitingForRoom: (() => void)[] = []
  #watchers: { count: number; resolve: () => void }[] = []

  append(telemetry: PublishedTelemetry): Promise<void> {
    this.taken.push(telemetry)
    this.#watchers = this.#watchers.filter(({ count, resolve }) => {
      if (this.taken.length < count) return true
      resolve()
      return false
    })
    return this.#settled()
  }

  report(report: DeviceReport): Promise<void> {
    this.reports.push(report)
    return this.#settled()
  }

  #settled(): Promise<void> {
    if (!this.hold) return Promise.resolve()
    return new Promise((commit, refuse) => this.#held.push({ commit, refuse }))
  }

  onRoom(then: () => void): void {
    this.#waitingForRoom.push(then)
  }

  recordDenied(denied: DeniedPublish): void {
    this.denied.push(denied)
  }

  /** Settles once so many messages were handed over. */
  took(count: number): Promise<void> {
    if (this.taken.length >= count) return Promise.resolve()
    return new Promise((resolve) => this.#watchers.push({ count, resolve }))
  }

  commit(): void {
    for (const { commit } of this.#held.splice(0)) commit()
  }

  refuse(): void {
    for (const { refuse } of this.#held.splice(0)) refuse(new Error('not taken'))
  }

  room(): void {
    this.hasRoom = true
    for (const then of this.#waitingForRoom.splice(0)) then()
  }
}
