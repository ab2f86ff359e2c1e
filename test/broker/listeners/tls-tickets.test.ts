/** TLS sessions that may be resumed: a cheaper handshake, and not one look less at who comes. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test, type TestContext } from 'node:test'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { TrustSet } from '../../../pki/index.ts'
import { startBroker, type TestBroker } from '../../helpers/broker.ts'
import { issueServer, makeCa } from '../../helpers/certificates.ts'
import { FakeClock } from '../../helpers/clock.ts'
import { RememberingLog } from '../../helpers/log.ts'
import {
  TLS_VERSIONS,
  credentialsOf,
  mutualTls,
  type MutualTls,
  type Presented,
  type TlsVersion,
} from '../../helpers/mutual-tls.ts'
import { RawClient, connectBytes } from '../../helpers/raw-client.ts'

const DAY_MS = 86_400_000

async function start(t: TestContext, pki: MutualTls, tls = {}) {
  const memory = new RememberingLog()
  const started = await startBroker(t, {
    ...pki.listener({ sessionTickets: true, ...tls }),
    log: memory.log,
  })
  return { ...started, memory }
}

/** What a client would offer the next time, whatever became of it this time. */
async function ticketOf(options: ConnectionOptions): Promise<Buffer> {
  const socket = connect(options)
  let session: Buffer | undefined
  socket.on('session', (ticket: Buffer) => (session = ticket))
  const client = new RawClient(socket)
  client.send(connectBytes({ clientId: 'first' }))
  // With TLS 1.3 it comes after the handshake: with CONNACK, or before the end.
  await client.next().catch(() => undefined)
  client.destroy()
  assert.ok(session !== undefined, 'there is something to offer')
  return session
}

/** Comes again with a session. @returns everything the peer was told, and whether it was resumed */
async function comeAgain(t: TestContext, options: ConnectionOptions, session: Buffer) {
  const socket: TLSSocket = connect({ ...options, session })
  const client = new RawClient(socket)
  t.after(() => client.destroy())
  // A refusal may come before the client knows that its handshake is over.
  let reused = false
  socket.once('secureConnect', () => (reused = socket.isSessionReused()))
  client.send(connectBytes({ clientId: 'again' }))
  const answer = await client.next().catch(() => undefined)
  return { reused, answer: [...(answer?.bytes ?? [])] }
}

const LET_IN = [0x20, 2, 0, 0]
const NOT_AUTHORISED = [0x20, 2, 0, 5]

interface Case {
  readonly title: string
  /** Between the two visits. */
  change(on: {
    pki: MutualTls
    broker: TestBroker['broker']
    device: Presented
    clock: FakeClock
  }): unknown
  readonly reason?: string
  readonly reused: boolean
}

const CASES: readonly Case[] = [
  {
    title: 'revoked meanwhile: refused, whatever the ticket says',
    change: ({ pki, device }) => pki.revoke(device as ReturnType<MutualTls['device']>),
    reason: 'revoked',
    reused: true,
  },
  {
    title: 'past its notAfter meanwhile: refused',
    change: ({ clock }) => clock.advance(2 * DAY_MS),
    reason: 'expired',
    reused: true,
  },
  {
    title: 'of a CA that is not trusted any more: refused',
    change: ({ pki }) => replaceTrust(pki),
    reason: 'unknown_ca',
    reused: true,
  },
  {
    title: 'of a CA that left with the credentials: a full handshake, and refused',
    change: ({ pki, broker }) => {
      const other = makeCa('Next CA')
      broker.replaceCredentials('test', credentialsOf(pki.server, other))
      replaceTrust(pki, other)
    },
    reason: 'unknown_ca',
    reused: false,
  },
  { title: 'nothing changed: resumed and let in', change: () => undefined, reused: true },
  {
    title: 'whom to trust has changed: a full handshake',
    change: ({ broker }) => broker.trustChanged(),
    reused: false,
  },
  {
    title: 'the server certificate was rotated: a full handshake',
    change: ({ pki, broker }) =>
      broker.replaceCredentials('test', credentialsOf(issueServer(pki.ca), pki.ca)),
    reused: false,
  },
]

function replaceTrust(pki: MutualTls, to = makeCa('Next CA')): void {
  const { certificates } = pki.listener()
  assert.ok('replaceTrust' in certificates && typeof certificates.replaceTrust === 'function')
  certificates.replaceTrust(new TrustSet({ ca: to.certificatePem, origin: 'ca.crt' }))
}

for (const version of TLS_VERSIONS) {
  for (const { title, change, reason, reused } of CASES) {
    test(`a certificate with a ticket, ${version}; ${title}`, async (t) => {
      const clock = new FakeClock(Date.now())
      const pki = mutualTls({ clock })
      const device = pki.device('acme/pump-7', { notAfter: Date.now() + DAY_MS })
      const { broker, port, memory } = await start(t, pki)
      const options = pki.options(port, device, version)
      const session = await ticketOf(options)
      await change({ pki, broker, device, clock })
      const visit = await comeAgain(t, options, session)
      assert.deepEqual(visit, { reused, answer: reason === undefined ? LET_IN : [] })
      if (reason !== undefined) await memory.until('peer.refused', { reason })
    })
  }

  // Node 20 calls such a session authorized when it is resumed with TLS 1.3.
  test(`a session begun without certificate is nobody's, resumed or not, ${version}`, async (t) => {
    const pki = mutualTls()
    const { port } = await start(t, pki, { requireCertificate: false })
    const options = pki.options(port, undefined, version)
    const visit = await comeAgain(t, options, await ticketOf(options))
    assert.deepEqual(visit, { reused: true, answer: NOT_AUTHORISED })
  })

  test(`the ticket of another listener is worth nothing, ${version}`, async (t) => {
    const pki = mutualTls()
    const open = pki.listener({
      sessionTickets: true,
      requireCertificate: false,
      useIdentityAsUsername: false,
    })
    const { broker, port } = await startBroker(t, {
      ...pki.listener({ sessionTickets: true }),
      also: [{ ...open, listener: { ...open.listener, name: 'open' } }],
    })
    const naked = await ticketOf(pki.options(broker.portOf('open'), undefined, version))
    const strict = pki.options(port, undefined, version)
    assert.deepEqual(await comeAgain(t, strict, naked), { reused: false, answer: [] })
    const device = pki.device('acme/pump-7')
    const known = await ticketOf(pki.options(broker.portOf('open'), device, version))
    const visit = await comeAgain(t, pki.options(port, device, version), known)
    assert.deepEqual(visit, { reused: false, answer: LET_IN })
  })

  test(`a certificate revoked between a resumed handshake and CONNECT gets no CONNACK 0, ${version}`, async (t) => {
    const pki = mutualTls()
    const device = pki.device('acme/pump-7')
    const { port } = await start(t, pki)
    const options = pki.options(port, device, version)
    const session = await ticketOf(options)
    const socket = connect({ ...options, session })
    const client = new RawClient(socket)
    t.after(() => client.destroy())
    await once(socket, 'secureConnect')
    assert.equal(socket.isSessionReused(), true)
    // A byte of CONNECT on its way: the broker has admitted the peer by the time it answers others.
    const other = await RawClient.tls(pki.options(port, pki.device('acme/other'), version))
    t.after(() => other.destroy())
    assert.equal((await other.connect({ clientId: 'other' })).returnCode, 0)
    await pki.revoke(device)
    assert.equal((await client.connect({ clientId: 'x' })).returnCode, 5)
  })
}

test('without the setting no ticket is given that could be used', async (t) => {
  const pki = mutualTls()
  const version: TlsVersion = 'TLSv1.2'
  const { port } = await start(t, pki, { sessionTickets: false })
  const options = pki.options(port, pki.device('acme/pump-7'), version)
  const { reused, answer } = await comeAgain(t, options, await ticketOf(options))
  assert.deepEqual({ reused, answer }, { reused: false, answer: LET_IN })
})
