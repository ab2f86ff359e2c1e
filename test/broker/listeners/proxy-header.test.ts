import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseProxyHeader } from '../../../broker/listeners/proxy-header.ts'
import { IPV4, IPV6, header, ssl, tlv } from '../../helpers/proxy-header.ts'

const text = (line: string): Buffer => Buffer.from(line, 'latin1')
const GOOD = 'PROXY TCP4 192.0.2.1 198.51.100.1 51234 1883\r\n'

const BAD_TEXT: readonly (readonly [string, string])[] = [
  ['\x10\x0c\0\x04MQTT', 'does not begin with "PROXY "'],
  ['proxy TCP4 ', 'does not begin with "PROXY "'],
  ['PROXYTCP4', 'does not begin with "PROXY "'],
  ['\r\n\r\n\0\r\nQUIT\n', 'does not begin with "PROXY "'],
  [`PROXY UNKNOWN ${'x'.repeat(100)}`, 'no CRLF within 107 bytes'],
  [`PROXY ${'x'.repeat(5000)}\r\n`, 'no CRLF within 107 bytes'],
  ['PROXY \r\n', 'neither TCP4 nor TCP6'],
  ['PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n', 'neither TCP4 nor TCP6'],
  ['PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n', 'neither TCP4 nor TCP6'],
  ['PROXY TCP4\r\n', 'source address is not one of TCP4'],
  ['PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n', 'source address is not one of TCP4'],
  ['PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n', 'source address is not one of TCP4'],
  ['PROXY TCP4 ::1 ::1 1 2\r\n', 'source address is not one of TCP4'],
  ['PROXY TCP6 1.1.1.1 ::1 1 2\r\n', 'source address is not one of TCP6'],
  ['PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n', 'source address is not one of TCP6'],
  ['PROXY TCP4 1.1.1.1 x 1 2\r\n', 'destination address is not one of TCP4'],
  ['PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n', 'bad port'],
  ['PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n', 'bad port'],
  ['PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n', 'bad port'],
  ['PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n', 'bad port'],
  ['PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n', 'more than six words'],
]

test('version 1: a corpus of what is no header', () => {
  for (const [line, problem] of BAD_TEXT) {
    assert.deepEqual(
      parseProxyHeader(1, text(line)),
      { is: 'malformed', problem },
      JSON.stringify(line),
    )
  }
})

const BAD_BINARY: readonly (readonly [string, Buffer, string])[] = [
  ['MQTT', text('\x10\x0c\0\x04MQTT'), 'no signature'],
  ['version 1', text(GOOD), 'no signature'],
  ['one octet of the signature', header({ at: [11, 0x0b] }), 'no signature'],
  ['version 3', header({ at: [12, 0x31] }), 'version and command are 0x31'],
  ['an unknown command', header({ at: [12, 0x22] }), 'version and command are 0x22'],
  ['UDP', header({ at: [13, 0x12] }), 'not TCP over IPv4, TCP over IPv6 or a Unix stream'],
  ['no family', header({ at: [13, 0] }), 'not TCP over IPv4, TCP over IPv6 or a Unix stream'],
  ['too long', header({ tlvs: tlv(4, Buffer.alloc(490)) }), '505 bytes, at most 500'],
  [
    'too short for IPv4',
    header({ addresses: IPV4.subarray(1) }),
    '11 bytes are too few for its addresses',
  ],
  [
    'IPv6 in the size of IPv4',
    header({ at: [13, 0x21] }),
    '12 bytes are too few for its addresses',
  ],
  ['half a TLV', header({ tlvs: Buffer.from([4, 0]) }), 'a TLV is cut short'],
  ['a TLV longer than the rest', header({ tlvs: Buffer.from([4, 0, 9, 1]) }), 'a TLV is cut short'],
  [
    'SSL too short',
    header({ tlvs: tlv(0x20, Buffer.from([1, 0, 0])) }),
    'a TLV of type SSL is too short',
  ],
  ['SSL twice', header({ tlvs: Buffer.concat([ssl(), ssl()]) }), 'two TLVs of type SSL'],
  [
    'a TLV that leaves SSL',
    header({ tlvs: ssl({ inner: Buffer.from([0x22, 0, 9, 0x61]) }) }),
    'a TLV within SSL is cut short',
  ],
  [
    'two CNs',
    header({ tlvs: ssl({ inner: Buffer.concat([tlv(0x22, text('a')), tlv(0x22, text('b'))]) }) }),
    'two CNs',
  ],
  ['a CN with NUL', header({ tlvs: ssl({ cn: text('a\0b') }) }), 'the CN is no text'],
  [
    'a CN that is no UTF-8',
    header({ tlvs: ssl({ cn: Buffer.from([0xff]) }) }),
    'the CN is no text',
  ],
]

test('version 2: a corpus of what is no header', () => {
  for (const [title, bytes, problem] of BAD_BINARY) {
    assert.deepEqual(parseProxyHeader(2, bytes), { is: 'malformed', problem }, title)
  }
})

const NOTHING = { tls: false, verifiedCertificate: false, commonName: undefined }

test('who the client is', () => {
  const cases: readonly (readonly [1 | 2, Buffer, object])[] = [
    [1, text(GOOD), { address: '192.0.2.1', port: 51_234, ...NOTHING }],
    [
      1,
      text('PROXY TCP6 2001:db8::1 ::1 1 2\r\n'),
      { address: '2001:db8::1', port: 1, ...NOTHING },
    ],
    [2, header({}), { address: '192.0.2.1', port: 51_234, ...NOTHING }],
    [
      2,
      header({ at: [13, 0x21], addresses: IPV6 }),
      { address: '2001:db8::1', port: 51_234, ...NOTHING },
    ],
    [
      2,
      header({ at: [13, 0x31], addresses: Buffer.alloc(216) }),
      { address: 'unix', port: 0, ...NOTHING },
    ],
    [2, header({ tlvs: tlv(4, text('noop')) }), { address: '192.0.2.1', port: 51_234, ...NOTHING }],
  ]
  for (const [version, bytes, peer] of cases) {
    const found = parseProxyHeader(version, Buffer.concat([bytes, text('MQTT')]))
    assert.deepEqual(found, { is: 'peer', peer, bytes: bytes.length })
  }
})

/** client bits, verify, and what counts of them: TLS, a verified certificate, its CN. */
const TLS: readonly (readonly [number, number, readonly unknown[]])[] = [
  [0x00, 0, [false, false, undefined]],
  [0x06, 0, [false, false, undefined]],
  [0x01, 0, [true, false, undefined]],
  [0x05, 1, [true, false, undefined]],
  [0x07, 0xff, [true, false, undefined]],
  [0x05, 0, [true, true, 'pump']],
  [0x03, 0, [true, true, 'pump']],
]

test('version 2: a CN counts only from a certificate that the proxy verified', () => {
  for (const [client, verify, expected] of TLS) {
    const found = parseProxyHeader(2, header({ tlvs: ssl({ client, verify, cn: text('pump') }) }))
    assert.ok(found.is === 'peer')
    const { tls, verifiedCertificate, commonName } = found.peer
    assert.deepEqual([tls, verifiedCertificate, commonName], expected, `${client} ${verify}`)
  }
})

test('a header in pieces is incomplete until its last octet', () => {
  for (const [version, whole] of [
    [1, text(GOOD)],
    [2, header({ tlvs: ssl() })],
  ] as const) {
    for (let n = 0; n < whole.length; n++) {
      assert.equal(
        parseProxyHeader(version, whole.subarray(0, n)).is,
        'incomplete',
        `${version} ${n}`,
      )
    }
    assert.equal(parseProxyHeader(version, whole).is, 'peer')
  }
})

test('the proxy’s own connection brings no client', () => {
  assert.equal(parseProxyHeader(1, text('PROXY UNKNOWN\r\n')).is, 'local')
  assert.equal(parseProxyHeader(1, text('PROXY UNKNOWN what ever\r\n')).is, 'local')
  assert.equal(parseProxyHeader(2, header({ at: [12, 0x20] })).is, 'local')
})
