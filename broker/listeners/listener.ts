/** One configured listener: its port, its doors (TLS, WebSocket) and the rules behind them. */
import { createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { LimitsConfig, ListenerConfig, MqttConfig, TlsConfig } from '../../config/types.ts'
import type { Clock } from '../../core/clock.ts'
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
import { deviceNamesOf, type Identity, type PasswordAccounts } from '../identity/index.ts'
import type {
  ClientCertificates,
  ConnectionObserver,
  DeviceRegistry,
  PreSharedKeys,
  ServerCredentials,
} from '../ports.ts'
import type { RateLimitedNotes } from '../rate-limited-notes.ts'
import { isStillWelcome } from '../standing.ts'
import { addressesOf } from './addresses.ts'
import { arrivalOf, Proxied, type Arrival } from './arrival.ts'
import { addressOf, listen } from './bind.ts'
import { Gate, type TotalCap } from './gate.ts'
import { ProxyDoor } from './proxy-door.ts'
import { PskDoor } from './psk.ts'
import { Refusals } from './refusals.ts'
import { TlsDoor } from './tls.ts'
import { WebSocketDoor } from './websocket.ts'

export interface ListenerParts {
  readonly tenancy: boolean
  /** As in force now; so is `mqtt`. */
  readonly limits: LimitsConfig
  readonly mqtt: Pick<MqttConfig, 'tcpNoDelay'>
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
  /** A stream that speaks MQTT. */
  connected(listener: Listener, stream: Duplex, arrival: Arrival): void
}

export class Listener {
  readonly policy: AccessPolicy
  readonly certificates: ClientCertificates
  readonly #parts: ListenerParts
  readonly #gate: Gate
  #config: ListenerConfig
  #rules: AuthenticationRules
  #servers: Server[] = []
  #ports: readonly number[] = []
  #tls: TlsDoor | undefined

  constructor(config: ListenerConfig, parts: ListenerParts) {
    this.#config = config
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

  /** As in force now: a reload may replace it. */
  get config(): ListenerConfig {
    return this.#config
  }

  get name(): string {
    return this.#config.name
  }

  get isOpen(): boolean {
    return this.#servers.length > 0
  }

  /** The ports listened on; none for a Unix socket. */
  get ports(): readonly number[] {
    return this.#ports
  }

  /** By the rules in force when it settles: who began under others is asked about again. */
  async authenticate(credentials: Credentials): Promise<Authentication> {
    for (;;) {
      const rules = this.#rules
      const outcome = await authenticate(credentials, rules)
      if (rules === this.#rules) return outcome
    }
  }

  /** For a client that came in by these rules, or by older ones; see standing.ts. */
  isWelcome(
    identity: Identity,
    presentedName: string | undefined,
    isChanged: (userName: string) => boolean,
  ): boolean {
    return isStillWelcome(identity, presentedName, this.#rules, isChanged)
  }

  /** Of a device, as far as the handshake has told: CONNECT may still refuse it. */
  tenantOf({ certificate, provenName }: Arrival): string | undefined {
    const { identityFrom, tenancy } = this.#rules
    if (!tenancy || (identityFrom !== 'certificate' && identityFrom !== 'psk')) return undefined
    const names = deviceNamesOf(certificate?.commonName ?? provenName ?? '')
    return typeof names === 'string' ? undefined : names.tenantId
  }

  /** Other rules from now on. @param config differs in nothing that is built into open sockets */
  replaceRules(
    config: ListenerConfig,
    { accounts, rules }: { accounts: PasswordAccounts | undefined; rules: AccessRules },
  ): void {
    this.#config = config
    this.#rules = { ...this.#rules, allowAnonymous: config.allowAnonymous, accounts }
    this.policy.replace(rules)
  }

  /**
   * @param credentials for a listener with TLS
   * @throws OperationalError `LISTEN_FAILED` naming address, port and what to do
   */
  async open(credentials: ServerCredentials | undefined): Promise<void> {
    const take = this.#door(credentials)
    const { mqtt } = this.#parts
    const servers: Server[] = []
    try {
      for (const at of await addressesOf(this.config)) {
        const server = createServer((socket) => {
          socket.on('error', () => socket.destroy())
          if (!this.#gate.admit(socket)) return
          if (mqtt.tcpNoDelay) socket.setNoDelay(true)
          take(socket)
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
    this.#ports = [...new Set(servers.flatMap((server) => addressOf(server)?.port ?? []))]
  }

  replaceCredentials(credentials: ServerCredentials): void {
    this.#tls?.replace(credentials)
  }

  /** TLS sessions that were begun before are not resumed any more. */
  forgetTlsSessions(): void {
    this.#tls?.forgetSessions()
  }

  /** Stops accepting; open connections stay. */
  async close(): Promise<void> {
    const servers = this.#servers
    this.#servers = []
    this.#ports = []
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
        maxMessageBytes: () => limits.maxPacketBytes,
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
