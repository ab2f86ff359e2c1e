/**
 * A real TLS handshake with whoever serves at an address, and words for what went wrong. It shows no
 * certificate and asks nothing of the chain: it is about what the server does, not about whom it
 * convinces.
 */
import { X509Certificate } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { checkServerIdentity, connect, type TLSSocket } from 'node:tls'
import type { Clock } from '../../core/clock.ts'
import { codeOf, messageOf } from '../../core/errors.ts'

export type ProbeResult =
  | {
      readonly ok: true
      /** Of the certificate that was served; SHA-256, lower-case hex. */
      readonly fingerprint: string
      /** Why a client that asks for the server name would not believe the certificate. */
      readonly nameProblem: string | undefined
    }
  | { readonly ok: false; readonly diagnosis: string }

export interface Expectation {
  /** Of the certificate that should be served. */
  readonly fingerprint: string
  /** Sent as SNI; undefined: none is sent, and names are not looked at. */
  readonly servername: string | undefined
  readonly timeoutMs: number
  readonly clock: Clock
  /** Ends it early; the result then means nothing. */
  readonly signal?: AbortSignal
}

/** What every server can speak is offered: its settings are under test, not ours. */
const LENIENT = { minVersion: 'TLSv1.2', ciphers: 'ALL:@SECLEVEL=0' } as const

const LEAVE_MS = 1000

export interface Address {
  readonly host: string
  readonly port: number
}

/** Never rejects, and settles within `timeoutMs`. */
export function probe({ host, port }: Address, expected: Expectation): Promise<ProbeResult> {
  const where = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  return handshake(where, expected, (options) => connect({ ...options, host, port }))
}

/** The same over a stream that leads to a server. */
export function probeOver(
  stream: Duplex,
  where: string,
  expected: Expectation,
): Promise<ProbeResult> {
  return handshake(where, expected, (options) => connect({ ...options, socket: stream }))
}

type Options = typeof LENIENT & {
  readonly servername: string
  readonly rejectUnauthorized: false
  readonly checkServerIdentity: () => undefined
}

async function handshake(
  where: string,
  expected: Expectation,
  open: (options: Options) => TLSSocket,
): Promise<ProbeResult> {
  const { clock, timeoutMs, signal, servername = '' } = expected
  let socket: TLSSocket | undefined
  let stopTimer: () => void = () => undefined
  try {
    return await new Promise<ProbeResult>((resolve) => {
      const fail = (diagnosis: string): void => resolve({ ok: false, diagnosis })
      const late = `${where}: no TLS handshake within ${timeoutMs} ms; is it a TLS port, and has it room?`
      stopTimer = clock.after(timeoutMs, () => fail(late))
      signal?.addEventListener('abort', () => fail(`${where}: given up`), { once: true })
      const opened = open({
        ...LENIENT,
        servername,
        rejectUnauthorized: false,
        checkServerIdentity: () => undefined,
      })
      socket = opened
      opened.on('error', (err) => fail(`${where}: ${diagnosisOf(err)}`))
      opened.on('close', () => fail(`${where}: closed during the TLS handshake`))
      opened.once('secureConnect', () => resolve(judge(opened, where, expected)))
    })
  } catch (err) {
    return { ok: false, diagnosis: `${where}: ${messageOf(err)}` }
  } finally {
    stopTimer()
    if (socket !== undefined) leave(socket, clock)
  }
}

/** An orderly end, for the log of whoever serves there; not waited for. */
function leave(socket: TLSSocket, clock: Clock): void {
  socket.end()
  socket.once(
    'close',
    clock.after(LEAVE_MS, () => socket.destroy()),
  )
}

function judge(socket: TLSSocket, where: string, expected: Expectation): ProbeResult {
  const { raw } = socket.getPeerCertificate()
  if (raw === undefined) return { ok: false, diagnosis: `${where}: served no certificate` }
  const certificate = new X509Certificate(raw)
  const fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase()
  if (fingerprint !== expected.fingerprint) {
    const found = `${certificate.subject.replaceAll('\n', ', ')}, SHA-256 ${fingerprint}`
    const text = `${where}: serves another certificate (${found}), expected SHA-256 ${expected.fingerprint}`
    return { ok: false, diagnosis: text }
  }
  const { servername } = expected
  const problem =
    servername === undefined
      ? undefined
      : checkServerIdentity(servername, certificate.toLegacyObject())
  return { ok: true, fingerprint, nameProblem: problem?.message }
}

function diagnosisOf(err: unknown): string {
  const code = codeOf(err)
  switch (code) {
    case 'ECONNREFUSED':
      return 'nothing listens there (ECONNREFUSED)'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `the name does not resolve (${code})`
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return `no way leads there (${code})`
    case 'ECONNRESET':
    case 'EPIPE':
      return `closed during the TLS handshake (${code})`
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return `what answers there does not speak TLS (${code})`
    default:
      // OpenSSL's own text names its source files, over several lines.
      return `TLS handshake failed (${code ?? messageOf(err)})`
  }
}
