/** What strangers can do to a TLS listener before anybody knows who they are. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect as connectTcp, createServer, Socket, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { mock, test, type TestContext } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { startBroker } from '../../helpers/broker.ts'
import { issueServer, makeCa } from '../../helpers/certificates.ts'
import { FakeClock } from '../../helpers/clock.ts'
import { RememberingLog } from '../../helpers/log.ts'
import { mutualTls, TLS_VERSIONS, type MutualTls } from '../../helpers/mutual-tls.ts'
import { RawClient, connectBytes } from '../../helpers/raw-client.ts'
import { scratchDirectory } from '../../helpers/scratch.ts'
import { dhParameters } from '../../helpers/dh-parameters.ts'

const pki = mutualTls()

async function start(t: TestContext, tls: Parameters<MutualTls['listener']>[0] = {}, own = pki) {
  const memory = new RememberingLog()
  const started = await startBroker(t, { ...own.listener(tls), tenancy: true, log: memory.log })
  const refused = async () => {
    const { values } = await started.metrics.connectsRefused.get()
    return Object.fromEntries(values.map(({ labels, value }) => [labels.reason, value]))
  }
  return { ...started, memory, refused }
}

/** However it ends: `once` would fail with a reset. */
function closeOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()))
}

/** Sends bytes that are no TLS, and waits for the end. */
async function noise(port: number, bytes: Uint8Array = connectBytes({ clientId: 'x' })) {
  const socket = connectTcp({ host: '127.0.0.1', port })
  socket.on('error', () => undefined)
  socket.resume()
  const closed = closeOf(socket)
  socket.write(bytes)
  await closed
}

/** What a client begins with. */
async function clientHello(t: TestContext): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false })
  client.on('error', () => undefined)
  t.after(() => client.destroy())
  const [socket] = (await once(server, 'connection')) as [Socket]
  socket.on('error', () => undefined)
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  return bytes
}

test('openssl s_client may not renegotiate', { timeout: 20_000 }, async (t) => {
  const { port } = await start(t)
  const folder = await scratchDirectory(t)
  const device = pki.device('acme/pump-7')
  writeFileSync(join(folder, 'cert'), device.certificatePem)
  writeFileSync(join(folder, 'key'), device.privateKeyPem)
  const files = ['-cert', join(folder, 'cert'), '-key', join(folder, 'key')]
  const args = ['s_client', '-connect', `127.0.0.1:${port}`, '-tls1_2', ...files]
  const client = spawn('openssl', args, { stdio: ['pipe', 'pipe', 'pipe'] })
  t.after(() => client.kill())
  let output = ''
  client.stdout.on('data', (text: Buffer) => (output += String(text)))
  client.stderr.on('data', (text: Buffer) => (output += String(text)))
  const ended = once(client, 'close')
  while (!output.includes('Verify return code')) await once(client.stdout, 'data')
  client.stdin.write('R\n')
  await ended
  assert.match(output, /RENEGOTIATING[\s\S]*no renegotiation/u)
})

test('a good handshake that comes byte by byte is ended by the deadline, not kept alive by it', {
  timeout: 20_000,
}, async (t) => {
  const { port, memory, refused } = await start(t, { handshakeTimeoutMs: 300 })
  const tcp = connectTcp({ host: '127.0.0.1', port })
  t.after(() => tcp.destroy())
  tcp.on('error', () => undefined)
  tcp.resume()
  const bytes = await clientHello(t)
  assert.ok(bytes.length > 100)
  const ended = closeOf(tcp)
  let sent = 0
  const drip = setInterval(() => tcp.write(bytes.subarray(sent, ++sent)), 10)
  t.after(() => clearInterval(drip))
  await ended
  assert.ok(sent > 5, `${sent} bytes were sent`)
  const line = await memory.until('peer.refused', { reason: 'handshake_failed' })
  assert.equal(line['detail'], 'ERR_TLS_HANDSHAKE_TIMEOUT')
  assert.equal(line['peer'], '127.0.0.1')
  assert.deepEqual(await refused(), { handshake_failed: 1 })
})

test('every refused handshake is counted, and a few a second are written down, with the address', async (t) => {
  const clock = new FakeClock()
  const memory = new RememberingLog()
  const { port, metrics } = await startBroker(t, { ...pki.listener(), clock, log: memory.log })
  for (let n = 0; n < 40; n++) await noise(port)
  const lines = memory.lines.filter(({ event }) => event === 'peer.refused')
  assert.equal(lines.length, 5)
  for (const { peer, listener, reason, detail } of lines) {
    assert.deepEqual(
      { peer, listener, reason, detail },
      {
        peer: '127.0.0.1',
        listener: 'test',
        reason: 'handshake_failed',
        detail: 'ERR_SSL_WRONG_VERSION_NUMBER',
      },
    )
  }
  const { values } = await metrics.connectsRefused.get()
  assert.equal(values.find(({ labels }) => labels.reason === 'handshake_failed')?.value, 40)
  clock.advance(1000)
  await noise(port)
  assert.equal(memory.last('notes.withheld')?.['withheld'], 35)
})

test('who hangs up in a handshake is written down with the address too', async (t) => {
  for (const hangUp of ['end', 'resetAndDestroy'] as const) {
    const { port, memory } = await start(t)
    const socket = connectTcp({ host: '127.0.0.1', port })
    socket.on('error', () => undefined)
    socket.resume()
    await once(socket, 'connect')
    socket.write((await clientHello(t)).subarray(0, 40))
    socket[hangUp]()
    const { peer, detail } = await memory.until('peer.refused', { reason: 'handshake_failed' })
    assert.deepEqual({ peer, detail }, { peer: '127.0.0.1', detail: 'ECONNRESET' }, hangUp)
  }
})

for (const version of TLS_VERSIONS) {
  test(`an RSA-1024 key gets no byte of MQTT, though OpenSSL would take it, ${version}`, async (t) => {
    const { port, memory } = await start(t)
    const weak = pki.device('acme/pump-7', { key: 'rsa1024' })
    const client = new RawClient(connectTls(pki.options(port, weak, version)))
    client.send(connectBytes({ clientId: 'x' }))
    await client.closed
    assert.deepEqual(client.unread, [])
    const { detail, peer } = await memory.until('peer.refused', { reason: 'weak_key' })
    assert.match(String(detail), /RSA key of 1024 bits/u)
    assert.equal(peer, '127.0.0.1')
  })
}

test('sockets of a TLS listener send without delay', async (t) => {
  const noDelay = mock.method(Socket.prototype, 'setNoDelay')
  t.after(() => noDelay.mock.restore())
  const { port } = await start(t)
  const device = pki.device('acme/pump-7')
  const client = await pki.connect(t, port, device)
  assert.equal((await client.connect({ clientId: 'x' })).returnCode, 0)
  assert.ok(noDelay.mock.calls.some(({ arguments: [on] }) => on === true))
})

const DHE = 'DHE-RSA-AES128-GCM-SHA256'

test('DHE ciphers need the parameters of dhparamfile, and work with them', async (t) => {
  const ca = makeCa('Test CA')
  const rsa = mutualTls({ ca, server: issueServer(ca, ['127.0.0.1'], { key: 'rsa2048' }) })
  const device = rsa.device('acme/pump-7')
  const options = (port: number) => ({ ...rsa.options(port, device, 'TLSv1.2'), ciphers: DHE })
  const { broker, port } = await start(t, {}, rsa)
  await assert.rejects(RawClient.tls(options(port)), { code: /HANDSHAKE_FAILURE/u })
  broker.replaceCredentials('test', { ...rsa.credentials, dhparam: dhParameters('modp14') })
  const client = await RawClient.tls(options(port))
  t.after(() => client.destroy())
  assert.equal((await client.connect({ clientId: 'x' })).returnCode, 0)
})

test('where dates are ignored an expired certificate is let in and stays, until it is revoked', async (t) => {
  const own = mutualTls({ ignoreDates: true })
  const { broker, port, memory } = await start(t, { ignoreCertificateDates: true }, own)
  const past = { notBefore: Date.now() - 9 * 86_400_000, notAfter: Date.now() - 86_400_000 }
  for (const version of TLS_VERSIONS) {
    const device = own.device('acme/pump-7', past)
    const client = await own.connect(t, port, device, version)
    assert.equal((await client.connect({ clientId: 'x' })).returnCode, 0)
    assert.equal(broker.closeRevoked(), 0)
    await client.ping()
    await own.revoke(device)
    assert.equal(broker.closeRevoked(), 1)
    await client.closed
  }
  const server = own.device('acme/pump-7', { ...past, eku: ['1.3.6.1.5.5.7.3.1'] })
  const refused = new RawClient(connectTls(own.options(port, server)))
  refused.send(connectBytes({ clientId: 'x' }))
  await refused.closed
  assert.deepEqual(refused.unread, [])
  await memory.until('peer.refused', { reason: 'wrong_usage' })
})
