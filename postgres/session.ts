/**
 * As much of PostgreSQL's frontend/backend protocol 3.0 as it takes to ask our own server whether it
 * is ready and ours, and to create a role and a database. Telemetry goes through `pg`, elsewhere.
 */
import { connect, type Socket } from 'node:net'
import type { Clock } from '../core/clock.ts'
import { addressOf, type Place } from './place.ts'
import { ScramClient } from './scram.ts'

/** An ErrorResponse of the server. */
export class ServerRefusal extends Error {
  readonly sqlstate: string

  constructor(sqlstate: string, message: string) {
    super(message)
    this.sqlstate = sqlstate
  }
}

export interface Login {
  readonly user: string
  readonly password: string
  readonly database: string
}

export interface SessionDeps {
  readonly clock: Clock
  readonly random: (bytes: number) => Buffer
}

type Row = readonly (string | null)[]
interface Message {
  readonly type: string
  readonly body: Buffer
}

const PROTOCOL_3_0 = 196_608
const MAX_MESSAGE_BYTES = 1024 * 1024
/** For one exchange; nothing that is asked here takes long, but CREATE DATABASE on a busy disk. */
const TIMEOUT_MS = 60_000

/**
 * Logs in with SCRAM-SHA-256 and nothing else: whoever listens there instead of our server learns
 * no password, and is found out by its signature.
 *
 * @throws ServerRefusal, or the socket's error
 */
export async function openSession(at: Place, login: Login, deps: SessionDeps): Promise<Session> {
  const socket = connect(addressOf(at))
  socket.setNoDelay(true)
  const session = new Session(socket, deps.clock)
  try {
    await session.logIn(login, deps.random(18).toString('base64'))
    return session
  } catch (err) {
    socket.destroy()
    throw err
  }
}

export class Session {
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #messages: AsyncGenerator<Message, void, void>

  constructor(socket: Socket, clock: Clock) {
    this.#socket = socket
    this.#clock = clock
    this.#messages = messagesOf(socket)
  }

  async logIn(login: Login, nonce: string): Promise<void> {
    const scram = new ScramClient(login.password, nonce)
    const pairs = ['user', login.user, 'database', login.database, '']
    this.#socket.write(framed('', int32(PROTOCOL_3_0), ...pairs.map(cString)))
    for (let proven = false; ; ) {
      const { type, body } = await this.#next()
      if (type === 'Z' && proven) return
      if (type !== 'R') continue
      const step = body.readInt32BE(0)
      const text = body.toString('utf8', 4)
      if (step === 10 && text.split('\0').includes('SCRAM-SHA-256')) {
        const first = Buffer.from(scram.first)
        this.#socket.write(framed('p', cString('SCRAM-SHA-256'), int32(first.length), first))
      } else if (step === 11) {
        this.#socket.write(framed('p', Buffer.from(await scram.proof(text))))
      } else if (step === 12) {
        scram.verify(text)
        proven = true
      } else if (step !== 0 || !proven) {
        throw new Error(`the server asks for another authentication (${step}) than SCRAM-SHA-256`)
      }
    }
  }

  /** One statement without parameters; all values as text. */
  async query(sql: string): Promise<readonly Row[]> {
    this.#socket.write(framed('Q', cString(sql)))
    const rows: Row[] = []
    for (;;) {
      const { type, body } = await this.#next()
      if (type === 'D') rows.push(rowOf(body))
      if (type === 'Z') return rows
    }
  }

  end(): void {
    this.#socket.end(framed('X'))
  }

  /** The next message; an ErrorResponse is thrown, which ends this session's use. */
  async #next(): Promise<Message> {
    const cancel = this.#clock.after(TIMEOUT_MS, () => {
      this.#socket.destroy(new Error(`PostgreSQL did not answer within ${TIMEOUT_MS / 1000} s`))
    })
    try {
      const { value, done } = await this.#messages.next()
      if (done === true) throw new Error('PostgreSQL closed the connection')
      if (value.type === 'E') throw refusalOf(value.body)
      return value
    } finally {
      cancel()
    }
  }
}

async function* messagesOf(socket: Socket): AsyncGenerator<Message, void, void> {
  let bytes = Buffer.alloc(0)
  for await (const chunk of socket) {
    bytes = Buffer.concat([bytes, chunk])
    while (bytes.length >= 5) {
      const length = bytes.readInt32BE(1)
      if (length < 4 || length > MAX_MESSAGE_BYTES) throw new Error('this is not PostgreSQL')
      if (bytes.length < length + 1) break
      yield { type: bytes.toString('latin1', 0, 1), body: bytes.subarray(5, length + 1) }
      bytes = bytes.subarray(length + 1)
    }
  }
}

function refusalOf(body: Buffer): ServerRefusal {
  const fields = new Map(
    body
      .toString('utf8')
      .split('\0')
      .map((field) => [field.slice(0, 1), field.slice(1)]),
  )
  return new ServerRefusal(fields.get('C') ?? '', fields.get('M') ?? 'no reason given')
}

function rowOf(body: Buffer): Row {
  const row: (string | null)[] = []
  let at = 2
  for (let column = body.readInt16BE(0); column > 0; column--) {
    const length = body.readInt32BE(at)
    at += 4
    row.push(length < 0 ? null : body.toString('utf8', at, at + length))
    at += Math.max(length, 0)
  }
  return row
}

function framed(type: string, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from(type, 'latin1'), int32(body.length + 4), body])
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`)
}
