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
    ['notice New client connected from 192.0.2.1:51234 as pump (p2, c1, k60).'],
  ],
  [
    {
      event: 'session.opened',
      ...session,
      protocolLevel: 3,
      clean: false,
      keepAlive: 0,
      user: 'x',
    },
    ["notice New client connected from 192.0.2.1:51234 as pump (p1, c0, k0, u'x')."],
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
    ["notice New client connected from 192.0.2.1:51234 as a?1: Error (p2, c1, k1, u'u?')."],
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
  [{ event: 'subscription.granted', ...session, qos: 1, filter: 'a/#' }, ['subscribe pump 1 a/#']],
  [{ event: 'subscription.ended', ...session, filter: 'a/#' }, ['unsubscribe pump a/#']],
  [{ event: 'config.odd', level: 'warn', msg: 'odd' }, ['warning Warning: odd']],
  [
    { event: 'x', level: 'error', msg: 'failed', err: { message: 'why' } },
    ['error Error: failed: why'],
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
