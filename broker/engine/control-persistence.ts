/**
 * What Aedes may know of the store: Wills. Sessions, subscriptions, queues and retained messages are
 * kept by the store itself and served by open-connection.ts, so Aedes finds none.
 */
import { Readable } from 'node:stream'
import { AedesPersistence } from '../store/index.ts'

/**
 * Aedes looks through a client's queue after CONNACK, and does nothing but wait for its packets from
 * then on. A queue that is never through costs it nothing: that its pipeline ends would take longer
 * than the rest of CONNECT. Nobody holds the pipeline, so that it is garbage at once.
 */
class UnendingQueue extends Readable {
  override _read(): void {}

  override pipe<T>(destination: T): T {
    return destination
  }
}

export class ControlPersistence extends AedesPersistence {
  override async subscriptionsByClient(): Promise<never[]> {
    return []
  }

  override async addSubscriptions(): Promise<void> {}

  override async removeSubscriptions(): Promise<void> {}

  override async cleanSubscriptions(): Promise<void> {}

  override async cleanIncoming(): Promise<void> {}

  // A Will that Aedes publishes was stored and routed by us before it does.
  override async storeRetained(): Promise<void> {}

  override async subscriptionsByTopic(): Promise<never[]> {
    return []
  }

  override async outgoingEnqueueCombi(): Promise<void> {}

  override outgoingStream(): Readable {
    return new UnendingQueue()
  }

  override createRetainedStreamCombi(): Readable {
    return Readable.from([])
  }
}
