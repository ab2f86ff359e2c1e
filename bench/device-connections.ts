/** MQTT connections of devices over mutual TLS, held by this process; and one that listens for delays. */
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type TLSSocket } from 'node:tls'
import { encodeConnect, encodePingreq } from '../broker/packets/encode-client.ts'
import type { SerialNumber } from '../core/names.ts'
import { readCertificate } from '../pki/certificate.ts'
import type { Devices } from './devices.ts'
import type { TlsBroker } from './tls-brokers.ts'

export interface DeviceConnection {
  readonly socket: TLSSocket
  readonly serial: SerialNumber
}

const AT_ONCE = 16
const CONNACK_BYTES = 4

/** The first `count` devices, each with its own certificate, once each has its CONNACK. */
export async function connectAll(
  devices: Devices,
  broker: TlsBroker,
  count: number,
): Promise<DeviceConnection[]> {
  const lines = readFileSync(devices.ids, 'utf8').trimEnd().split('\n').slice(0, count)
  const ca = readFileSync(devices.serverCa)
  const connections: DeviceConnection[] = []
  for (let i = 0; i < lines.length; i += AT_ONCE) {
    const some = lines.slice(i, i + AT_ONCE)
    connections.push(...(await Promise.all(some.map((line) => connectOne(line, ca, broker)))))
  }
  return connections
}

async function connectOne(line: string, ca: Buffer, broker: TlsBroker): Promise<DeviceConnection> {
  const [tenant = '', device = '', certificateFile = '', keyFile = ''] = line.split(' ')
  const cert = readFileSync(certificateFile)
  const port = broker.ports.mqtts
  const socket = connect({ host: 'localhost', port, ca, cert, key: readFileSync(keyFile) })
  socket.on('error', () => undefined) // what ends a connection is told by 'close'
  socket.setNoDelay(true)
  await once(socket, 'secureConnect')
  socket.write(encodeConnect({ clientId: `${tenant}-${device}`, clean: true, will: undefined }))
  const [connack] = (await once(socket, 'data')) as [Buffer]
  if (connack.length !== CONNACK_BYTES || connack[3] !== 0) {
    throw new Error(`${tenant}/${device}: expected CONNACK 0, found ${connack.toString('hex')}`)
  }
  const { raw } = new X509Certificate(cert)
  return { socket, serial: readCertificate(raw).serialNumber }
}

const PING_EVERY_MS = 2

/** A PINGREQ as soon as the last one is answered and 2 ms are over; remembers the longest wait. */
export class Pinger {
  readonly #socket: TLSSocket
  readonly #timer: NodeJS.Timeout
  #sentAt: number | undefined
  #longestMs = 0

  constructor(socket: TLSSocket) {
    this.#socket = socket
    socket.on('data', this.#answered)
    this.#timer = setInterval(() => {
      if (this.#sentAt !== undefined || socket.destroyed) return
      this.#sentAt = performance.now()
      socket.write(encodePingreq())
    }, PING_EVERY_MS)
  }

  readonly #answered = (): void => {
    if (this.#sentAt === undefined) return
    this.#longestMs = Math.max(this.#longestMs, performance.now() - this.#sentAt)
    this.#sentAt = undefined
  }

  /** @returns milliseconds */
  stop(): number {
    clearInterval(this.#timer)
    this.#socket.off('data', this.#answered)
    return this.#longestMs
  }
}
