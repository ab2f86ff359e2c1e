/**
 * What Aedes may know of the store: Wills. Sessions, subscriptions, queues and retained messages are
 * kept by the store itself and served by open-connection.ts, so Aedes finds none.
 */
import { Readable } from 'node:stream'
import { AedesPersistence } from '../store/index.ts'

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
    return Readable.from([])
  }

  override createRetainedStreamCombi(): Readable {
    return Readable.from([])
  }
}
