import { DEFAULT_CIPHERS } from 'node:tls'
import type { Block, ListenerBlock } from './blocks.ts'
import type { SettingValues } from './environment.ts'
import type { Problems } from './problems.ts'
import { GENERAL } from './settings/general.ts'
import { LIMITS } from './settings/limits.ts'
import type { PskConfig, TlsConfig } from './types.ts'

const CERTIFICATE_OR_PSK = 'Cannot use both certificate and psk encryption in a single listener.'
const NO_CAFILE = 'without a cafile no client certificate is asked for'
const NOT_ASKED = 'without require_certificate true no client certificate is asked for'
const BOTH_FILES = 'Both certfile and keyfile must be provided to enable a TLS listener.'

/**
 * TLS of one listener; undefined when it has no certificate. What only makes sense with one is
 * refused without it: somebody who asks for client certificates must not get an open port.
 */
export function tlsOf(
  { settings }: ListenerBlock,
  values: SettingValues,
  problems: Problems,
): TlsConfig | undefined {
  const certfile = settings.text('certfile')
  const keyfile = settings.text('keyfile')
  const cafile = settings.text('cafile')
  const capath = settings.text('capath')
  const requireCertificate = settings.boolean('require_certificate') ?? false
  const useIdentityAsUsername = settings.boolean('use_identity_as_username') ?? false
  const useSubjectAsUsername = settings.boolean('use_subject_as_username') ?? false
  const dhparamfile = settings.text('dhparamfile')
  const asked = [
    ['require_certificate', requireCertificate],
    ['use_identity_as_username', useIdentityAsUsername],
    ['use_subject_as_username', useSubjectAsUsername],
  ] as const
  // TLS ends at the proxy then, which says what it found.
  const isProxied = settings.integer('enable_proxy_protocol') === 2 && certfile === undefined
  const named = asked
    .filter(([name, on]) => on && !(isProxied && name !== 'use_subject_as_username'))
    .map(([name]) => name)
  const refuse = (key: string, problem: string): void =>
    problems.error(settings.placeOf(key), problem)

  if (settings.has('psk_hint')) {
    if (certfile !== undefined || cafile !== undefined) refuse('psk_hint', CERTIFICATE_OR_PSK)
    for (const key of named.filter((key) => key !== 'use_identity_as_username')) {
      refuse(key, `${key} true needs certfile and keyfile: with psk_hint there is no certificate.`)
    }
    return undefined
  }
  if (certfile === undefined || keyfile === undefined) {
    if (certfile !== keyfile) refuse(certfile === undefined ? 'keyfile' : 'certfile', BOTH_FILES)
    else {
      for (const key of ['cafile', 'capath', 'crlfile']) {
        if (settings.has(key)) refuse(key, `${key} specified without certfile and keyfile.`)
      }
      for (const key of named) {
        refuse(key, `${key} true needs certfile and keyfile: without them this is no TLS listener.`)
      }
    }
    warnOfNoEffect(settings, 'dhparamfile', 'there is no certfile', problems)
    return undefined
  }
  const hasCas = cafile !== undefined || capath !== undefined
  if (!hasCas) {
    for (const key of named) {
      refuse(key, `${key} true needs a cafile: without one no client certificate can be verified.`)
    }
  }
  if (named.length === 0) {
    warnOfNoEffect(settings, 'crlfile', hasCas ? NOT_ASKED : NO_CAFILE, problems)
    if (settings.boolean('disable_client_cert_date_checks') === true) {
      const because = hasCas ? NOT_ASKED : NO_CAFILE
      warnOfNoEffect(settings, 'disable_client_cert_date_checks', because, problems)
    }
  }
  return {
    certfile,
    keyfile,
    cafile,
    crlfile: settings.text('crlfile'),
    requireCertificate,
    useIdentityAsUsername,
    minVersion: settings.text('tls_version') === 'tlsv1.3' ? 'TLSv1.3' : 'TLSv1.2',
    ciphers: ciphersOf(settings.text('ciphers'), settings.text('ciphers_tls1.3')),
    ...handshakesOf(values),
    ...(capath === undefined ? {} : { capath }),
    ...(dhparamfile === undefined ? {} : { dhparamfile }),
    ...ticketsOf(values),
    ...(useSubjectAsUsername ? { useSubjectAsUsername } : {}),
    ...(settings.boolean('disable_client_cert_date_checks') === true
      ? { ignoreCertificateDates: true }
      : {}),
  }
}

function warnOfNoEffect(settings: Block, key: string, because: string, problems: Problems): void {
  if (settings.has(key)) {
    problems.warn(settings.placeOf(key), `${key} has no effect: ${because}.`)
  }
}

export function ticketsOf(values: SettingValues): Pick<TlsConfig, 'sessionTickets'> {
  return values.of(GENERAL.tlsSessionTickets) ? { sessionTickets: true } : {}
}

export function handshakesOf(
  values: SettingValues,
): Pick<TlsConfig, 'handshakeTimeoutMs' | 'maxHandshakes' | 'maxHandshakesPerAddress'> {
  return {
    handshakeTimeoutMs: values.of(LIMITS.handshakeTimeoutMs),
    maxHandshakes: values.of(LIMITS.maxHandshakes),
    maxHandshakesPerAddress: values.of(LIMITS.maxHandshakesPerAddress),
  }
}

/**
 * One list of both kinds. Node drops TLS 1.3 when a list names no suite of it, and TLS 1.2 when it
 * names no other, so the kind that was not given keeps its defaults.
 */
export function ciphersOf(
  upTo12: string | undefined,
  for13: string | undefined,
): string | undefined {
  if (upTo12 === undefined && for13 === undefined) return undefined
  const defaults = DEFAULT_CIPHERS.split(':')
  const defaults12 = defaults.filter((name) => !name.startsWith('TLS_')).join(':')
  const defaults13 = defaults.filter((name) => name.startsWith('TLS_')).join(':')
  return `${for13 ?? defaults13}:${upTo12 ?? defaults12}`
}

export function pskOf(
  settings: Block,
  file: string | undefined,
  values: SettingValues,
): PskConfig | undefined {
  const hint = settings.text('psk_hint')
  if (hint === undefined) return undefined
  const useIdentityAsUsername = settings.boolean('use_identity_as_username') ?? false
  const ciphers = settings.text('ciphers')
  return { hint, file, useIdentityAsUsername, ciphers, ...handshakesOf(values) }
}
