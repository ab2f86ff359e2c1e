import { OperationalError } from '../../core/errors.ts'

/** A CONNECT that MQTT wants answered with a refusal before the connection is closed. */
export class ConnectRejected extends OperationalError {
  /** For a metric: which of the two it was. */
  readonly reason: 'protocol_level' | 'client_id'
  /** The CONNACK to write before closing, in the form the client's MQTT version reads. */
  readonly reply: Buffer

  constructor(reason: 'protocol_level' | 'client_id', message: string, reply: Buffer) {
    super('CONNECT_REJECTED', message)
    this.reason = reason
    this.reply = reply
  }
}
