import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mosquittoLines, type LogRecord } from '../../core/mosquitto-log.ts'

const peer = { peer: '192.0.2.1', peerPort: 51_234 }
const session = { ...peer, clientId: 'pump' }

const LINES: readonly (readonly [LogRecord, readonly string[]])[] = [
  [
    { event: 'connection.opened', level: 'debug', ...peer, listenerPort: 1883 },
    ['notice New connection from 192.0.2.1:51234 on port 1883.'],
  ],
  [
    { event: 'session.opened', ...session, protocolLevel: 4, clean: true, keepAlive: 60 },
    [
      'notice New client connected from 192.0.2.1:51234 as pump (p4, c1, k60).',
      'debug No will message specified.',
    ],
  ],
  [
    {
      event: 'session.opened',
      ...session,
      protocolLevel: 3,
      clean: false,
      keepAlive: 0,
      user: 'x',
      will: { topic: 'w/\n', qos: 1, retain: true, payloadBytes: 3 },
    },
    [
      "notice New client connected from 192.0.2.1:51234 as pump (p3, c0, k0, u'x').",
      'debug Will message specified (3 bytes) (r1, q1).',
      'debug \tw/?',
    ],
  ],
  [
    {
      event: 'session.opened',
      ...session,
      clientId: 'a\n1: Error',
      protocolLevel: 4,
      clean: true,
      keepAlive: 1,
      user: 'u\u2028',
    },
    [
      "notice New client connected from 192.0.2.1:51234 as a?1: Error (p4, c1, k1, u'u?').",
      'debug No will message specified.',
    ],
  ],
  [
    { event: 'connection.closed', reason: 'client_disconnected', ...session },
    ['notice Client pump [192.0.2.1:51234] disconnected.'],
  ],
  [
    { event: 'connection.closed', reason: 'keep_alive_timeout', ...session },
    ['notice Client pump [192.0.2.1:51234] disconnected: exceeded timeout.'],
  ],
  [
    { event: 'connection.closed', reason: 'connection_lost', ...peer },
    ['notice Client 192.0.2.1 [192.0.2.1:51234] disconnected: connection closed by client.'],
  ],
  [
    {
      event: 'connection.closed',
      reason: 'connect_refused',
      refusal: 'bad_credentials',
      ...session,
    },
    ['notice Client pump [192.0.2.1:51234] disconnected: not authorised.'],
  ],
  [
    { event: 'connection.closed', reason: 'connect_refused', refusal: 'client_id', ...peer },
    ['notice Client 192.0.2.1 [192.0.2.1:51234] disconnected: client identifier not valid.'],
  ],
  [{ event: 'connect.refused', level: 'warn', msg: 'CONNECT refused' }, []],
  [
    { event: 'peer.refused', reason: 'max_connections', peer: '192.0.2.1' },
    ['notice Client connection from 192.0.2.1 denied: max_connections exceeded.'],
  ],
  [
    { event: 'peer.refused', reason: 'proxy_header_timeout', peer: '10.0.0.1', detail: 'none' },
    ['notice Connection rejected, corrupt PROXY header.'],
  ],
  [
    { event: 'peer.refused', reason: 'unknown_subprotocol', ...peer, detail: 'x' },
    ['websockets Client connection from 192.0.2.1 failed: x.'],
  ],
  [
    { event: 'peer.refused', reason: 'foreign_origin', ...peer, detail: 'x' },
    ['notice Client 192.0.2.1 disconnected: non-matching http origin.'],
  ],
  [
    { event: 'peer.refused', reason: 'proxy_header', peer: '10.0.0.1', detail: 'no signature' },
    ['notice Connection rejected, corrupt PROXY header.'],
  ],
  [
    {
      event: 'peer.refused',
      reason: 'proxy_no_tls',
      detail: '192.0.2.1:5 did not connect using TLS',
    },
    ['notice Connection from 192.0.2.1:5 rejected, client did not connect using TLS.'],
  ],
  [
    {
      event: 'peer.refused',
      reason: 'proxy_no_certificate',
      detail: '192.0.2.1:5 did not provide a certificate',
    },
    ['notice Connection from 192.0.2.1:5 rejected, client did not provide a certificate.'],
  ],
  [
    { event: 'peer.refused', reason: 'handshake_failed', peer: '192.0.2.1', detail: 'ECONNRESET' },
    ['notice Client connection from 192.0.2.1 failed: ECONNRESET.'],
  ],
  [
    { event: 'listener.opened', port: 1883, protocol: 'mqtt' },
    [
      'information Opening ipv4 listen socket on port 1883.',
      'information Opening ipv6 listen socket on port 1883.',
    ],
  ],
  [
    { event: 'listener.opened', port: 1883, protocol: 'mqtt', address: '::1' },
    ['information Opening ipv6 listen socket on port 1883.'],
  ],
  [
    { event: 'listener.opened', port: 1883, protocol: 'mqtt', family: 'ipv4' },
    ['information Opening ipv4 listen socket on port 1883.'],
  ],
  [
    { event: 'listener.opened', port: 9001, protocol: 'websockets' },
    ['information Opening websockets listen socket on port 9001.'],
  ],
  [
    { event: 'listener.opened', port: 0, protocol: 'mqtt', socketPath: '/run/s' },
    ['information Opening unix listen socket on path /run/s.'],
  ],
  [
    { event: 'subscription.granted', ...session, qos: 1, filter: 'a/#' },
    ['debug \ta/# (QoS 1)', 'subscribe pump 1 a/#'],
  ],
  [{ event: 'subscription.refused', ...session, qos: 1, filter: 'a\n' }, ['debug \ta? (QoS 1)']],
  [
    { event: 'subscription.ended', ...session, filter: 'a/#' },
    ['debug \ta/#', 'unsubscribe pump a/#'],
  ],
  [{ event: 'config.odd', level: 'warn', msg: 'odd' }, ['warning Warning: odd']],
  [
    { event: 'x', level: 'error', msg: 'failed', err: { message: 'why' } },
    ['error Error: failed: why'],
  ],
  [
    { event: 'x', level: 'error', msg: 'failed', err: { message: 'two\nlines' } },
    ['error Error: failed: two?lines'],
  ],
  [{ event: 'x', level: 'error', msg: 'failed', problem: 'here' }, ['error Error: failed: here']],
  [{ event: 'x', level: 'info', msg: 'said' }, ['information said']],
  [{ event: 'x', level: 'debug', msg: 'said' }, ['debug said']],
]

test("the lines of Mosquitto, and what is not one of Mosquitto's behind its level", () => {
  for (const [record, expected] of LINES) {
    const found = mosquittoLines(record).map(({ type, text }) => `${type} ${text}`)
    assert.deepEqual(found, expected, JSON.stringify(record))
  }
})

const publish = { dup: false, qos: 1, retain: true, packetId: 7, topic: 'a\tb', payloadBytes: 5 }

const PACKETS: readonly (readonly [event: string, LogRecord, readonly string[]])[] = [
  ['received', { packet: 'CONNECT', protocolLevel: 4 }, []],
  [
    'received',
    { packet: 'PUBLISH', ...publish },
    ["Received PUBLISH from pump (d0, q1, r1, m7, 'a?b', ... (5 bytes))"],
  ],
  ['received', { packet: 'PUBACK', packetId: 7 }, ['Received PUBACK from pump (Mid: 7, RC:0)']],
  ['received', { packet: 'PUBREC', packetId: 7 }, ['Received PUBREC from pump (Mid: 7)']],
  ['received', { packet: 'PUBREL', packetId: 7 }, ['Received PUBREL from pump (Mid: 7)']],
  ['received', { packet: 'PUBCOMP', packetId: 7 }, ['Received PUBCOMP from pump (Mid: 7, RC:0)']],
  [
    'received',
    { packet: 'SUBSCRIBE', packetId: 1, filters: [{ filter: 'a/\n', qos: 2 }] },
    ['Received SUBSCRIBE from pump'],
  ],
  [
    'received',
    { packet: 'UNSUBSCRIBE', packetId: 1, filters: [{ filter: 'a' }, { filter: 'b' }] },
    ['Received UNSUBSCRIBE from pump'],
  ],
  ['received', { packet: 'PINGREQ' }, ['Received PINGREQ from pump']],
  ['received', { packet: 'DISCONNECT' }, ['Received DISCONNECT from pump']],
  [
    'sent',
    { packet: 'CONNACK', sessionPresent: true, returnCode: 0 },
    ['Sending CONNACK to pump (1, 0)'],
  ],
  [
    'sent',
    { packet: 'PUBLISH', ...publish, dup: true },
    ["Sending PUBLISH to pump (d1, q1, r1, m7, 'a?b', ... (5 bytes))"],
  ],
  ['sent', { packet: 'PUBACK', packetId: 7 }, ['Sending PUBACK to pump (m7, rc0)']],
  ['sent', { packet: 'PUBREC', packetId: 7 }, ['Sending PUBREC to pump (m7, rc0)']],
  ['sent', { packet: 'PUBREL', packetId: 7 }, ['Sending PUBREL to pump (m7)']],
  ['sent', { packet: 'PUBCOMP', packetId: 7 }, ['Sending PUBCOMP to pump (m7)']],
  ['sent', { packet: 'SUBACK', packetId: 7 }, ['Sending SUBACK to pump']],
  ['sent', { packet: 'UNSUBACK', packetId: 7 }, ['Sending UNSUBACK to pump']],
  ['sent', { packet: 'PINGRESP' }, ['Sending PINGRESP to pump']],
]

test('packets are debug lines in the words of Mosquitto', () => {
  for (const [way, fields, expected] of PACKETS) {
    const record = { event: `packet.${way}`, level: 'trace', ...session, ...fields }
    const found = mosquittoLines(record)
    assert.deepEqual(
      found.map(({ text }) => text),
      expected,
    )
    assert.ok(found.every(({ type }) => type === 'debug'))
  }
  const [connack] = mosquittoLines({
    event: 'packet.sent',
    packet: 'CONNACK',
    ...peer,
    returnCode: 5,
  })
  assert.equal(
    connack?.text,
    'Sending CONNACK to 192.0.2.1 (0, 5)',
    'before there is an identifier',
  )
  const [denied] = mosquittoLines({ event: 'publish.denied', ...session, ...publish })
  assert.equal(denied?.text, "Denied PUBLISH from pump (d0, q1, r1, m7, 'a?b', ... (5 bytes))")
})
