/** The mqemitter interface with nobody behind it: messages are routed by router.ts. */
type Done = (err?: Error | null) => void

export const silentEmitter = {
  on(_topic: string, _listener: unknown, done?: Done): void {
    done?.()
  },
  removeListener(_topic: string, _listener: unknown, done?: Done): void {
    done?.()
  },
  emit(_message: unknown, done?: Done): void {
    done?.()
  },
  close(done?: Done): void {
    done?.()
  },
}
