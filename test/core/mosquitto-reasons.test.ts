import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { disconnectReason } from '../../core/mosquitto-reasons.ts'
import { packageRoot } from '../../core/package-root.ts'

const REASONS: readonly (readonly [
  reason: string,
  detail: string,
  refusal: string,
  text: string,
])[] = [
  ['connect_refused', '', 'bad_credentials', 'not authorised'],
  ['connect_refused', '', 'anonymous', 'not authorised'],
  ['connect_refused', '', 'client_id_prefix', 'not authorised'],
  ['connect_refused', '', 'certificate_of_nobody', 'not authorised'],
  ['connect_refused', '', 'client_id', 'client identifier not valid'],
  ['connect_refused', '', 'protocol_level', 'protocol error'],
  ['connect_refused', '', 'keep_alive_too_long', 'protocol error'],
  ['connect_refused', '', 'will_too_large', 'oversize payload'],
  ['connect_refused', '', 'authentication_busy', 'server busy'],
  ['connect_refused', '', 'too_many_sessions', 'quota exceeded'],
  ['connection_lost', '', '', 'connection closed by client'],
  ['connection_lost', 'read ECONNRESET', '', 'Connection reset by peer'],
  ['connection_lost', 'write EPIPE', '', 'Broken pipe'],
  ['connection_lost', 'read ETIMEDOUT', '', 'Connection timed out'],
  ['connection_lost', 'read ESOMETHING', '', 'connection closed by client'],
  ['connect_timeout', '', '', 'exceeded timeout'],
  ['keep_alive_timeout', '', '', 'exceeded timeout'],
  ['malformed_packet', 'EPIPE in a message', '', 'malformed packet'],
  ['protocol_error', '', '', 'protocol error'],
  ['packet_too_large', '', '', 'oversize packet'],
  ['session_taken_over', '', '', 'session taken over'],
  ['publish_denied', 'a/b', '', 'not authorised'],
  ['not_authorised', '', '', 'not authorised'],
  ['not_stored', '', '', 'server unavailable'],
  ['too_slow', '', '', 'quota exceeded'],
  ['certificate_revoked', '', '', 'administrative action'],
  ['certificate_expired', '', '', 'administrative action'],
  ['certificate_untrusted', '', '', 'administrative action'],
  ['stopping', '', '', 'administrative action'],
  ['internal_error', '', '', 'unspecified error'],
]

test('each reason for the end of a connection has the words Mosquitto has for it', () => {
  for (const [reason, detail, refusal, expected] of REASONS) {
    assert.equal(
      disconnectReason(reason, detail, refusal),
      expected,
      `${reason} ${refusal} ${detail}`,
    )
  }
})

test('no close reason is left out', () => {
  const source = readFileSync(join(packageRoot(), 'broker', 'close-reason.ts'), 'utf8')
  const all = [...source.matchAll(/\| '([a-z_]+)'/gu)].map(([, reason = '']) => reason)
  assert.ok(all.length >= 18)
  const tested = new Set(REASONS.map(([reason]) => reason))
  const missing = all.filter((reason) => !tested.has(reason) && reason !== 'client_disconnected')
  assert.deepEqual(missing, [])
})
