/** One configured listener: its port, its doors (TLS, WebSocket) and the rules behind them. */
import {
  createServer,
  type AddressInfo,
  type ListenOptions,
  type Server,
  type Socket,
} from 'node:net'
import type { Duplex } from 'node:stream'
import type { LimitsConfig, ListenerConfig, TlsConfig } from '../../config/types.ts'
import type { Clock } from '../../core/clock.ts'
import { OperationalError, codeOf, messageOf } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import type { Metrics } from '../../core/metrics.ts'
import { AccessPolicy } from '../access-policy.ts'
import type { AccessRules } from '../access/index.ts'
import {
  authenticate,
  type Authentication,
  type AuthenticationRules,
  type Credentials,
} from '../authentication.ts'
import type { PasswordAccounts } from '../identity/index.ts'
import type {
  ClientCertificates,
  ConnectionObserver,
  DeviceRegistry,
  PreSharedKeys,
  ServerCredentials,
} from '../ports.ts'
import type { RateLimitedNotes } from '../rate-limited-notes.ts'
import { addressesOf, removeStaleSocket } from './addresses.ts'
import { arrivalOf, Proxied, type Arrival } from './arrival.ts'
import { Gate, type TotalCap } from './gate.ts'
import { ProxyDoor } from './proxy-door.ts'
import { PskDoor } from './psk.ts'
import { Refusals } from './refusals.ts'
import { TlsDoor } from './tls.ts'
import { WebSocketDoor } from './websocket.ts'

export interface ListenerParts {
  readonly tenancy: boolean
  readonly limits: LimitsConfig
  readonly certificates: ClientCertificates
  readonly accounts: PasswordAccounts | undefined
  readonly rules: AccessRules
  readonly total: TotalCap
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  readonly refusals: RateLimitedNotes
  readonly observer?: ConnectionObserver | undefined
  readonly registry: DeviceRegistry | undefined
  /** Of a listener with `psk`. */
  readonly keys?: PreSharedKeys | undefined
  readonly keylog: ((line: Buffer) => void) | undefined
  /** Disable Nagle's algorithm. */
  readonly noDelay: boolean
  /** A stream that speaks MQTT. */
  connected(listener: Listener, stream: Duplex, arrival: Arrival): void
}

export class Listener {
  readonly config: ListenerConfig
  readonly policy: AccessPolicy
  readonly certificates: ClientCertificates
  readonly #parts: ListenerParts
  readonly #rules: AuthenticationRules
  readonly #gate: Gate
  #servers: Server[] = []
  #tls: TlsDoor | undefined

  constructor(config: ListenerConfig, parts: ListenerParts) {
    this.config = config
    this.#parts = parts
    this.certificates = parts.certificates
    this.policy = new AccessPolicy(parts.rules)
    const { log, metrics, refusals, total } = parts
    const refused = (socket: Socket): void =>
      refusals.note('max_connections', () => {
        const peer = socket.remoteAddress
        const fields = { event: 'peer.refused', reason: 'max_connections', listener: config.name }
        log.warn({ ...fields, peer }, 'refused before CONNECT: max_connections')
      })
    this.#gate = new Gate(config.name, config.maxConnections, total, metrics, refused)
    this.#rules = {
      tenancy: parts.tenancy,
      identityFrom: identitySourceOf(config),
      allowAnonymous: config.allowAnonymous,
      accounts: parts.accounts,
      certificates: parts.certificates,
      registry: parts.registry,
    }
  }

  get name(): string {
    return this.config.name
  }

  get isOpen(): boolean {
    return this.#servers.length > 0
  }

  /** The ports listened on; none for a Unix socket. */
  get ports(): readonly number[] {
    return [...new Set(this.#servers.flatMap((server) => addressOf(server)?.port ?? []))]
  }

  authenticate(credentials: Credentials): Promise<Authentication> {
    return authenticate(credentials, this.#rules)
  }

  /**
   * @param credentials for a listener with TLS
   * @throws OperationalError `LISTEN_FAILED` naming address, port and what to do
   */
  async open(credentials: ServerCredentials | undefined): Promise<void> {
    const take = this.#door(credentials)
    const { noDelay } = this.#parts
    const servers: Server[] = []
    try {
      for (const at of await addressesOf(this.config)) {
        const server = createServer({ noDelay }, (socket) => {
          socket.on('error', () => socket.destroy())
          if (this.#gate.admit(socket)) take(socket)
        })
        // With port 0 the system chooses for the first address, and the others take the same.
        const [first] = servers
        const port = first === undefined ? at.port : addressOf(first)?.port
        await listen(server, port === undefined ? at : { ...at, port })
        servers.push(server)
      }
    } catch (err) {
      for (const server of servers) server.close()
      throw err
    }
    this.#servers = servers
  }

  replaceCredentials(credentials: ServerCredentials): void {
    this.#tls?.replace(credentials)
  }

  /** Stops accepting; open connections stay. */
  async close(): Promise<void> {
    const servers = this.#servers
    this.#servers = []
    for (const server of servers) server.close()
  }

  /** Sockets that no connection owns: in a handshake or an upgrade. */
  destroySockets(): void {
    this.#gate.closeAll()
  }

  #door(credentials: ServerCredentials | undefined): (socket: Socket) => void {
    const { clock, keylog, keys = NO_KEYS, limits } = this.#parts
    const { name, protocol, tls } = this.config
    const refusals = new Refusals(name, this.#parts)
    let admitted = (socket: Socket, arrival: Arrival): void =>
      this.#parts.connected(this, socket, arrival)
    if (protocol === 'websockets') {
      const arrivals = new WeakMap<Socket, Arrival>()
      const door = new WebSocketDoor({
        clock,
        refusals,
        maxMessageBytes: limits.maxPacketBytes,
        upgradeTimeoutMs: limits.connectTimeoutMs,
        origins: this.config.websocketOrigins,
        upgraded: (stream, socket) =>
          this.#parts.connected(this, stream, arrivals.get(socket) ?? arrivalOf(socket)),
      })
      admitted = (socket, arrival) => {
        arrivals.set(socket, arrival)
        door.take(socket)
      }
    }
    const { proxyProtocol, psk } = this.config
    const proxied = new Proxied()
    const secured = (socket: Socket, arrival: Arrival): void =>
      admitted(socket, proxied.named(socket, arrival))
    const door =
      psk !== undefined
        ? new PskDoor({ config: psk, keys, refusals, keylog, admitted: secured })
        : tls === undefined
          ? undefined
          : this.#tlsDoor(tls, credentials, refusals, secured)
    if (proxyProtocol === undefined) {
      if (door !== undefined) return (socket) => door.take(socket)
      return (socket) => admitted(socket, arrivalOf(socket))
    }
    const before = this.#proxyDoor(proxyProtocol, refusals, (socket, arrival) => {
      if (door === undefined) {
        admitted(socket, arrival)
        socket.resume()
        return
      }
      // TLS reads what is buffered, and then the socket beneath by itself.
      proxied.add(socket, arrival)
      door.take(socket)
    })
    return (socket) => before.take(socket)
  }

  #tlsDoor(
    config: TlsConfig,
    credentials: ServerCredentials | undefined,
    refusals: Refusals,
    admitted: (socket: Socket, arrival: Arrival) => void,
  ): TlsDoor {
    const { name } = this.config
    if (credentials === undefined) throw new Error(`listener ${name} needs credentials`)
    const { certificates, keylog } = this.#parts
    this.#tls = new TlsDoor({ name, config, certificates, refusals, keylog, admitted }, credentials)
    return this.#tls
  }

  #proxyDoor(
    config: NonNullable<ListenerConfig['proxyProtocol']>,
    refusals: Refusals,
    admitted: (socket: Socket, arrival: Arrival) => void,
  ): ProxyDoor {
    const { clock, limits } = this.#parts
    return new ProxyDoor({
      config,
      clock,
      refusals,
      headerTimeoutMs: limits.connectTimeoutMs,
      admitted,
    })
  }
}

const NO_KEYS: PreSharedKeys = { keyOf: () => undefined }

function identitySourceOf({
  tls,
  psk,
  proxyProtocol,
}: ListenerConfig): AuthenticationRules['identityFrom'] {
  if (psk?.useIdentityAsUsername === true) return 'psk'
  if (proxyProtocol?.useIdentityAsUsername === true) return 'proxy'
  if (tls?.useIdentityAsUsername === true) return 'certificate'
  return tls?.useSubjectAsUsername === true ? 'subject' : undefined
}

function addressOf(server: Server): AddressInfo | undefined {
  const address = server.address()
  if (address === null) throw new Error('not listening')
  return typeof address === 'string' ? undefined : address
}

async function listen(server: Server, at: ListenOptions): Promise<void> {
  if (at.path !== undefined) await removeStaleSocket(at.path)
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ ...at, backlog: 4096 }, () => {
        server.off('error', reject)
        resolve()
      })
    })
  } catch (err) {
    const where = at.path ?? `${at.host ?? 'all interfaces'}, port ${at.port}`
    throw new OperationalError('LISTEN_FAILED', `cannot listen on ${where}: ${whatToDo(err)}`, {
      cause: err,
    })
  }
}

function whatToDo(err: unknown): string {
  switch (codeOf(err)) {
    case 'EADDRINUSE':
      return 'the port is in use by another program; stop that one or choose another port'
    case 'EACCES':
      return 'ports below 1024 need privileges; choose a higher one'
    case 'EADDRNOTAVAIL':
      return 'the address is not one of this machine'
    default:
      return messageOf(err)
  }
}
