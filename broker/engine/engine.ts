/**
 * The one module that imports Aedes (1.2.0, pinned).
 *
 * Aedes keeps the life of a client: registry, takeover [MQTT-3.1.4-2], CONNACK, DISCONNECT, Wills.
 * Messages do not pass through it: it acknowledges before it routes, drops what was overtaken,
 * stores refused subscriptions and stops when one subscriber stalls. Those ways are ours
 * (open-connection.ts, router.ts, store/), so its emitter and its queues stay empty. A client gets
 * here only after its CONNECT was checked and its identity proved; its Client Identifier here is the
 * key of its Session, never text from the wire alone.
 */
import { Aedes, type Client, type PublishPacket } from 'aedes'
import { OperationalError } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import { encodeConnack, encodeConnect, type ConnectPacket } from '../packets/index.ts'
import type { Publication } from '../router.ts'
import type { MemoryStore } from '../store/index.ts'
import { ClientStream } from './client-stream.ts'
import { ControlPersistence } from './control-persistence.ts'
import { silentEmitter } from './silent-emitter.ts'

const WRITTEN_FOR = '1.2.0'

/** What a client asks of its connection. */
export interface ClientHandlers {
  /** Key of the Session: identity and Client Identifier. */
  readonly key: string
  readonly clean: boolean
  readonly will: ConnectPacket['will']
  /** The client is the only one of its key now; answers Session Present. */
  registered(): boolean
  /** `registered` threw; the client is let go. */
  failed(err: unknown): void
  /** CONNACK 0 was written. */
  acknowledged(): void
  /** The Will is due: the same checks and the same storage as any PUBLISH. */
  sendWill(will: Publication): 'routed' | 'refused' | 'dropped' | Promise<void>
  /** Bytes for the socket. */
  write(bytes: Buffer): void
  /** The engine let go of the client: taken over, or closed with its broker. */
  ended(): void
}

export interface EngineClient {
  /** DISCONNECT came: no Will when it is destroyed [MQTT-3.14.4-3]. */
  disconnect(): void
  /** The socket is gone; the Will is sent unless DISCONNECT came before. */
  destroy(): void
}

/** The end of a client that Aedes holds; carries what its hooks need to know. */
class EngineStream extends ClientStream {
  readonly handlers: ClientHandlers
  sessionPresent = false
  #connack = Buffer.alloc(0)

  constructor(handlers: ClientHandlers) {
    super()
    this.handlers = handlers
  }

  /** Aedes writes one packet, CONNACK, in pieces, and knows Session Present only by subscriptions. */
  protected override written(bytes: Buffer): void {
    if (this.#connack.length >= 4) return
    this.#connack = Buffer.concat([this.#connack, bytes])
    const returnCode = this.#connack[3]
    if (returnCode === undefined) return
    this.handlers.write(encodeConnack(returnCode, returnCode === 0 && this.sessionPresent))
  }

  protected override released(): void {
    this.handlers.ended()
  }
}

function streamOf(client: Client | null): EngineStream | undefined {
  return client?.conn instanceof EngineStream ? client.conn : undefined
}

/** Private to Aedes 1.2.0: set by its own handler of DISCONNECT, read when it decides on the Will. */
interface DisconnectFlag {
  _disconnected: boolean
}

function hasDisconnectFlag(client: object): client is DisconnectFlag {
  return '_disconnected' in client && typeof client._disconnected === 'boolean'
}

/** Private to Aedes 1.2.0, too. */
interface Registry {
  unregisterClient(client: Client): void
}

function hasRegistry(aedes: object): aedes is Registry {
  return 'unregisterClient' in aedes && typeof aedes.unregisterClient === 'function'
}

/** It calls for a Duplex or a Socket; this is what it uses of one. */
interface TakesClientStreams {
  handle(stream: ClientStream): object
}

function takesClientStreams(aedes: object): aedes is TakesClientStreams {
  return 'handle' in aedes && typeof aedes.handle === 'function'
}

export class Engine {
  readonly #aedes: Aedes & TakesClientStreams
  readonly #log: Log

  private constructor(aedes: Aedes & TakesClientStreams, log: Log) {
    this.#aedes = aedes
    this.#log = log
  }

  /**
   * @param id of this process and start, for Aedes' own records
   * @throws OperationalError `ENGINE_CHANGED` when this is not the Aedes the module was written for
   */
  static async start(store: MemoryStore, log: Log, id: string): Promise<Engine> {
    const aedes = await Aedes.createBroker({
      id,
      // Of the emitter, which is ours; Aedes also allows a stream twice as many listeners.
      concurrency: 5,
      // Heartbeats serve clusters of Aedes; four times this still has to fit a timer (2^31 - 1 ms).
      heartbeatInterval: 500_000_000,
      mq: silentEmitter,
      persistence: new ControlPersistence(store),
      authorizePublish: (client, packet, done) => {
        void sendWill(streamOf(client), packet, log).then(() => done(null))
      },
    })
    if (!takesClientStreams(aedes)) throw changed(['handle'])
    const engine = new Engine(aedes, log)
    engine.#assertMembers()
    engine.#listen()
    return engine
  }

  open(handlers: ClientHandlers): EngineClient {
    const stream = new EngineStream(handlers)
    const client = this.#aedes.handle(stream)
    const { key, clean, will } = handlers
    stream.feed(encodeConnect({ clientId: key, clean, will, protocolLevel: 4 }))
    return {
      disconnect: () => {
        // The packet itself would be read a tick later, after the stream is gone.
        if (hasDisconnectFlag(client)) client._disconnected = true
      },
      destroy: () => stream.destroy(),
    }
  }

  /** Ends every client; Wills are sent. */
  async stop(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#aedes.close(() => resolve())
    })
  }

  #listen(): void {
    this.#aedes.on('client', (client) => {
      const stream = streamOf(client)
      if (stream === undefined) return
      if (stream.destroyed) {
        // Its socket went while Aedes was on the way here. Aedes 1.2.0 does not look, and would keep
        // it for ever; its CONNECT was never accepted, so that no Will is owed.
        if (hasDisconnectFlag(client)) client._disconnected = true
        if (hasRegistry(this.#aedes)) this.#aedes.unregisterClient(client)
        return
      }
      try {
        stream.sessionPresent = stream.handlers.registered()
      } catch (err) {
        // Must not escape: Aedes calls us inside a promise nobody watches.
        stream.handlers.failed(err)
        stream.destroy()
      }
    })
    this.#aedes.on('connackSent', (packet, client) => {
      const stream = streamOf(client)
      if (packet.returnCode === 0 && stream?.destroyed === false) stream.handlers.acknowledged()
    })
    const failed = (_client: Client, err: Error) =>
      this.#log.debug({ event: 'engine.clientFailed', err: err.message }, 'engine closed a client')
    this.#aedes.on('clientError', failed)
    this.#aedes.on('connectionError', failed)
    this.#aedes.addListener('error', (err: Error) => {
      this.#log.error({ event: 'engine.failed', err }, 'engine error')
    })
  }

  /** Another version may do everything else and yet send a Will after DISCONNECT: do not start. */
  #assertMembers(): void {
    const aedes = this.#aedes
    const stream = new ClientStream()
    const client = aedes.handle(stream)
    const missing = [
      ...(versionOf(aedes) === WRITTEN_FOR
        ? []
        : [`version ${WRITTEN_FOR} (found ${versionOf(aedes)})`]),
      ...(hasDisconnectFlag(client) ? [] : ['client._disconnected']),
      ...(hasRegistry(aedes) ? [] : ['unregisterClient']),
      ...(client instanceof Object && 'close' in client ? [] : ['client.close']),
    ]
    if ('close' in client && typeof client.close === 'function') client.close()
    if (missing.length > 0) throw changed(missing)
  }
}

function changed(missing: readonly string[]): OperationalError {
  return new OperationalError(
    'ENGINE_CHANGED',
    `this aedes lacks ${missing.join(', ')}: run npm ci to install the pinned one`,
  )
}

async function sendWill(
  stream: EngineStream | undefined,
  packet: PublishPacket,
  log: Log,
): Promise<void> {
  if (stream === undefined) return
  const { topic, payload, qos, retain } = packet
  try {
    await stream.handlers.sendWill({
      topic,
      payload: typeof payload === 'string' ? Buffer.from(payload) : payload,
      qos,
      retain,
    })
  } catch (err) {
    log.warn({ event: 'will.lost', err }, 'a Will was not taken by ingest')
  }
}

/** Has a getter in 1.2.0 that its types leave out. */
function versionOf(aedes: object): string {
  return 'version' in aedes ? String(aedes.version) : 'unknown'
}
