/** The stream Aedes takes for a socket: our end feeds it packets and takes what it writes. */
import { Duplex } from 'node:stream'

export class ClientStream extends Duplex {
  constructor() {
    super({ autoDestroy: true })
  }

  /** Bytes Aedes wrote. */
  protected written(_bytes: Buffer): void {}

  /** Aedes, or we, let go; called once. */
  protected released(): void {}

  // mqtt-packet corks and uncorks a tick later; the bytes are joined on our side of the stream, and
  // held back here they would be overtaken by those we write ourselves.
  override cork(): void {}
  override uncork(): void {}

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: (err?: Error) => void): void {
    this.written(chunk)
    done()
  }

  override _destroy(_err: Error | null, done: (err?: Error | null) => void): void {
    this.released()
    // What went wrong is told by our own end; here it would only be an unhandled 'error' event.
    done(null)
  }
}
