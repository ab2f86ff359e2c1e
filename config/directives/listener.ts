import { boolean, empty, integer, invalid, text, word } from '../values.ts'
import type { ValueKind } from '../values.ts'
import { directive, HONOURED, ignored } from './directive.ts'
import type { Directive } from './directive.ts'

const protocolVersions: ValueKind = {
  description: '`3`, `4`, `5`, separated by commas or blanks',
  parse(label, { rest }) {
    const versions = rest.split(/[, \t]/u).filter((version) => version !== '')
    if (versions.length === 0) return { problem: empty(label) }
    const stranger = versions.find((version) => !['3', '4', '5'].includes(version))
    if (stranger !== undefined) return { problem: invalid(label, stranger) }
    return { value: { kind: 'words', words: [...new Set(versions)].sort() } }
  },
}

const prefix = (problem: string): ValueKind =>
  text((_label, given) => (Buffer.byteLength(given) > 50 ? problem : undefined))

const mountPoint = text((label, given) =>
  /[+#]/u.test(given)
    ? `${invalid(label, given)} Does it contain a wildcard character?`
    : undefined,
)

const aliases = integer({
  min: 0,
  max: 65_535,
  outside: (label) => `Invalid '${label}' value in configuration.`,
})

const maxQos = integer({
  min: 0,
  max: 2,
  outside: () => "'max_qos' must be between 0 and 2 inclusive.",
})

const NO_ALIASES = ignored('a topic alias is MQTT 5, which is not spoken here yet')

/** Who may connect and what they may do; see `per_listener_settings`. */
export const SECURITY: readonly Directive[] = [
  directive('acl_file', 'security', text(), HONOURED, { reload: 'yes' }),
  directive('allow_anonymous', 'security', boolean, HONOURED, { reload: 'yes' }),
  directive('allow_zero_length_clientid', 'security', boolean, HONOURED, { reload: 'yes' }),
  directive(
    'auto_id_prefix',
    'security',
    prefix('auto_id_prefix length must be <= 50.'),
    HONOURED,
    { reload: 'yes' },
  ),
  directive('password_file', 'security', text(), HONOURED, { reload: 'yes' }),
  directive('psk_file', 'security', text(), HONOURED, { reload: 'yes' }),
]

/** Directives of the listener opened last, those for TLS excepted. */
export const LISTENER: readonly Directive[] = [
  directive('accept_protocol_versions', 'own listener', protocolVersions, HONOURED),
  directive('bind_interface', 'listener', text(), HONOURED),
  directive(
    'enable_proxy_protocol',
    'listener',
    integer({ min: 1, max: 2, outside: (label) => `${label} must be 1 or 2.` }),
    HONOURED,
  ),
  directive('proxy_protocol_v2_require_tls', 'listener', boolean, HONOURED),
  directive('http_dir', 'listener', text(), ignored('no files are served over HTTP')),
  directive('listener_allow_anonymous', 'listener', boolean, HONOURED, { reload: 'yes' }),
  directive(
    'listener_auto_id_prefix',
    'listener',
    prefix("'listener_auto_id_prefix' length must be <= 50."),
    HONOURED,
    { reload: 'yes' },
  ),
  directive('max_connections', 'listener or default', integer({ min: -1, raise: true }), HONOURED),
  directive('max_qos', 'listener or default', maxQos, HONOURED),
  directive('maximum_qos', 'listener or default', maxQos, HONOURED, { key: 'max_qos' }),
  directive('max_topic_alias', 'listener', aliases, NO_ALIASES),
  directive('max_topic_alias_broker', 'listener', aliases, NO_ALIASES),
  directive('mount_point', 'listener', mountPoint, HONOURED),
  directive('protocol', 'listener', word('mqtt', 'websockets', 'http_api'), HONOURED),
  directive('socket_domain', 'listener', word('ipv4', 'ipv6'), HONOURED),
  directive('use_username_as_clientid', 'listener', boolean, HONOURED),
  directive('websockets_origin', 'listener', text(), HONOURED, { repeat: 'each' }),
]
