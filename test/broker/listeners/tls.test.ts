import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { test, type TestContext } from 'node:test'
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { PacketType } from '../../../broker/packets/index.ts'
import { bitString, element, extension, sequence, time, unsigned } from '../../../pki/der-writer.ts'
import { signingAlgorithm } from '../../../pki/crl-generator.ts'
import { toPem } from '../../../pki/pem.ts'
import { startBroker, type TestBroker } from '../../helpers/broker.ts'
import {
  EKU,
  attribute,
  issue,
  issueServer,
  makeCa,
  nameOf,
  nameOfCns,
  type TestCa,
} from '../../helpers/certificates.ts'
import { HeldSink } from '../../helpers/held-sink.ts'
import { RememberingLog } from '../../helpers/log.ts'
import {
  TLS_VERSIONS,
  credentialsOf,
  mutualTls,
  type MutualTls,
  type Presented,
} from '../../helpers/mutual-tls.ts'
import { RawClient, connectBytes } from '../../helpers/raw-client.ts'

const DAY_MS = 86_400_000

/** Ways to fail and to succeed differ between the two versions of TLS, so everything runs in both. */
const pki = mutualTls()

/** Sends CONNECT with the first flight and waits for the end: everything a peer was ever told. */
async function allAnswers(options: ConnectionOptions, connect = connectBytes({ clientId: 'x' })) {
  const client = new RawClient(connectTls(options))
  client.send(connect)
  await client.closed
  return client.unread.flatMap(({ bytes }) => [...bytes])
}

async function refusals({ metrics }: TestBroker): Promise<Record<string, number>> {
  const { values } = await metrics.connectsRefused.get()
  return Object.fromEntries(values.map(({ labels, value }) => [labels.reason, value]))
}

/** As `openssl x509 -req` makes it: version 1, no extension at all. */
function withoutExtensions(ca: TestCa, commonName: string): Presented {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { identifier, hash } = signingAlgorithm(ca.key)
  const tbs = sequence(
    unsigned(7),
    identifier,
    ca.subject,
    sequence(time(Date.now() - DAY_MS), time(Date.now() + DAY_MS)),
    nameOfCns([commonName]),
    createPublicKey(privateKey).export({ type: 'spki', format: 'der' }),
  )
  const der = sequence(tbs, identifier, bitString(sign(hash, tbs, ca.key)))
  return {
    certificatePem: toPem('CERTIFICATE', der),
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/** OpenSSL itself hides U+0000 in no test: the name is written octet by octet. */
const cnWithNul = nameOf(attribute('2.5.4.3', Buffer.from('acme/pump\0.evil')))
const cnAsBmp = nameOf(attribute('2.5.4.3', Buffer.from('acme/pump', 'utf16le').swap16(), 0x1e))

const now = Date.now()
const foreignCa = makeCa('Foreign CA')
const impostorCa = makeCa('Test CA')
const revoked = pki.device('acme/revoked')
const NOT_AUTHORISED = [0x20, 2, 0, 5]

/** Without bytes: refused before CONNECT was read, the connection only ends. */
const REFUSED: readonly (readonly [
  title: string,
  presented: Presented | undefined,
  reason: string,
  detail: RegExp | undefined,
  answer: readonly number[],
])[] = [
  ['no certificate', undefined, 'no_certificate', /no certificate/u, []],
  ['of a foreign CA', issue(foreignCa, 'acme/pump-7'), 'unknown_ca', /issued by Foreign CA/u, []],
  [
    "of a CA with our CA's name and another key",
    issue(impostorCa, 'acme/pump-7'),
    'unknown_ca',
    /issued by Test CA/u,
    [],
  ],
  [
    'signed by nobody but itself',
    makeCa('acme/pump-7', { isCa: false, eku: [EKU.clientAuth] }),
    'unknown_ca',
    /issued by acme\/pump-7/u,
    [],
  ],
  ['the CA itself', pki.ca, 'wrong_usage', /a CA certificate/u, []],
  [
    'signed by another device',
    issue(pki.device('acme/pump-1') as TestCa, 'acme/pump-7'),
    'unknown_ca',
    /issued by acme\/pump-1/u,
    [],
  ],
  [
    'expired',
    pki.device('acme/pump-7', { notBefore: now - 9 * DAY_MS, notAfter: now - DAY_MS }),
    'expired',
    /certificate: notAfter/u,
    [],
  ],
  [
    'not yet valid',
    pki.device('acme/pump-7', { notBefore: now + DAY_MS, notAfter: now + 9 * DAY_MS }),
    'not_yet_valid',
    /certificate: notBefore/u,
    [],
  ],
  ['RSA with 1024 bits', pki.device('acme/pump-7', { key: 'rsa1024' }), 'weak_key', /1024/u, []],
  [
    'extKeyUsage serverAuth only',
    pki.device('acme/pump-7', { eku: [EKU.serverAuth] }),
    'wrong_usage',
    /extKeyUsage/u,
    [],
  ],
  ['revoked by the CRL', revoked, 'revoked', /is on the CRL of Test CA/u, []],
  ['no CN', pki.device('', { cns: [] }), 'bad_subject', /no CN/u, []],
  [
    'two CNs, the first a good one',
    pki.device('', { cns: ['acme/pump-7', 'acme/pump-8'] }),
    'bad_subject',
    /2 CNs/u,
    [],
  ],
  [
    'U+0000 in the CN',
    pki.device('', { subject: cnWithNul }),
    'bad_subject',
    /control characters/u,
    [],
  ],
  ['a CN in UTF-16', pki.device('', { subject: cnAsBmp }), 'bad_subject', /string type/u, []],
  ['a CN without slash', pki.device('pump-7'), 'cn_without_slash', undefined, NOT_AUTHORISED],
  [
    "the platform account's name",
    pki.device('service_pulse'),
    'cn_without_slash',
    undefined,
    NOT_AUTHORISED,
  ],
  [
    'a CN of three parts',
    pki.device('acme/pump-7/x'),
    'cn_second_slash',
    undefined,
    NOT_AUTHORISED,
  ],
  ['no tenant', pki.device('/pump-7'), 'cn_empty_part', undefined, NOT_AUTHORISED],
  ['no device', pki.device('acme/'), 'cn_empty_part', undefined, NOT_AUTHORISED],
  ['a device called +', pki.device('acme/+'), 'cn_forbidden_character', undefined, NOT_AUTHORISED],
  [
    'a tenant with # in its name',
    pki.device('ac#me/pump-7'),
    'cn_forbidden_character',
    undefined,
    NOT_AUTHORISED,
  ],
]

test('a peer whose certificate does not let it in never sees CONNACK 0', async (t) => {
  await pki.revoke(revoked)
  for (const [title, presented, reason, detail, answer] of REFUSED) {
    for (const version of TLS_VERSIONS) {
      await t.test(`${title}, ${version}`, async (t) => {
        const remembering = new RememberingLog()
        const started = await startBroker(t, {
          ...pki.listener(),
          tenancy: true,
          log: remembering.log,
        })
        const { broker, port } = started
        assert.deepEqual(await allAnswers(pki.options(port, presented, version)), answer)
        const line = await remembering.until(
          answer.length === 0 ? 'peer.refused' : 'connect.refused',
        )
        assert.equal(line['reason'], reason)
        assert.equal(line['listener'], 'test')
        assert.equal(line['peer'], '127.0.0.1')
        if (detail !== undefined) assert.match(String(line['detail']), detail)
        assert.deepEqual(await refusals(started), { [reason]: 1 })
        assert.equal(remembering.last('session.opened'), undefined)
        assert.deepEqual(broker.sessions(), [])
      })
    }
  }
})

test('what only OpenSSL judges counts too: the CA may not issue such names', async (t) => {
  const permitted = sequence(element(0x82, Buffer.from('allowed.test')))
  const nameConstraints = sequence(element(0xa0, permitted))
  const ca = makeCa('Constrained CA', {
    extensions: [extension('2.5.29.30', true, nameConstraints)],
  })
  const own = mutualTls({ ca })
  const remembering = new RememberingLog()
  const { port } = await startBroker(t, { ...own.listener(), log: remembering.log })
  // The server's certificate is of the same CA, and its names are not allowed either.
  const optionsOf = (name: string) => ({
    ...own.options(port, own.device('acme/pump-7', { san: [name] })),
    rejectUnauthorized: false,
  })
  const good = await RawClient.tls(optionsOf('x.allowed.test'))
  t.after(() => good.destroy())
  assert.equal((await good.connect({ clientId: 'x' })).returnCode, 0)
  assert.deepEqual(await allAnswers(optionsOf('x.forbidden.test')), [])
  const line = await remembering.until('peer.refused', { reason: 'unknown_ca' })
  assert.match(String(line['detail']), /^OpenSSL: /u)
})

test('TLS below the configured version is refused in the handshake', async (t) => {
  const { port } = await startBroker(t, { ...pki.listener({ minVersion: 'TLSv1.3' }) })
  const device = pki.device('acme/pump-7')
  await assert.rejects(pki.connect(t, port, device, 'TLSv1.2'), { code: /PROTOCOL_VERSION/u })
  const good = await pki.connect(t, port, device, 'TLSv1.3')
  assert.equal((await good.connect()).returnCode, 0)
})

test('a good certificate is let in, and is the identity', async (t) => {
  const cases: readonly [string, Presented][] = [
    ['P-256', pki.device('acme/pump-7')],
    ['P-384', pki.device('acme/pump-7', { key: 'p384' })],
    ['Ed25519', pki.device('acme/pump-7', { key: 'ed25519' })],
    ['RSA with 2048 bits', pki.device('acme/pump-7', { key: 'rsa2048' })],
    ['without any extension', withoutExtensions(pki.ca, 'acme/pump-7')],
    ['without keyUsage and extKeyUsage', pki.device('acme/pump-7', { eku: null, keyUsage: null })],
    [
      'extKeyUsage of both sides',
      pki.device('acme/pump-7', { eku: [EKU.serverAuth, EKU.clientAuth] }),
    ],
    [
      'a CN of another string type beside other attributes',
      pki.device('', {
        subject: nameOf(
          attribute('2.5.4.10', 'acme/other'),
          attribute('2.5.4.3', 'acme/pump-7', 0x13),
        ),
      }),
    ],
  ]
  for (const [title, presented] of cases) {
    for (const version of TLS_VERSIONS) {
      await t.test(`${title}, ${version}`, async (t) => {
        const remembering = new RememberingLog()
        const { broker, port } = await startBroker(t, {
          ...pki.listener(),
          tenancy: true,
          log: remembering.log,
        })
        const client = await pki.connect(t, port, presented, version)
        const { returnCode } = await client.connect({
          clientId: 'any',
          // Ignored, as by Mosquitto with use_identity_as_username.
          userName: 'service_pulse',
          password: 'secret',
        })
        assert.equal(returnCode, 0)
        const summary = { clientId: 'any', user: 'acme/pump-7', kind: 'device' }
        assert.deepEqual(broker.sessions(), [{ ...summary, listener: 'test', peer: '127.0.0.1' }])
        const line = await remembering.until('session.opened')
        assert.equal(line['tenantId'], 'acme')
        assert.equal(line['deviceId'], 'pump-7')
        assert.equal(line['user'], 'acme/pump-7')
      })
    }
  }
})

test('with tenancy off the CN is the user name, and still no account', async (t) => {
  const { broker, port } = await startBroker(t, {
    ...pki.listener(),
    rules: { tenancy: false, acl: undefined, accountAccess: new Set(['service_pulse']) },
  })
  const client = await pki.connect(t, port, pki.device('service_pulse'))
  assert.equal((await client.connect({ clientId: 'x' })).returnCode, 0)
  assert.equal(broker.sessions()[0]?.kind, 'certificate')
  assert.deepEqual(await client.subscribe(['#', 'tenant/#']), [0x80, 0x80])
})

test('a certificate that is the identity and not required: a bad one is still refused', async (t) => {
  const { port } = await startBroker(t, { ...pki.listener({ requireCertificate: false }) })
  assert.deepEqual(await allAnswers(pki.options(port, issue(foreignCa, 'acme/pump-7'))), [])
  const without = await pki.connect(t, port)
  assert.equal((await without.connect({ clientId: 'x' })).returnCode, 5)
})

test('where a certificate is neither required nor the identity, none is asked for', async (t) => {
  const { port } = await startBroker(t, {
    ...pki.listener({ requireCertificate: false, useIdentityAsUsername: false }),
  })
  for (const presented of [undefined, issue(foreignCa, 'acme/pump-7'), revoked]) {
    const client = await pki.connect(t, port, presented)
    assert.equal((await client.connect({ clientId: 'x' })).returnCode, 0)
  }
})

test('a session that is offered again is not resumed', async (t) => {
  for (const version of TLS_VERSIONS) {
    await t.test(version, async (t) => {
      const remembering = new RememberingLog()
      const { port } = await startBroker(t, { ...pki.listener(), log: remembering.log })
      const device = pki.device('acme/pump-7')
      const options = pki.options(port, device, version)
      const session = await sessionOf(t, options)

      const again = connectTls({ ...options, session })
      const client = new RawClient(again)
      t.after(() => client.destroy())
      assert.equal((await client.connect({ clientId: 'x' })).returnCode, 0)
      assert.equal(again.isSessionReused(), false)

      const naked = { ...pki.options(port, undefined, version), session }
      assert.deepEqual(await allAnswers(naked), [])
      await remembering.until('peer.refused', { reason: 'no_certificate' })
    })
  }
})

/** What a client would offer the next time; with TLS 1.3 the ticket comes after the handshake. */
async function sessionOf(t: TestContext, options: ConnectionOptions): Promise<Buffer> {
  const socket = connectTls(options)
  let session: Buffer | undefined
  socket.on('session', (ticket: Buffer) => (session = ticket))
  const client = new RawClient(socket)
  t.after(() => client.destroy())
  assert.equal((await client.connect({ clientId: 'x' })).returnCode, 0)
  await client.ping()
  session ??= socket.getSession()
  assert.ok(session !== undefined, 'there is something to offer')
  client.destroy()
  return session
}

test('a CRL that is offered ends the connections of what it revokes, and no other', async (t) => {
  const own = mutualTls()
  const remembering = new RememberingLog()
  const sink = new HeldSink()
  const { broker, port, metrics } = await startBroker(t, {
    ...own.listener(),
    tenancy: true,
    sink,
    log: remembering.log,
  })
  const names = ['acme/pump-7', 'acme/pump-70', 'other/pump-7']
  const devices = names.map((name) => ({ name, certificate: own.device(name) }))
  const clients = await Promise.all(
    devices.map(async ({ name, certificate }, i) => {
      const client = await own.connect(t, port, certificate, TLS_VERSIONS[i % 2])
      const will = { topic: `tenant/${name.replace('/', '/device/')}/status`, payload: 'gone' }
      assert.equal((await client.connect({ clientId: 'same', will })).returnCode, 0)
      return client
    }),
  )
  const [pump7, ...others] = clients
  const certificate = devices[0]?.certificate
  assert.ok(pump7 !== undefined && certificate !== undefined)
  assert.equal(broker.closeRevoked(), 0)

  await own.revoke(certificate)
  for (const client of clients) await client.ping()
  assert.equal(broker.closeRevoked(), 1)
  await pump7.closed
  await remembering.until('connection.closed', {
    reason: 'certificate_revoked',
    deviceId: 'pump-7',
    tenantId: 'acme',
  })
  for (const client of others) await client.ping()
  assert.deepEqual(sink.taken, [], 'a revoked device has no last words')
  assert.deepEqual(
    broker.sessions().map(({ user }) => user),
    ['acme/pump-70', 'other/pump-7'],
  )
  const { values } = await metrics.sessionsClosed.get()
  assert.deepEqual(
    values.map(({ labels, value }) => [labels.reason, value]),
    [['certificate_revoked', 1]],
  )
  for (const version of TLS_VERSIONS) {
    assert.deepEqual(await allAnswers(own.options(port, certificate, version)), [])
  }
  await remembering.until('peer.refused', { reason: 'revoked' })
})

test('a certificate revoked between handshake and CONNECT gets no CONNACK 0', async (t) => {
  const own = mutualTls()
  const { port } = await startBroker(t, { ...own.listener(), tenancy: true })
  const bystander = await own.connect(t, port, own.device('acme/bystander'))
  await bystander.connect({ clientId: 'bystander' })
  const certificate = own.device('acme/pump-7')
  const client = await own.connect(t, port, certificate, 'TLSv1.2')
  // Its handshake is over on the broker's side too: TLS 1.2 told the client so.
  await own.revoke(certificate)
  assert.equal((await client.connect({ clientId: 'x' })).returnCode, 5)
  await client.closed
  await bystander.ping()
})

test('new handshakes see a replaced server certificate, open connections go on', async (t) => {
  const { broker, port } = await startBroker(t, {
    ...pki.listener({ minVersion: 'TLSv1.3' }),
    tenancy: true,
  })
  const device = pki.device('acme/pump-7')
  const connect = async (clientId: string) => {
    const socket = connectTls(pki.options(port, device))
    const client = new RawClient(socket)
    t.after(() => client.destroy())
    assert.equal((await client.connect({ clientId })).returnCode, 0)
    return { client, serial: serialSeen(socket) }
  }
  const before = await connect('before')
  assert.equal(before.serial, pki.server.serialNumber)

  const next = issueServer(pki.ca)
  broker.replaceCredentials('test', credentialsOf(next, pki.ca))
  const after = await connect('after')
  assert.equal(after.serial, next.serialNumber)
  await before.client.ping()

  // Neither the client's CA nor the version may be lost on the way.
  assert.deepEqual(await allAnswers(pki.options(port, issue(foreignCa, 'acme/pump-7'))), [])
  assert.deepEqual(await allAnswers(pki.options(port)), [])
  await assert.rejects(pki.connect(t, port, device, 'TLSv1.2'), { code: /PROTOCOL_VERSION/u })

  const unusable: readonly [string, { key: string; cert: string }][] = [
    ["another certificate's key", { key: device.privateKeyPem, cert: next.certificatePem }],
    ['half a certificate', { key: next.privateKeyPem, cert: next.certificatePem.slice(0, 300) }],
    ['half a key', { key: next.privateKeyPem.slice(0, 100), cert: next.certificatePem }],
    ['no certificate in it', { key: next.privateKeyPem, cert: 'nothing' }],
  ]
  for (const [title, keyAndCert] of unusable) {
    const credentials = { ...keyAndCert, ca: pki.ca.certificatePem }
    assert.throws(() => broker.replaceCredentials('test', credentials), title)
    assert.equal((await connect('later')).serial, next.serialNumber, title)
  }
  await before.client.ping()
  await after.client.ping()
})

function serialSeen(socket: TLSSocket): string {
  return (socket.getPeerX509Certificate()?.serialNumber ?? '').toLowerCase()
}

/** A peer that connects and is silent; settles `closed` when the broker ends it. */
async function silentPeer(t: TestContext, port: number, from = '127.0.0.1') {
  const socket = connectTcp({ host: '127.0.0.1', port, localAddress: from })
  t.after(() => socket.destroy())
  socket.on('error', () => undefined)
  socket.resume()
  const closed = once(socket, 'close')
  await once(socket, 'connect')
  return { socket, closed }
}

async function startWithBystander(
  t: TestContext,
  own: MutualTls,
  tls: Parameters<MutualTls['listener']>[0] = {},
) {
  const remembering = new RememberingLog()
  const started = await startBroker(t, {
    ...own.listener(tls),
    tenancy: true,
    log: remembering.log,
  })
  const bystander = await own.connect(t, started.port, own.device('acme/bystander'))
  assert.equal((await bystander.connect({ clientId: 'bystander' })).returnCode, 0)
  return { ...started, bystander, remembering }
}

test('a handshake that does not end is ended by its deadline', async (t) => {
  const started = await startWithBystander(t, pki, { handshakeTimeoutMs: 300 })
  const { port, bystander, remembering } = started
  const silent = await silentPeer(t, port)
  const halfHello = await silentPeer(t, port)
  halfHello.socket.write(Buffer.from('16030100c8010000c40303', 'hex'))
  const dripping = await silentPeer(t, port)
  dripping.socket.write(Buffer.from('16030100c8', 'hex'))
  const drip = setInterval(() => dripping.socket.write(Buffer.of(1)), 40)
  t.after(() => clearInterval(drip))
  await Promise.all([silent.closed, halfHello.closed, dripping.closed])
  const line = await remembering.until('peer.refused', { reason: 'handshake_failed' })
  assert.equal(line['detail'], 'ERR_TLS_HANDSHAKE_TIMEOUT')
  assert.equal((await refusals(started))['handshake_failed'], 3)
  await bystander.ping()
})

test('sockets in handshake are capped', async (t) => {
  await t.test('for each address; others go on', async (t) => {
    const started = await startWithBystander(t, pki, { maxHandshakesPerAddress: 3 })
    const { port, bystander, remembering } = started
    const waiting = [
      await silentPeer(t, port),
      await silentPeer(t, port),
      await silentPeer(t, port),
    ]
    const fourth = await silentPeer(t, port)
    await fourth.closed
    await remembering.until('peer.refused', { reason: 'too_many_handshakes', peer: '127.0.0.1' })
    const device = pki.device('acme/pump-7')
    const elsewhere = connectTls({
      ...pki.options(port, device),
      localAddress: '127.0.0.2',
    } as ConnectionOptions)
    const client = new RawClient(elsewhere)
    t.after(() => client.destroy())
    assert.equal((await client.connect({ clientId: 'x' })).returnCode, 0)
    for (const { socket } of waiting) assert.equal(socket.closed, false)
    await bystander.ping()
  })

  await t.test('in all', async (t) => {
    const started = await startWithBystander(t, pki, { maxHandshakes: 3 })
    const { port, bystander } = started
    for (const from of ['127.0.0.2', '127.0.0.3', '127.0.0.4']) await silentPeer(t, port, from)
    const fourth = await silentPeer(t, port, '127.0.0.5')
    await fourth.closed
    assert.deepEqual(await refusals(started), { too_many_handshakes: 1 })
    await bystander.ping()
  })

  await t.test(
    'and a place is given back at the end of the handshake, however it ends',
    async (t) => {
      const { port } = await startWithBystander(t, pki, {
        maxHandshakes: 1,
        maxHandshakesPerAddress: 1,
      })
      for (let i = 0; i < 3; i++) {
        await allAnswers(pki.options(port, issue(foreignCa, 'acme/pump-7')))
        const plain = await silentPeer(t, port)
        plain.socket.write(connectBytes({ clientId: 'x' }))
        await plain.closed
        const client = await pki.connect(t, port, pki.device('acme/pump-7'))
        assert.equal((await client.connect({ clientId: `x${i}` })).returnCode, 0)
      }
    },
  )
})

test('renegotiation is refused', async (t) => {
  const { port, bystander } = await startWithBystander(t, pki)
  const socket = connectTls(pki.options(port, pki.device('acme/pump-7'), 'TLSv1.2'))
  const client = new RawClient(socket)
  t.after(() => client.destroy())
  assert.equal((await client.connect({ clientId: 'x' })).returnCode, 0)
  const err = await new Promise<Error | null>((resolve) => {
    socket.on('error', resolve)
    socket.renegotiate({}, resolve)
  })
  assert.equal((err as { code?: string } | null)?.code, 'ERR_SSL_NO_RENEGOTIATION')
  await bystander.ping()
})

test('bytes that are no TLS end their connection, quietly', async (t) => {
  const cases: readonly [string, Buffer, string | RegExp][] = [
    ['MQTT', connectBytes({ clientId: 'x' }), 'ERR_SSL_WRONG_VERSION_NUMBER'],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), 'ERR_SSL_HTTP_REQUEST'],
    [
      'a PROXY header',
      Buffer.from('PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n'),
      'ERR_SSL_WRONG_VERSION_NUMBER',
    ],
    ['zeros', Buffer.alloc(300), 'ERR_SSL_WRONG_VERSION_NUMBER'],
    // OpenSSL 3.0, OpenSSL 3.5
    [
      'a record too large',
      Buffer.from('160301ffff', 'hex'),
      /^ERR_SSL_(?:PACKET|DATA)_LENGTH_TOO_LONG$/u,
    ],
  ]
  const started = await startWithBystander(t, pki)
  const { port, bystander, remembering } = started
  for (const [title, bytes, code] of cases) {
    await t.test(title, async (t) => {
      const peer = await silentPeer(t, port)
      peer.socket.write(bytes)
      await peer.closed
      const line = await remembering.until('peer.refused', { reason: 'handshake_failed' })
      if (typeof code === 'string') assert.equal(line['detail'], code)
      else assert.match(String(line['detail']), code)
      assert.equal(line['level'], 'warn')
      remembering.lines.length = 0
      await bystander.ping()
    })
  }
  assert.deepEqual(await refusals(started), { handshake_failed: cases.length })
  assert.equal(remembering.lines.filter(({ level }) => level === 'error').length, 0)
})

test('what comes with the end of the handshake is served', async (t) => {
  const { port } = await startBroker(t, { ...pki.listener(), tenancy: true })
  const socket = connectTls(pki.options(port, pki.device('acme/pump-7'), 'TLSv1.3'))
  const client = new RawClient(socket)
  t.after(() => client.destroy())
  client.send(Buffer.concat([connectBytes({ clientId: 'x' }), Buffer.from([0xc0, 0])]))
  assert.equal((await client.next()).type, PacketType.CONNACK)
  assert.equal((await client.next()).type, PacketType.PINGRESP)
})
