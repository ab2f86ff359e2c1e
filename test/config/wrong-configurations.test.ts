import assert from 'node:assert/strict'
import { test } from 'node:test'
import { refusals } from './in-memory.ts'

/** The text, and every message of its refusal: `line: problem`. */
type Case = readonly [text: string, ...messages: string[]]

const L = 'listener 1883\n'
const T = 'listener 8883\ncertfile /c\nkeyfile /k\n'
const B = 'connection b\naddress host\ntopic #\n'
const NO_BRIDGE = "1: Bridges are not supported yet: connection 'b'."

const UNKNOWN: readonly Case[] = [
  ['foo', "1: Unknown configuration variable 'foo'."],
  ['foo bar', "1: Unknown configuration variable 'foo'."],
  ['# ok\n\nfoo', "3: Unknown configuration variable 'foo'."],
  ['Listener 1883', "1: Unknown configuration variable 'Listener'."],
  ['listener\t1883', "1: Unknown configuration variable 'listener\\x091883'."],
  ['\tlistener 1883', "1: Unknown configuration variable '\\x09listener'."],
  ['  # not a comment', "1: Unknown configuration variable '#'."],
  ['allow_anonymous=true', "1: Unknown configuration variable 'allow_anonymous=true'."],
  ['=', "1: Unknown configuration variable '='."],
  ['__proto__ x', "1: Unknown configuration variable '__proto__'."],
  ['constructor x', "1: Unknown configuration variable 'constructor'."],
  ['listener\u00a01883', "1: Unknown configuration variable 'listener\u00a01883'."],
  ['plugin_op x', "1: Unknown configuration variable 'plugin_op'."],
  ['midge_nonsense 1', "1: Unknown configuration variable 'midge_nonsense'."],
  ['midge_mqtt_port 1883', "1: Unknown configuration variable 'midge_mqtt_port'."],
  ['midge_ x', "1: Unknown configuration variable 'midge_'."],
  [`${'x'.repeat(300)} 1`, `1: Unknown configuration variable '${'x'.repeat(120)}…'.`],
  ['a\nb\nc', ...['a', 'b', 'c'].map((n, i) => `${i + 1}: Unknown configuration variable '${n}'.`)],
]

const EMPTY: readonly Case[] = [
  ['listener', "1: Empty 'listener port' value in configuration."],
  ['listener  ', "1: Empty 'listener port' value in configuration."],
  ['port', "1: Empty 'port' value in configuration."],
  ['bind_address ', "1: Empty 'default listener bind_address' value in configuration."],
  ['allow_anonymous', "1: Empty 'allow_anonymous' value in configuration."],
  ['password_file \t ', "1: Empty 'password_file' value in configuration."],
  ['acl_file', "1: Empty 'acl_file' value in configuration."],
  ['persistence', "1: Empty 'persistence' value in configuration."],
  ['max_packet_size', "1: Empty 'max_packet_size' value in configuration."],
  ['log_type', "1: Empty 'log_type' value in configuration."],
  ['log_dest', "1: Empty 'log_dest' value in configuration."],
  ['log_dest file', '1: Empty "log_dest file" value in configuration.'],
  ['log_dest file  ', '1: Empty "log_dest file" value in configuration.'],
  ['include_dir', "1: Empty 'include_dir' value in configuration."],
  ['per_listener_settings', "1: Empty 'per_listener_settings' value in configuration."],
  [
    'persistent_client_expiration',
    "1: Empty 'persistent_client_expiration' value in configuration.",
  ],
  ['connection', "1: Empty 'connection' value in configuration."],
  ['plugin', "1: Empty 'plugin' value in configuration."],
  ['auth_plugin', "1: Empty 'auth_plugin' value in configuration."],
  ['plugin_load', "1: Empty 'plugin_load' value in configuration."],
  ['plugin_load name', "1: Empty 'plugin_load' value in configuration."],
  [`${L}protocol`, "2: Empty 'protocol' value in configuration."],
  [
    `${L}accept_protocol_versions , ,`,
    "2: Empty 'accept_protocol_versions' value in configuration.",
  ],
  [`${L}socket_domain`, "2: Empty 'socket_domain' value in configuration."],
  [`${L}certfile`, "2: Empty 'certfile' value in configuration."],
  [`${L}plugin_use`, "2: Empty 'plugin_use' value in configuration."],
  [`${B}remote_username`, NO_BRIDGE, "4: Empty 'bridge remote_username' value in configuration."],
  [`${B}restart_timeout`, NO_BRIDGE, "4: Empty 'restart_timeout' value in configuration."],
  ['midge_tenancy', "1: Empty 'midge_tenancy' value in configuration."],
]

const DUPLICATE: readonly Case[] = [
  ['password_file a\npassword_file a', "2: Duplicate 'password_file' value in configuration."],
  ['acl_file a\nacl_file b', "2: Duplicate 'acl_file' value in configuration."],
  [
    'bind_address 127.0.0.1\nbind_address ::1',
    "2: Duplicate 'default listener bind_address' value in configuration.",
  ],
  [
    'log_timestamp_format a\nlog_timestamp_format b',
    "2: Duplicate 'log_timestamp_format' value in configuration.",
  ],
  ['pid_file a\npid_file b', "2: Duplicate 'pid_file' value in configuration."],
  [
    'persistence_file a\npersistence_file b',
    "2: Duplicate 'persistence_file' value in configuration.",
  ],
  [`${T}cafile a\ncafile b`, "5: Duplicate 'cafile' value in configuration."],
  [`${T}certfile b`, "4: Duplicate 'certfile' value in configuration."],
  [
    `${T}tls_version tlsv1.2\ntls_version tlsv1.3`,
    "5: Duplicate 'tls_version' value in configuration.",
  ],
  ['log_dest file a\nlog_dest file b', '2: Duplicate "log_dest file" value.'],
  ['midge_tenancy on\nmidge_tenancy off', "2: Duplicate 'midge_tenancy' value in configuration."],
  [
    `${B}remote_username a\nusername b`,
    NO_BRIDGE,
    "5: Duplicate 'bridge remote_username' value in configuration.",
  ],
  [`${B}connection b\naddress h\ntopic #`, NO_BRIDGE, "4: Duplicate bridge name 'b'."],
  [`${B}address other`, "4: Invalid bridge configuration, 'address' only allowed once.", NO_BRIDGE],
  [
    `listener 1883\n# again\nlistener 1883`,
    '3: Port 1883 is taken by the listener of mosquitto.conf:1.',
  ],
  [
    `listener 1883 ::1\nlistener 1883`,
    '2: Port 1883 is taken by the listener of mosquitto.conf:1.',
  ],
  [
    `port 1883\nlistener 1883 127.0.0.1`,
    '2: Port 1883 is taken by the listener of mosquitto.conf:1.',
  ],
]

const BOOLEANS = [
  ['allow_anonymous', 'True'],
  ['allow_anonymous', 'yes'],
  ['allow_anonymous', 'on'],
  ['allow_anonymous', '2'],
  ['allow_anonymous', 'true\t'],
  ['allow_anonymous', '01'],
  ['allow_anonymous', 'truefalse'],
  ['persistence', 'FALSE'],
  ['per_listener_settings', 'no'],
  ['retain_available', '-1'],
  ['connection_messages', '"true"'],
  ['queue_qos0_messages', 'null'],
] as const

const CHOICES: readonly Case[] = [
  ...BOOLEANS.map(([name, value]): Case => {
    return [`${name} ${value}`, `1: Invalid '${name}' value (${value.replace('\t', '\\x09')}).`]
  }),
  [`${T}require_certificate off`, "4: Invalid 'require_certificate' value (off)."],
  [
    `${T}cafile a\nuse_identity_as_username TRUE`,
    "5: Invalid 'use_identity_as_username' value (TRUE).",
  ],
  [`${L}listener_allow_anonymous maybe`, "2: Invalid 'listener_allow_anonymous' value (maybe)."],
  [`${L}protocol mqttsn`, "2: Invalid 'protocol' value (mqttsn)."],
  [`${L}protocol WebSockets`, "2: Invalid 'protocol' value (WebSockets)."],
  [`${L}protocol ws`, "2: Invalid 'protocol' value (ws)."],
  [`${L}socket_domain ipv5`, "2: Invalid 'socket_domain' value (ipv5)."],
  [`${T}tls_version tlsv1.1`, "4: Invalid 'tls_version' value (tlsv1.1)."],
  [`${T}tls_version TLSv1.2`, "4: Invalid 'tls_version' value (TLSv1.2)."],
  [`${T}tls_version sslv3`, "4: Invalid 'tls_version' value (sslv3)."],
  [`${L}accept_protocol_versions 4,6`, "2: Invalid 'accept_protocol_versions' value (6)."],
  ['log_type verbose', "1: Invalid 'log_type' value (verbose)."],
  ['log_dest console', "1: Invalid 'log_dest' value (console)."],
  [
    'persistent_client_expiration 5',
    "1: Invalid 'persistent_client_expiration' duration in configuration.",
  ],
  [
    'persistent_client_expiration 0d',
    "1: Invalid 'persistent_client_expiration' duration in configuration.",
  ],
  [
    'persistent_client_expiration -1d',
    "1: Invalid 'persistent_client_expiration' duration in configuration.",
  ],
  [
    'persistent_client_expiration d',
    "1: Invalid 'persistent_client_expiration' duration in configuration.",
  ],
  [
    'persistent_client_expiration 1M',
    "1: Invalid 'persistent_client_expiration' duration in configuration.",
  ],
  ['midge_tenancy yes', "1: Invalid 'midge_tenancy' value (yes): expected auto or on or off."],
  [
    'midge_crl_stale Refuse',
    "1: Invalid 'midge_crl_stale' value (Refuse): expected serve-stale or refuse.",
  ],
  [
    'midge_http_port 99999',
    "1: Invalid 'midge_http_port' value (99999): expected a port from 0 to 65535, or off.",
  ],
  [
    'midge_batch_size 0',
    "1: Invalid 'midge_batch_size' value (0): expected a whole number from 1 to 100000.",
  ],
  [
    'midge_database_url mysql://u:secret@h/d',
    "1: Invalid 'midge_database_url' value: expected a postgres:// URL.",
  ],
]

const NUMBERS: readonly Case[] = [
  ['listener abc', "1: 'listener port' value not a number."],
  ['listener 1883x', "1: 'listener port' value not a number."],
  ['listener 1883,8883', "1: 'listener port' value not a number."],
  ['listener 127.0.0.1:1883', "1: 'listener port' value not a number."],
  ['listener :1883', "1: 'listener port' value not a number."],
  ['listener 0x', "1: 'listener port' value not a number."],
  ['listener 08', "1: 'listener port' value not a number."],
  ['listener 1e3', "1: 'listener port' value not a number."],
  ['listener 1_883', "1: 'listener port' value not a number."],
  ['listener ١٨٨٣', "1: 'listener port' value not a number."],
  ['listener -1', "1: Invalid 'port' value (-1)."],
  ['listener 65536', "1: Invalid 'port' value (65536)."],
  ['listener 0x10000', "1: Invalid 'port' value (65536)."],
  ['listener 99999999999999999999', "1: 'listener port' value out of range."],
  ['listener 0', '1: A listener with port 0 must provide a Unix socket path.'],
  ['listener 0 # none', '1: A listener with port 0 must provide a Unix socket path.'],
  ['port 0', "1: Invalid 'port' value (0)."],
  ['port 65536', "1: Invalid 'port' value (65536)."],
  ['port http', "1: 'port' value not a number."],
  ['max_packet_size 19', "1: 'max_packet_size' must be >= 20."],
  ['max_packet_size 0', "1: 'max_packet_size' must be >= 20."],
  ['max_packet_size -5', "1: 'max_packet_size' must be >= 20."],
  ['max_packet_size 1MB', "1: 'max_packet_size' value not a number."],
  ['max_packet_size 2147483648', "1: 'max_packet_size' value out of range."],
  ['max_inflight_messages 65536', "1: 'max_inflight_messages' must be <= 65535."],
  ['max_inflight_messages many', "1: 'max_inflight_messages' value not a number."],
  ['max_queued_messages 1.5', "1: 'max_queued_messages' value not a number."],
  ['max_queued_messages 10\t', "1: 'max_queued_messages' value not a number."],
  ['max_keepalive 65536', "1: Invalid 'max_keepalive' value (65536)."],
  ['max_keepalive -1', "1: Invalid 'max_keepalive' value (-1)."],
  ['message_size_limit 268435456', "1: Invalid 'message_size_limit' value (268435456)."],
  ['sys_interval 65536', "1: Invalid 'sys_interval' value (65536)."],
  ['sys_interval -1', "1: Invalid 'sys_interval' value (-1)."],
  ['memory_limit -1', "1: Invalid 'memory_limit' value (-1)."],
  ['packet_buffer_size 65536', '1: Packet buffer size must be between 0 and 65535 inclusive.'],
  ['websockets_headers_size -1', '1: Packet buffer size must be between 0 and 65535 inclusive.'],
  ['retain_expiry_interval 0', '1: retain_expiry_interval must be >= 1.'],
  ['log_facility 8', "1: Invalid 'log_facility' value (8)."],
  ['max_qos 3', "1: 'max_qos' must be between 0 and 2 inclusive."],
  [`${L}maximum_qos -1`, "2: 'max_qos' must be between 0 and 2 inclusive."],
  [`${L}max_topic_alias 65536`, "2: Invalid 'max_topic_alias' value in configuration."],
  [`${L}max_topic_alias_broker -1`, "2: Invalid 'max_topic_alias_broker' value in configuration."],
  [`${L}enable_proxy_protocol 0`, '2: enable_proxy_protocol must be 1 or 2.'],
  [`${L}enable_proxy_protocol 3`, '2: enable_proxy_protocol must be 1 or 2.'],
  [`${L}auto_id_prefix ${'a'.repeat(51)}`, '2: auto_id_prefix length must be <= 50.'],
  [
    `${L}listener_auto_id_prefix ${'é'.repeat(26)}`,
    "2: 'listener_auto_id_prefix' length must be <= 50.",
  ],
]

const before = (name: string, value = 'x'): Case => [
  `${name} ${value}`,
  `1: The '${name}' option requires a listener to be defined first.`,
]

const BLOCKS: readonly Case[] = [
  before('certfile'),
  before('keyfile'),
  before('cafile'),
  before('capath'),
  before('crlfile'),
  before('ciphers'),
  before('protocol', 'websockets'),
  before('require_certificate', 'true'),
  before('use_identity_as_username', 'true'),
  before('tls_version', 'tlsv1.2'),
  before('listener_allow_anonymous', 'true'),
  before('mount_point'),
  before('socket_domain', 'ipv4'),
  before('websockets_origin'),
  before('plugin_use'),
  before('psk_hint'),
  [
    'port 1883\naccept_protocol_versions 4',
    "2: The 'accept_protocol_versions' option requires a listener to be defined first.",
  ],
  [
    'port 1883\nplugin_use x',
    "2: The 'plugin_use' option requires a listener to be defined first.",
  ],
  [
    'per_listener_settings true\npassword_file a\nlistener 1883',
    "2: The 'password_file' option requires a listener to be defined first.",
  ],
  [
    'per_listener_settings true\nacl_file a\nallow_anonymous true',
    "2: The 'acl_file' option requires a listener to be defined first.",
    "3: The 'allow_anonymous' option requires a listener to be defined first.",
  ],
  [
    'per_listener_settings true\nplugin /x.so',
    "2: The 'plugin' option requires a listener to be defined first.",
  ],
  [
    'password_file a\nper_listener_settings true',
    '2: per_listener_settings must be set before any other security settings.',
  ],
  [
    `${L}allow_anonymous true\nper_listener_settings true`,
    '3: per_listener_settings must be set before any other security settings.',
  ],
  ['address host', "1: The 'address' option requires a bridge to be defined first."],
  ['topic # both', "1: The 'topic' option requires a bridge to be defined first."],
  ['remote_password x', "1: The 'remote_password' option requires a bridge to be defined first."],
  ['bridge_cafile x', "1: The 'bridge_cafile' option requires a bridge to be defined first."],
  [
    'plugin_opt_x y',
    "1: The 'plugin_opt_x' option requires plugin/global_plugin/plugin_load to be defined first.",
  ],
  [
    'auth_opt_x y',
    "1: The 'auth_opt_x' option requires plugin/global_plugin/plugin_load to be defined first.",
  ],
  [
    'auth_plugin_deny_special_chars true',
    "1: The 'auth_plugin_deny_special_chars' option requires plugin/global_plugin/plugin_load to be defined first.",
  ],
]

const TLS: readonly Case[] = [
  [
    'listener 8883\ncertfile a',
    '2: Both certfile and keyfile must be provided to enable a TLS listener.',
  ],
  [
    'listener 8883\nkeyfile a',
    '2: Both certfile and keyfile must be provided to enable a TLS listener.',
  ],
  ['listener 8883\ncafile a', '2: cafile specified without certfile and keyfile.'],
  ['listener 8883\ncrlfile a', '2: crlfile specified without certfile and keyfile.'],
  [
    'listener 8883\nrequire_certificate true',
    '2: require_certificate true needs certfile and keyfile: without them this is no TLS listener.',
  ],
  [
    'listener 8883\nuse_identity_as_username true',
    '2: use_identity_as_username true needs certfile and keyfile: without them this is no TLS listener.',
  ],
  [
    `${T}require_certificate true`,
    '4: require_certificate true needs a cafile: without one no client certificate can be verified.',
  ],
  [
    `${T}use_identity_as_username true`,
    '4: use_identity_as_username true needs a cafile: without one no client certificate can be verified.',
  ],
  [
    `${T}cafile a\npsk_hint h`,
    '5: Cannot use both certificate and psk encryption in a single listener.',
  ],
  [
    `${T}enable_proxy_protocol 2`,
    '4: certfile and keyfile cannot be used with `enable_proxy_protocol 2`.',
  ],
  [
    `${T}cafile a\nuse_subject_as_username true\nenable_proxy_protocol 2`,
    '6: use_subject_as_username cannot be used with `enable_proxy_protocol 2`.',
    '6: certfile and keyfile cannot be used with `enable_proxy_protocol 2`.',
  ],
]

const NOT_YET: readonly Case[] = [
  [
    'listener 0 /run/mqtt.sock\nlistener 0 /run/mqtt.sock',
    '2: /run/mqtt.sock is taken by the listener of mosquitto.conf:1.',
  ],
  [
    `${L}proxy_protocol_v2_require_tls true`,
    '2: proxy_protocol_v2_require_tls true needs `enable_proxy_protocol 2`.',
  ],
  [
    `${L}enable_proxy_protocol 1\nrequire_certificate true`,
    '3: require_certificate true needs certfile and keyfile: without them this is no TLS listener.',
  ],
  [
    `${L}mount_point a/+/b`,
    "2: Invalid 'mount_point' value (a/+/b). Does it contain a wildcard character?",
  ],
]

const ENGINES =
  'is refused: OpenSSL engines cannot be loaded here, and without it the key would be sought elsewhere; give the key as a PEM file in keyfile.'
const NO_PLUGIN =
  'cannot be loaded: plugins are machine code for Mosquitto, and without it its checks would be missing.'

const REFUSED: readonly Case[] = [
  [
    'enable_control_api true',
    "1: The 'enable_control_api' option is refused: nothing answers on $CONTROL here, and an ACL written for it would open it to everybody; change the file and reload instead.",
  ],
  [`${T}tls_engine pkcs11`, `4: The 'tls_engine' option ${ENGINES}`],
  [`${T}tls_engine_kpass_sha1 00ff`, `4: The 'tls_engine_kpass_sha1' option ${ENGINES}`],
  [`${T}tls_keyform engine`, `4: The 'tls_keyform' option ${ENGINES}`],
  [
    `${L}protocol http_api`,
    "2: The 'protocol' option is refused: there is no http_api here, and MQTT would answer in its place; MIDGE_HTTP_PORT opens health and metrics.",
  ],
  ['plugin /usr/lib/my_auth.so', `1: Plugin '/usr/lib/my_auth.so' ${NO_PLUGIN}`],
  [
    'auth_plugin /usr/lib/go-auth.so\nauth_opt_backends postgres\nauth_opt_log_level debug',
    `1: Plugin '/usr/lib/go-auth.so' ${NO_PLUGIN}`,
  ],
  [
    'global_plugin /usr/lib/mosquitto_dynamic_security.so\nplugin_opt_config_file /d.json',
    "1: Plugin '/usr/lib/mosquitto_dynamic_security.so' is not supported yet: use password_file and acl_file.",
  ],
  [
    'plugin /x/mosquitto_persist_sqlite.so',
    "1: Plugin '/x/mosquitto_persist_sqlite.so' is not supported yet: sessions, queued and retained messages live in memory for now.",
  ],
  [
    'plugin /x/mosquitto_sparkplug_aware.so',
    "1: Plugin '/x/mosquitto_sparkplug_aware.so' is not supported yet: Sparkplug births are ordinary messages here.",
  ],
  [
    'plugin mosquitto_password_file.so',
    "1: Plugin 'mosquitto_password_file' needs plugin_opt_password_file.",
  ],
  ['plugin /x/mosquitto_acl_file.dll', "1: Plugin 'mosquitto_acl_file' needs plugin_opt_acl_file."],
  [
    'password_file a\nplugin mosquitto_password_file.so\nplugin_opt_password_file b',
    "3: Duplicate 'password_file' value in configuration.",
  ],
  [
    'plugin mosquitto_acl_file.so\nplugin_opt_ x\nplugin_opt_acl_file',
    "2: Invalid 'plugin_opt_' config option.",
    "3: Empty 'acl_file' value in configuration.",
    "1: Plugin 'mosquitto_acl_file' needs plugin_opt_acl_file.",
  ],
  [`${L}plugin_use nobody`, "2: Plugin 'nobody' not previously loaded."],
  [
    'plugin_load a mosquitto_acl_file.so\nplugin_opt_acl_file x\nplugin_load a other.so',
    "3: Duplicate plugin name 'a'.",
  ],
]

const BRIDGES: readonly Case[] = [
  [B, NO_BRIDGE],
  [
    'connection b',
    '1: Invalid bridge configuration: no remote addresses defined.',
    '1: Invalid bridge configuration: no topics defined.',
    NO_BRIDGE,
  ],
  ['connection b\naddress host', '1: Invalid bridge configuration: no topics defined.', NO_BRIDGE],
  ['connection b\naddress # none\ntopic #', '2: Empty address value in configuration.', NO_BRIDGE],
  ['connection b\naddress h:0\ntopic #', '2: Invalid bridge port value (0).', NO_BRIDGE],
  ['connection b\naddresses h:1 g:x\ntopic #', '2: Invalid bridge port value (x).', NO_BRIDGE],
  [`${B}topic a up`, "4: Invalid bridge topic direction 'up'.", NO_BRIDGE],
  [`${B}topic a in 3`, "4: Invalid bridge QoS level '3'.", NO_BRIDGE],
  [`${B}topic a in x`, "4: Invalid bridge QoS level 'x'.", NO_BRIDGE],
  [`${B}topic "a b out`, '4: Missing closing quote in topic value (b out).', NO_BRIDGE],
  [`${B}topic "`, '4: Missing closing quote in topic value ().', NO_BRIDGE],
  [
    `${B}topic "" out 0 local/`,
    '4: Invalid bridge configuration: topic "" needs a local and a remote prefix.',
    NO_BRIDGE,
  ],
  [`${B}bridge_psk 00`, '4: Invalid bridge configuration: missing bridge_identity.', NO_BRIDGE],
  [`${B}bridge_identity i`, '4: Invalid bridge configuration: missing bridge_psk.', NO_BRIDGE],
  [
    `${B}bridge_identity i\nbridge_psk 00\nbridge_cafile c`,
    "6: 'bridge_cafile': Cannot use both certificate and psk encryption in a single bridge.",
    NO_BRIDGE,
  ],
  [
    `${B}bridge_protocol_version mqttv5`,
    "4: Invalid 'bridge_protocol_version' value (mqttv5).",
    NO_BRIDGE,
  ],
  [`${B}start_type manual`, '4: Manual start_type not supported.', NO_BRIDGE],
  [`${B}start_type later`, "4: Invalid 'start_type' value (later).", NO_BRIDGE],
  [`${B}keepalive_interval 65536`, '4: Bridge keepalive value too high.', NO_BRIDGE],
  [
    `${B}restart_timeout 10 5`,
    '4: backoff cap is lower than the base in restart_timeout.',
    NO_BRIDGE,
  ],
  [`${B}restart_timeout 5 10 -1`, '4: stable connection period cannot be negative.', NO_BRIDGE],
  [`${B}bridge_receive_maximum 0`, '4: bridge_receive_maximum must be greater than 0.', NO_BRIDGE],
  [
    `${B}bridge_receive_maximum 70000`,
    '4: bridge_receive_maximum must be lower than 65535.',
    NO_BRIDGE,
  ],
  [
    `${B}bridge_max_topic_alias 65536`,
    '4: bridge_max_topic_alias must be > 0 and <= 65535.',
    NO_BRIDGE,
  ],
  [
    `${B}bridge_session_expiry_interval -1`,
    '4: bridge_session_expiry_interval must not be negative.',
    NO_BRIDGE,
  ],
  [`${B}bridge_tcp_keepalive 10 0 3`, '4: invalid TCP keepalive interval value.', NO_BRIDGE],
  [
    `${B}bridge_tcp_keepalive 10 5`,
    "4: Empty 'bridge_tcp_keepalive_counter' value in configuration.",
    NO_BRIDGE,
  ],
  [`${B}bridge_tcp_user_timeout -1`, '4: invalid TCP user timeout value.', NO_BRIDGE],
  [
    `${B}bridge_require_ocsp true`,
    "4: The 'bridge_require_ocsp' option is refused: OCSP is not asked here, so a revoked certificate of the other broker would pass.",
    NO_BRIDGE,
  ],
  [
    `${B}local_clientid same\nconnection c\naddress h\ntopic #\nlocal_clientid same`,
    NO_BRIDGE,
    "8: Bridge local_clientid 'same' is not unique. Try changing or setting the local_clientid value for one of the bridges.",
    "5: Bridges are not supported yet: connection 'c'.",
  ],
]

const TEXTS: readonly Case[] = [
  ['password_file a\u0001b', '1: Malformed UTF-8 in configuration.'],
  ['password_file a\u0000b', '1: Malformed UTF-8 in configuration.'],
  ['password_file a\tb', '1: Malformed UTF-8 in configuration.'],
  ['password_file a\u009fb', '1: Malformed UTF-8 in configuration.'],
  ['password_file a\ufffeb', '1: Malformed UTF-8 in configuration.'],
  [`password_file ${'x'.repeat(65_536)}`, "1: 'password_file' value is longer than 65535 bytes."],
  [`acl_file ${'é'.repeat(32_768)}`, "1: 'acl_file' value is longer than 65535 bytes."],
  ['# c\rallow_anonymous true\nacl_file x\ry', '2: Malformed UTF-8 in configuration.'],
]

const TABLES: Readonly<Record<string, readonly Case[]>> = {
  'unknown names': UNKNOWN,
  'missing values': EMPTY,
  'values given twice': DUPLICATE,
  'words that are none of the choices': CHOICES,
  'numbers that are none, or out of range': NUMBERS,
  'directives before the block they belong to': BLOCKS,
  'TLS that would not be what it says': TLS,
  'what is not supported yet': NOT_YET,
  'what would be unsafe to ignore': REFUSED,
  bridges: BRIDGES,
  'texts that are no UTF-8 or too long': TEXTS,
}

for (const [title, cases] of Object.entries(TABLES)) {
  test(`a configuration is refused for ${title}`, () => {
    for (const [text, ...messages] of cases) {
      assert.deepEqual(sorted(refusals(text)), sorted(messages), JSON.stringify(text.slice(0, 80)))
    }
  })
}

/** Messages about whole blocks come after those about lines. */
function sorted(messages: readonly string[]): readonly string[] {
  return messages.toSorted()
}

test('the tables hold what they promise: at least 150 wrong configurations, none twice', () => {
  const texts = Object.values(TABLES).flatMap((cases) => cases.map(([text]) => text))
  assert.ok(texts.length >= 150, String(texts.length))
  assert.equal(new Set(texts).size, texts.length)
})

test('all errors of a file come at once, each with its line', () => {
  const text = ['foo', 'listener 1883', 'max_connections x', 'listener 70000', 'bar 1', 'port 0']
  assert.deepEqual(refusals(text.join('\n')), [
    "1: Unknown configuration variable 'foo'.",
    "3: 'max_connections' value not a number.",
    "4: Invalid 'port' value (70000).",
    "5: Unknown configuration variable 'bar'.",
    "6: Invalid 'port' value (0).",
  ])
})

test('a listener with a bad port still takes its directives, so that they are no errors too', () => {
  assert.deepEqual(refusals('listener x\nprotocol websockets\ncertfile a\nkeyfile b'), [
    "1: 'listener port' value not a number.",
  ])
})

test('a file full of errors is not reported without end', () => {
  assert.equal(refusals('x\n'.repeat(10_000)).length, 100)
})
