/**
 * A WebSocket that carries binary messages only: MQTT 3.1.1 §6 ends the connection for any other
 * [MQTT-6.0.0-1]. What stands in a text message, and whatever follows it, is never handed on.
 */
import { codeOf, messageOf } from '../../core/errors.ts'
import { MalformedPacket, PacketTooLarge } from '../packets/index.ts'
import { WebSocket } from 'ws'

/** Close codes of RFC 6455 §7.4.1. */
const UNSUPPORTED_DATA = 1003

export class BinaryWebSocket extends WebSocket {
  #ended = false
  #isPonging = false
  #owedPong: unknown

  // Here and not in a listener, since the stream around the WebSocket has listeners of its own, and
  // an event cannot be kept from them.
  override emit(event: string | symbol, ...args: readonly unknown[]): boolean {
    switch (event) {
      case 'message':
        return this.#ended || (args[1] === true ? super.emit(event, ...args) : this.#refuseText())
      case 'ping':
        this.#pong(args[0])
        return true
      case 'error':
        this.#ended = true
        return super.emit(event, malformedOf(args[0]))
      default:
        return super.emit(event, ...args)
    }
  }

  #refuseText(): true {
    this.close(UNSUPPORTED_DATA, 'binary messages only')
    this.emit('error', new MalformedPacket('WebSocket: a text message [MQTT-6.0.0-1]'))
    return true
  }

  /**
   * One pong on its way at a time, and the next for the latest ping only (RFC 6455 §5.5.3): ws by
   * itself would keep one for each ping, however many the peer leaves unread.
   */
  #pong(payload: unknown): void {
    if (this.#isPonging) {
      this.#owedPong = payload
      return
    }
    if (this.readyState !== WebSocket.OPEN) return
    this.#isPonging = true
    this.pong(payload, false, () => {
      this.#isPonging = false
      const owed = this.#owedPong
      this.#owedPong = undefined
      if (owed !== undefined) this.#pong(owed)
    })
  }
}

/** What ws finds wrong with a frame is a malformed packet like any other. */
function malformedOf(err: unknown): unknown {
  const code = codeOf(err)
  if (code?.startsWith('WS_ERR_') !== true) return err
  const message = `WebSocket: ${messageOf(err)}`
  return code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH'
    ? new PacketTooLarge(message)
    : new MalformedPacket(message)
}
