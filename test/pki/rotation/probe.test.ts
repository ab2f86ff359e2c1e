import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import { systemClock } from '../../../core/clock.ts'
import { probe } from '../../../pki/rotation/probe.ts'
import { rehearse } from '../../../pki/rotation/rehearsal.ts'
import type { ServerCertificate } from '../../../pki/server-certificate.ts'
import {
  issueServer,
  makeCa,
  type TestCertificate,
  type TestKey,
} from '../../helpers/certificates.ts'

const ca = makeCa('Server CA')
const server = issueServer(ca, ['broker.example'])
const expected = { servername: undefined, timeoutMs: 5000, clock: systemClock }

async function listening(t: TestContext, tcp: Server): Promise<{ host: string; port: number }> {
  const sockets = new Set<Socket>()
  tcp.on('connection', (socket: Socket) => sockets.add(socket))
  tcp.listen(0, '127.0.0.1')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    tcp.close()
  })
  await once(tcp, 'listening')
  const address = tcp.address()
  assert.ok(typeof address === 'object' && address !== null)
  return { host: '127.0.0.1', port: address.port }
}

const pair = ({ certificatePem, privateKeyPem }: TestCertificate) => ({
  cert: certificatePem,
  key: privateKeyPem,
})

function credentialsOf(certificate: TestCertificate, changes: Partial<ServerCertificate> = {}) {
  return {
    ...pair(certificate),
    ca: ca.certificatePem,
    trust: undefined,
    notAfter: 0,
    fingerprint: certificate.fingerprint,
    subject: '',
    warnings: [],
    ...changes,
  }
}

test('a server that shows the expected certificate passes, whoever issued it', async (t) => {
  const address = await listening(t, createTlsServer(pair(server)))
  const { fingerprint } = server
  assert.deepEqual(await probe(address, { ...expected, fingerprint }), {
    ok: true,
    fingerprint,
    nameProblem: undefined,
  })
})

test('the server name is asked for and compared, and only told', async (t) => {
  const tls = createTlsServer(pair(server))
  const address = await listening(t, tls)
  const { fingerprint } = server
  for (const servername of ['broker.example', 'other.example']) {
    const accepted = once(tls, 'secureConnection')
    const result = await probe(address, { ...expected, fingerprint, servername })
    assert.ok(result.ok)
    const [socket] = (await accepted) as [{ readonly servername: unknown }]
    assert.equal(socket.servername, servername)
    if (servername === 'broker.example') assert.equal(result.nameProblem, undefined)
    else assert.match(result.nameProblem ?? '', /other\.example/u)
  }
})

const FAILURES: readonly (readonly [string, (t: TestContext) => Promise<Server>, RegExp])[] = [
  [
    'another certificate',
    async () => createTlsServer(pair(issueServer(ca, ['old.example']))),
    /serves another certificate \(CN=old\.example, SHA-256 [0-9a-f]{64}\), expected SHA-256 [0-9a-f]{64}$/u,
  ],
  [
    'a port that answers without TLS',
    async () => createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
    /what answers there does not speak TLS/u,
  ],
  [
    'a port that closes at once',
    async () => createServer((socket) => socket.destroy()),
    /closed during the TLS handshake/u,
  ],
  [
    'a port that never answers',
    async () => createServer(() => undefined),
    /no TLS handshake within 200 ms; is it a TLS port, and has it room\?$/u,
  ],
]

for (const [what, serverOf, diagnosis] of FAILURES) {
  test(`${what} is diagnosed`, async (t) => {
    const address = await listening(t, await serverOf(t))
    const { fingerprint } = server
    const result = await probe(address, { ...expected, timeoutMs: 200, fingerprint })
    assert.equal(result.ok, false)
    if (result.ok) return
    assert.match(result.diagnosis, diagnosis)
    assert.ok(result.diagnosis.startsWith(`127.0.0.1:${address.port}: `), result.diagnosis)
  })
}

test('a closed port and a name that does not resolve are diagnosed', async (t) => {
  const closed = createServer()
  const address = await listening(t, closed)
  closed.close()
  await once(closed, 'close')
  const { fingerprint } = server
  const refused = await probe(address, { ...expected, fingerprint })
  assert.match(refused.ok ? '' : refused.diagnosis, /nothing listens there \(ECONNREFUSED\)$/u)
  const nowhere = { host: 'no-such-host.invalid', port: 1 }
  const unknown = await probe(nowhere, { ...expected, fingerprint })
  assert.match(unknown.ok ? '' : unknown.diagnosis, /the name does not resolve/u)
})

test('every kind of key that works is rehearsed well, with client certificates or without', async () => {
  const kinds: readonly TestKey[] = ['p256', 'p384', 'p521', 'ed25519', 'rsa2048']
  for (const key of kinds) {
    for (const bundle of [undefined, ca.certificatePem]) {
      const credentials = credentialsOf(issueServer(ca, ['a'], { key }), { ca: bundle })
      const result = await rehearse(credentials, {}, expected)
      assert.deepEqual([key, result.ok], [key, true])
    }
  }
})

const UNSERVABLE: readonly (readonly [string, ServerCertificate, object, RegExp])[] = [
  [
    'an RSA key with an EC certificate',
    credentialsOf(server, {
      key: issueServer(ca, ['a'], { key: 'rsa2048' }).privateKeyPem,
    }),
    {},
    /^throw-away server: /u,
  ],
  [
    'the key of another certificate',
    credentialsOf(server, { key: issueServer(ca, ['a']).privateKeyPem }),
    {},
    /cannot be made with these files: .*key values mismatch/u,
  ],
  ['no certificate at all', credentialsOf(server, { cert: '' }), {}, /^throw-away server: /u],
  [
    'a key on a curve that TLS does not have',
    credentialsOf(issueServer(ca, ['a'], { key: 'k256' })),
    { minVersion: 'TLSv1.3' },
    /it says ERR_SSL_/u,
  ],
]

for (const [what, credentials, settings, diagnosis] of UNSERVABLE) {
  test(`${what} does not pass the rehearsal`, async () => {
    const result = await rehearse(credentials, settings, expected)
    assert.equal(result.ok, false)
    assert.match(result.ok ? '' : result.diagnosis, diagnosis)
  })
}
