/**
 * A handshake with new files on a server that is thrown away afterwards, before anyone is served with
 * them: OpenSSL takes keys it cannot use with these ciphers, or finds too weak, without a word, and
 * then fails every handshake. In memory: no port is opened, nobody else can reach it.
 */
import { constants } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createServer, type Server } from 'node:tls'
import type { TlsConfig } from '../../config/types.ts'
import { codeOf, messageOf } from '../../core/errors.ts'
import type { ServerCertificate } from '../server-certificate.ts'
import { duplexPair } from './duplex-pair.ts'
import { type Expectation, type ProbeResult, probeOver } from './probe.ts'

/** What of the listener decides which keys can be served with; absent: the defaults. */
export type RehearsalSettings = Partial<Pick<TlsConfig, 'minVersion' | 'ciphers'>>

/** Never rejects. */
export async function rehearse(
  credentials: ServerCertificate,
  settings: RehearsalSettings,
  expected: Omit<Expectation, 'fingerprint'>,
): Promise<ProbeResult> {
  const where = 'throw-away server'
  const [ours, theirs] = duplexPair()
  let serverProblem: string | undefined
  try {
    const server = serverOf(credentials, settings)
    // What the client sees of it is an alert without a reason.
    server.on('tlsClientError', (err) => (serverProblem = codeOf(err) ?? messageOf(err)))
    server.on('secureConnection', (socket) => socket.on('error', () => socket.destroy()))
    server.emit('connection', theirs)
    const { fingerprint } = credentials
    const result = await probeOver(ours, where, { ...expected, fingerprint })
    if (result.ok) return result
    // The server's word comes a turn after the client's.
    await nextTurn()
    if (serverProblem === undefined) return result
    return { ok: false, diagnosis: `${result.diagnosis}; it says ${serverProblem}` }
  } catch (err) {
    const text = `${where}: cannot be made with these files: ${messageOf(err)}`
    return { ok: false, diagnosis: text }
  } finally {
    ours.destroy()
    theirs.destroy()
  }
}

/** As the listener's own server; see broker/listeners/tls.ts. */
function serverOf(
  { key, cert, ca, dhparam }: ServerCertificate,
  settings: RehearsalSettings,
): Server {
  const { minVersion = 'TLSv1.2', ciphers } = settings
  return createServer({
    key,
    cert,
    ca: ca ?? [],
    minVersion,
    ...(ciphers === undefined ? {} : { ciphers }),
    ...(dhparam === undefined ? {} : { dhparam }),
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_TICKET,
    requestCert: ca !== undefined,
    rejectUnauthorized: false,
  })
}
