import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newcomerConfig } from '../../config/newcomer.ts'
import { load } from './in-memory.ts'

const TLS = 'listener 8883\ncertfile c\nkeyfile k\nallow_anonymous true\n'

function tlsOf(text: string, environment: Record<string, string> = {}) {
  const { config, warnings } = load(text, { environment })
  return { tls: config.listeners[0]?.tls, config, warnings: warnings.map(({ problem }) => problem) }
}

test('TLS sessions are not resumed unless the file or the environment asks for it', () => {
  assert.equal(tlsOf(TLS).tls?.sessionTickets, undefined)
  assert.equal(tlsOf(`${TLS}midge_tls_session_tickets true`).tls?.sessionTickets, true)
  assert.equal(tlsOf(TLS, { MIDGE_TLS_TICKETS: 'true' }).tls?.sessionTickets, true)
  const text = `${TLS}midge_tls_session_tickets true`
  assert.equal(tlsOf(text, { MIDGE_TLS_TICKETS: 'false' }).tls?.sessionTickets, undefined)
})

test('the Session of a revoked certificate is discarded unless it is to be kept', () => {
  assert.equal(tlsOf(TLS).config.revokedSession, 'discard')
  assert.equal(tlsOf(`${TLS}midge_revoked_session keep`).config.revokedSession, 'keep')
  assert.equal(tlsOf(TLS, { MIDGE_REVOKED_SESSION: 'keep' }).config.revokedSession, 'keep')
})

test('a start without file takes both from the environment', () => {
  const start = (environment: Record<string, string>) =>
    newcomerConfig({ environment, dataDirectory: undefined })
  const { revokedSession, listeners } = start({
    MIDGE_TLS_TICKETS: '1',
    MIDGE_REVOKED_SESSION: 'keep',
  })
  assert.equal(revokedSession, 'keep')
  assert.equal(listeners.find(({ tls }) => tls !== undefined)?.tls?.sessionTickets, true)
  assert.equal(
    start({}).listeners.find(({ tls }) => tls !== undefined)?.tls?.sessionTickets,
    undefined,
  )
})

const NO_EFFECT: readonly (readonly [string, string])[] = [
  [
    `${TLS}cafile a\ncrlfile r`,
    'crlfile has no effect: without require_certificate true no client certificate is asked for.',
  ],
  [
    `${TLS}crlfile r`,
    'crlfile has no effect: without a cafile no client certificate is asked for.',
  ],
  [
    `${TLS}disable_client_cert_date_checks true`,
    'disable_client_cert_date_checks has no effect: without a cafile no client certificate is asked for.',
  ],
  [
    'listener 1\nallow_anonymous true\ndhparamfile d',
    'dhparamfile has no effect: there is no certfile.',
  ],
]

test('what has no effect is warned of', () => {
  for (const [text, warning] of NO_EFFECT) assert.deepEqual(tlsOf(text).warnings, [warning], text)
  for (const text of [
    `${TLS}disable_client_cert_date_checks false`,
    `${TLS}capath p\ncrlfile r\nrequire_certificate true`,
  ]) {
    assert.deepEqual(tlsOf(text).warnings, [], text)
  }
})
