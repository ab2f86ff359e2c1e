import { boolean, text, word } from '../values.ts'
import { directive, HONOURED, refused } from './directive.ts'
import type { Directive } from './directive.ts'

const NO_ENGINES = refused(
  'OpenSSL engines cannot be loaded here, and without it the key would be sought elsewhere; give the key as a PEM file in keyfile',
)

/** TLS of the listener opened last. */
export const TLS: readonly Directive[] = [
  directive('cafile', 'listener', text(), HONOURED, { reload: 'content' }),
  directive('capath', 'listener', text(), HONOURED, { reload: 'content' }),
  directive('certfile', 'listener', text(), HONOURED, { reload: 'content' }),
  directive('keyfile', 'listener', text(), HONOURED, { reload: 'content' }),
  directive('ciphers', 'listener', text(), HONOURED),
  directive('ciphers_tls1.3', 'listener', text(), HONOURED),
  directive('crlfile', 'listener', text(), HONOURED, { reload: 'content' }),
  directive('dhparamfile', 'listener', text(), HONOURED, { reload: 'content' }),
  directive('disable_client_cert_date_checks', 'listener', boolean, HONOURED),
  directive('require_certificate', 'listener', boolean, HONOURED),
  directive('use_identity_as_username', 'listener', boolean, HONOURED),
  directive('use_subject_as_username', 'listener', boolean, HONOURED),
  directive('tls_version', 'listener', word('tlsv1.2', 'tlsv1.3'), HONOURED, { repeat: 'error' }),
  directive('tls_engine', 'listener', text(), NO_ENGINES),
  directive('tls_engine_kpass_sha1', 'listener', text(), NO_ENGINES),
  directive('tls_keyform', 'listener', text(), NO_ENGINES, { repeat: 'last', neutral: ['pem'] }),
  directive('psk_hint', 'listener', text(), HONOURED),
]
