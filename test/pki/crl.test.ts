import assert from 'node:assert/strict'
import { constants, sign, X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { serialNumber } from '../../core/names.ts'
import { readCertificate } from '../../pki/certificate.ts'
import { parseCrl } from '../../pki/crl.ts'
import { type CrlReading, readCrls } from '../../pki/crl-reading.ts'
import {
  bitString,
  boolean,
  element,
  explicit,
  extension,
  oid,
  sequence,
  time,
  unsigned,
} from '../../pki/der-writer.ts'
import { Tag } from '../../pki/der.ts'
import { CrlRejected } from '../../pki/errors.ts'
import { toPem } from '../../pki/pem.ts'
import { RevokedSerials } from '../../pki/revoked-serials.ts'
import {
  attribute,
  type CrlOptions,
  KU,
  makeCa,
  makeCrl,
  makeCrlDer,
  nameOf,
  type TestCa,
} from '../helpers/certificates.ts'

const ca = makeCa('Device CA')
const impostor = makeCa('Device CA')
const NOW = Date.now()

/** As the store reads a file: the reading, or the error's message. */
function read(
  file: string | Uint8Array,
  cas: readonly TestCa[] = [ca],
  requireNumber = false,
): CrlReading {
  const bytes = typeof file === 'string' ? Buffer.from(file) : file
  return readCrls(
    bytes,
    cas.map(({ der }) => der),
    { now: NOW, requireNumber },
  )
}

const one = (options: CrlOptions = {}, serials: readonly string[] = ['0a0b']) =>
  makeCrl(ca, serials, options)
const flag = (number: number) => element(0x80 | number, Buffer.of(0xff))
const idp = (...fields: readonly Uint8Array[]) => [
  extension('2.5.29.28', true, sequence(...fields)),
]
const cut = (text: string, from: number) => text.slice(0, text.length - from)
const twice = one() + makeCrl(impostor, ['0a0b'])

const whole = makeCrlDer(ca, [])

const UNBELIEVABLE: readonly (readonly [string, string | Uint8Array, string, string])[] = [
  ['an empty file', '', 'crl_malformed', 'the file is empty'],
  ['garbage', 'revoked: everyone\n', 'crl_malformed', 'not a complete CRL file: no BEGIN X509 CRL'],
  [
    'binary garbage',
    Buffer.from('3082ffff00', 'hex'),
    'crl_malformed',
    'not a complete CRL: sequence at byte 0 ends 65534 bytes too late',
  ],
  [
    'a certificate',
    ca.certificatePem,
    'crl_malformed',
    'not a complete CRL file: block 1 is "CERTIFICATE", expected X509 CRL or CRL',
  ],
  [
    'a certificate in DER',
    ca.der,
    'crl_malformed',
    'not a complete CRL: expected sequence at byte 8, found tag 0xa0',
  ],
  [
    'PEM whose END is missing',
    cut(one(), 30),
    'crl_malformed',
    'not a complete CRL file: block 1 (X509 CRL) has no END',
  ],
  [
    'a second block cut short',
    cut(twice, 60),
    'crl_malformed',
    'not a complete CRL file: block 2 (X509 CRL) has no END',
  ],
  [
    'a second BEGIN cut short',
    `${one()}-----BEGIN X50`,
    'crl_malformed',
    'not a complete CRL file: block 2: BEGIN is cut short',
  ],
  [
    'a marker cut short',
    `${one()}-----BEG`,
    'crl_malformed',
    'not a complete CRL file: text after the last of 1 blocks: "-----BEG"',
  ],
  [
    'text after the end',
    `${one()}MIIB\n`,
    'crl_malformed',
    'not a complete CRL file: text after the last of 1 blocks: "MIIB"',
  ],
  [
    'a BEGIN inside a block',
    one().replace(/\n/u, '\n-----BEGIN X509 CRL-----\n'),
    'crl_malformed',
    'not a complete CRL file: block 1 (X509 CRL) has no END',
  ],
  [
    'an END without BEGIN',
    one().replace(/^.*\n/u, ''),
    'crl_malformed',
    'not a complete CRL file: END without BEGIN after 0 blocks',
  ],
  [
    'characters that are not base64',
    one().replace('\nM', '\n!'),
    'crl_malformed',
    'not a complete CRL file: block 1 is not base64',
  ],
  [
    'an empty block',
    '-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n',
    'crl_malformed',
    'not a complete CRL file: block 1 is empty',
  ],
  [
    'bytes after the DER',
    Buffer.concat([whole, Buffer.of(0)]),
    'crl_malformed',
    `not a complete CRL: 1 bytes too many at byte ${whole.length}`,
  ],
  [
    'two crlNumbers',
    one({ extensions: [extension('2.5.29.20', false, unsigned(9))] }),
    'crl_malformed',
    'not a complete CRL: crlNumber twice',
  ],
  [
    'a negative crlNumber',
    one({ crlNumber: null, extensions: [extension('2.5.29.20', false, Buffer.of(2, 1, 0xff))] }),
    'crl_malformed',
    'not a complete CRL: negative integer at byte 0',
  ],
  [
    'a serial number of 65 octets',
    one({}, [`40${'00'.repeat(64)}`]),
    'crl_malformed',
    'not a complete CRL: serial number of 65 octets',
  ],
  [
    'a boolean that is neither',
    one({ extensions: idp(element(0x81, Buffer.of(1))) }),
    'crl_malformed',
    'not a complete CRL: not a boolean at byte 2',
  ],
  [
    'version 1 with extensions of entries',
    one({ version: 0, reason: 1 }),
    'crl_malformed',
    'not a complete CRL: version 1 with extensions',
  ],
]

for (const [what, file, code, message] of UNBELIEVABLE) {
  test(`a file is refused whole: ${what}`, () => {
    assert.throws(
      () => read(file, [ca, impostor]),
      (err) =>
        err instanceof CrlRejected &&
        assert.deepEqual([err.code, err.message], [code, message]) === undefined,
    )
  })
}

const oldCa = makeCa('Old CA', { key: 'rsa2048' })
const sha1 = (() => {
  const identifier = sequence(oid('1.2.840.113549.1.1.5'), element(Tag.null))
  const tbs = sequence(unsigned(1), identifier, oldCa.subject, time(NOW - 1000))
  return toPem('X509 CRL', sequence(tbs, identifier, bitString(sign('sha1', tbs, oldCa.key))))
})()

const noSign = makeCa('Cautious CA', { keyUsage: KU.keyCertSign })
const later = NOW + 6 * 60_000
const REFUSED: readonly (readonly [string, string, readonly TestCa[], string, string])[] = [
  [
    'signed by another key',
    one({ signedBy: impostor.key }),
    [ca],
    'crl_signature_invalid',
    "CRL of Device CA: the signature (ecdsa-with-SHA256) is not that of the CA's key",
  ],
  [
    'of a CA of the same name and another key',
    makeCrl(impostor, []),
    [ca],
    'crl_signature_invalid',
    "CRL of Device CA: the signature (ecdsa-with-SHA256) is not that of the CA's key",
  ],
  [
    'signed by the CA under another name',
    one({ issuer: makeCa('Other').subject }),
    [ca],
    'crl_issuer_unknown',
    'no configured CA is named Other',
  ],
  [
    'of a CA that is not configured',
    makeCrl(makeCa('Foreign'), []),
    [ca],
    'crl_issuer_unknown',
    'no configured CA is named Foreign',
  ],
  [
    'of a CA without cRLSign',
    makeCrl(noSign, []),
    [noSign],
    'crl_issuer_not_allowed',
    'Cautious CA may not sign CRLs (keyUsage)',
  ],
  [
    'from the future',
    one({ thisUpdate: later }),
    [ca],
    'crl_not_yet_valid',
    `CRL of Device CA: thisUpdate ${new Date(Math.floor(later / 1000) * 1000).toISOString()} lies in the future, the clock says ${new Date(NOW).toISOString()}`,
  ],
]

for (const [what, file, cas, code, message] of REFUSED) {
  test(`a CRL is refused: ${what}`, () => {
    const { verified, refused } = read(file, cas)
    assert.equal(verified.length, 0)
    assert.deepEqual(
      refused.map((each) => [each.code, each.message]),
      [[code, message]],
    )
  })
}

const UNSUPPORTED: readonly (readonly [string, string, string])[] = [
  [
    'a CRL of attribute certificates',
    one({ extensions: idp(flag(5)) }),
    'a partial CRL (onlyContainsAttributeCerts), expected a complete one of one CA',
  ],
  [
    'one part of a partitioned CRL',
    one({ extensions: idp(explicit(0, explicit(0, element(0x86, Buffer.from('http://x/1'))))) }),
    'a partial CRL (distributionPoint), expected a complete one of one CA',
  ],
  [
    'an empty issuingDistributionPoint',
    one({ extensions: idp() }),
    'a partial CRL (an empty issuingDistributionPoint), expected a complete one of one CA',
  ],
  [
    'an unknown critical extension',
    one({ extensions: [extension('1.2.3.4', true, Buffer.of(5, 0))] }),
    'the unknown critical extension 1.2.3.4',
  ],
  [
    'an unknown critical extension of an entry',
    one({ entryExtensions: [extension('1.2.3.4', true, Buffer.of(5, 0))] }),
    'an entry with the unknown critical extension 1.2.3.4',
  ],
  [
    'an entry of another issuer',
    one({ entryExtensions: [extension('2.5.29.29', true, sequence())] }),
    'an entry with certificateIssuer: an indirect CRL',
  ],
  [
    'a critical crlNumber',
    one({ crlNumber: null, extensions: [extension('2.5.29.20', true, unsigned(1))] }),
    'a critical crlNumber (RFC 5280 §5.2.3 has it non-critical)',
  ],
  [
    'an issuingDistributionPoint that is not critical',
    one({ extensions: [extension('2.5.29.28', false, sequence(flag(5)))] }),
    'a partial CRL (onlyContainsAttributeCerts), expected a complete one of one CA',
  ],
  [
    'an indirect part',
    one({
      extensions: idp(explicit(0, explicit(0, element(0x86, Buffer.from('http://x/1')))), flag(4)),
    }),
    'a partial CRL (distributionPoint, indirectCRL), expected a complete one of one CA',
  ],
  [
    'a list of neither',
    one({ extensions: idp(flag(1), flag(2)) }),
    'a partial CRL (onlyContainsUserCerts, onlyContainsCACerts), expected a complete one of one CA',
  ],
  [
    'a delta CRL without crlNumber',
    one({ crlNumber: null, extensions: [extension('2.5.29.27', true, unsigned(1))] }),
    'a delta CRL without crlNumber',
  ],
  [
    'signed with SHA-1',
    sha1,
    'signature algorithm sha1WithRSAEncryption, expected SHA-256 or stronger',
  ],
]

for (const [what, file, why] of UNSUPPORTED) {
  test(`a list is left out, and its neighbour taken: ${what}`, () => {
    const message = `CRL of ${file === sha1 ? 'Old CA' : 'Device CA'} is not supported: ${why}`
    for (const bundle of [file + makeCrl(impostor, ['0d']), makeCrl(impostor, ['0d']) + file]) {
      const { verified, refused } = read(bundle, [ca, impostor, oldCa])
      assert.deepEqual(
        refused.map((each) => [each.code, each.message]),
        [['crl_unsupported', message]],
      )
      assert.deepEqual(
        verified.map(({ issuer }) => issuer),
        [readCertificate(impostor.der).key],
      )
    }
  })
}

test('a forged list that is unsupported is called forged', () => {
  const { refused } = read(one({ extensions: idp(flag(5)), signedBy: noSign.key }))
  assert.deepEqual(
    refused.map(({ code, issuer }) => [code, issuer]),
    [['crl_signature_invalid', undefined]],
  )
})

test('beside a list that is left out, damage still refuses the file whole', () => {
  const unsupported = one({ extensions: idp(flag(5)) })
  for (const file of [cut(unsupported + one(), 60), `${unsupported}${one()}MIIB\n`]) {
    assert.throws(() => read(file), { code: 'crl_malformed' })
  }
})

const SCOPES: readonly (readonly [string, readonly Uint8Array[], boolean, boolean, number])[] = [
  ['everything', [], true, true, 0x1fe],
  ['end entities', idp(flag(1)), true, false, 0x1fe],
  ['CAs', idp(flag(2)), false, true, 0x1fe],
  ['its issuer alone, though it may be indirect', idp(flag(4)), true, true, 0x1fe],
  ['some reasons', idp(element(0x83, Buffer.of(6, 0x40))), true, true, 0x02],
]

for (const [what, extensions, users, cas, reasons] of SCOPES) {
  test(`a list says what it speaks of: ${what}`, () => {
    const [crl] = read(one({ extensions })).verified
    assert.ok(crl)
    const { part, ...scope } = crl.scope
    assert.deepEqual(scope, { users, cas, reasons })
    assert.equal(part === '', extensions.length === 0)
  })
}

test('a CRL without crlNumber is refused where one is required, and taken elsewhere', () => {
  const file = one({ crlNumber: null })
  const issuer = readCertificate(ca.der).key
  assert.deepEqual(read(file, [ca], true).refused, [
    { code: 'crl_number_missing', message: 'CRL of Device CA has no crlNumber', issuer },
  ])
  assert.equal(read(file).verified[0]?.crlNumber, undefined)
})

test('any single octet of the signed part, changed, is refused', () => {
  const der = makeCrlDer(ca, ['0a0b', '0c'], { reason: 1 })
  for (let i = 0; i < der.length; i++) {
    const changed = Buffer.from(der)
    changed[i] = (changed[i] ?? 0) ^ 0x01
    let verified = 0
    try {
      verified = read(changed).verified.length
    } catch (err) {
      if (!(err instanceof CrlRejected)) throw err
    }
    assert.equal(verified, 0, `octet ${i}`)
  }
})

for (const [form, whole] of [
  ['DER', makeCrlDer(ca, ['0a0b', '0c'], { reason: 1 })],
  ['PEM', Buffer.from(one({ reason: 1 }, ['0a0b', '0c']))],
  ['a bundle', Buffer.from(one({ reason: 1 }, ['0a0b', '0c']) + makeCrl(impostor, ['0d']))],
] as const) {
  test(`${form} cut at any octet is never taken with fewer entries`, () => {
    const cas = [ca, impostor]
    const complete = (length: number): number => {
      const { verified, refused } = read(whole.subarray(0, length), cas)
      assert.deepEqual(refused, [])
      return verified.reduce((sum, { revoked }) => sum + revoked.count, 0)
    }
    const all = complete(whole.length)
    assert.equal(all, form === 'a bundle' ? 3 : 2)
    const taken: number[] = []
    for (let length = 0; length < whole.length; length++) {
      try {
        const entries = complete(length)
        // The first block alone is a file like any other; of a CA's own entries none may lack.
        assert.ok(entries === all || (form === 'a bundle' && entries === 2), `${length} octets`)
        taken.push(length)
      } catch (err) {
        if (!(err instanceof CrlRejected)) throw err
      }
    }
    // Without the final newline; and the first of two with and without its own.
    const [first] = whole.toString('latin1').split(/(?<=END X509 CRL-----\n)/u)
    const ends = {
      DER: [],
      PEM: [whole.length - 1],
      'a bundle': [first?.length ?? 0, (first?.length ?? 0) - 1, whole.length - 1],
    }
    assert.deepEqual(new Set(taken), new Set(ends[form]))
  })
}

const TAKEN: readonly (readonly [string, CrlOptions, number])[] = [
  ['every reason revokes, certificateHold too', { reason: 6 }, 1],
  ['removeFromCRL does not count', { reason: 8 }, 0],
  ['an unknown reason revokes', { reason: 77 }, 1],
  ['without nextUpdate', { nextUpdate: null }, 1],
  ['version 1', { version: 0 }, 1],
  ['a thisUpdate within the skew', { thisUpdate: NOW + 4 * 60_000 }, 1],
  [
    'an unknown extension that is not critical',
    { extensions: [extension('1.2.3.4', false, Buffer.of(5, 0))] },
    1,
  ],
  ['an invalidityDate', { entryExtensions: [extension('2.5.29.24', false, time(NOW))] }, 1],
  [
    'the issuer in another encoding and case',
    { issuer: nameOf(attribute('2.5.4.3', ' DEVICE  ca', Tag.printableString)) },
    1,
  ],
]

for (const [what, options, entries] of TAKEN) {
  test(`a CRL is taken: ${what}`, () => {
    const { verified, refused } = read(one(options))
    assert.deepEqual(refused, [])
    const [crl] = verified
    assert.ok(crl)
    assert.equal(crl.revoked.count, entries)
    assert.equal(new RevokedSerials(crl.revoked).has(serialNumber('0A0B')), entries === 1)
    assert.equal(crl.issuer, readCertificate(ca.der).key)
  })
}

for (const key of ['p256', 'p384', 'p521', 'ed25519', 'rsa2048'] as const) {
  test(`signatures of ${key} keys are verified`, () => {
    const authority = makeCa(`CA ${key}`, { key })
    assert.equal(read(makeCrl(authority, ['01']), [authority]).verified.length, 1)
    const other = makeCa('other', { key })
    const forged = read(makeCrl(authority, ['01'], { signedBy: other.key }), [authority])
    assert.equal(forged.refused[0]?.code, 'crl_signature_invalid')
  })
}

test('RSASSA-PSS is verified with SHA-256, and refused with the SHA-1 of its defaults', () => {
  const authority = makeCa('PSS CA', { key: 'rsa2048' })
  const hash = sequence(oid('2.16.840.1.101.3.4.2.1'), element(Tag.null))
  const pss = (params: Buffer, digest: string, saltLength: number): Buffer => {
    const identifier = sequence(oid('1.2.840.113549.1.1.10'), params)
    const tbs = sequence(unsigned(1), identifier, authority.subject, time(NOW - 1000))
    const padding = constants.RSA_PKCS1_PSS_PADDING
    return sequence(
      tbs,
      identifier,
      bitString(sign(digest, tbs, { key: authority.key, padding, saltLength })),
    )
  }
  const good = sequence(
    explicit(0, hash),
    explicit(1, sequence(oid('1.2.840.113549.1.1.8'), hash)),
    explicit(2, unsigned(32)),
  )
  assert.equal(read(pss(good, 'sha256', 32), [authority]).verified.length, 1)
  assert.equal(read(pss(good, 'sha256', 20), [authority]).refused[0]?.code, 'crl_signature_invalid')
  assert.equal(
    read(pss(sequence(), 'sha1', 20), [authority]).refused[0]?.message,
    'CRL of PSS CA is not supported: RSASSA-PSS, expected one hash, SHA-256 or stronger, throughout',
  )
})

test('the outer signature algorithm must be the signed one', () => {
  const inner = sequence(oid('1.2.840.10045.4.3.2'))
  const outer = sequence(oid('1.2.840.10045.4.3.3'))
  const tbs = sequence(unsigned(1), inner, ca.subject, time(NOW - 1000))
  const der = sequence(tbs, outer, bitString(sign('sha384', tbs, ca.key)))
  assert.throws(() => parseCrl(der), {
    message: 'not a complete CRL: the signed and the outer signature algorithm differ',
  })
})

test('of two CAs of one name, the one whose key signed is the issuer', () => {
  const { verified } = read(makeCrl(impostor, ['0d']), [ca, impostor])
  assert.equal(verified[0]?.issuer, readCertificate(impostor.der).key)
  assert.notEqual(verified[0]?.issuer, readCertificate(ca.der).key)
})

test('in a bundle, a forged CRL does not keep its neighbour from revoking', () => {
  const { verified, refused } = read(makeCrl(impostor, ['0d']) + one({ signedBy: noSign.key }), [
    ca,
    impostor,
  ])
  assert.deepEqual(
    verified.map(({ issuer }) => issuer),
    [readCertificate(impostor.der).key],
  )
  assert.deepEqual(
    refused.map(({ code }) => code),
    ['crl_signature_invalid'],
  )
})

test('serial numbers of any length and form are found, and no others', () => {
  const listed = [
    '01',
    '7f',
    '80',
    'ff',
    '0100',
    '8000',
    'deadbeef',
    `7${'1'.repeat(39)}`,
    `8${'2'.repeat(39)}`,
  ]
  const parsed = parseCrl(makeCrlDer(ca, listed))
  const serials = new RevokedSerials(parsed.revoked)
  assert.equal(serials.size, listed.length)
  for (const serial of listed) {
    assert.ok(serials.has(serialNumber(serial)), serial)
    assert.ok(serials.has(serialNumber(`00${serial.toUpperCase()}`)), serial)
  }
  for (const other of [
    '0',
    '02',
    '0101',
    '8001',
    'deadbeee',
    `7${'1'.repeat(38)}2`,
    `1${'1'.repeat(40)}`,
    `aa7${'1'.repeat(39)}`,
  ]) {
    assert.ok(!serials.has(serialNumber(other)), other)
  }
})

const SIGNS: readonly (readonly [string, string, string, boolean])[] = [
  ['-1', 'ff', 'ff', true],
  ['-128', '80', '80', true],
  ['-129', 'ff7f', 'ff7f', true],
  ['255 where its CA revoked -1', 'ff', '00ff', false],
  ['127 where its CA revoked -129', 'ff7f', '7f', false],
  ['-1 where its CA revoked 1', '01', 'ff', false],
  // The CA left out the leading zero in the certificate, and not in the list.
  ['-1 where its CA revoked 255', '00ff', 'ff', true],
  ['-129 where its CA revoked 65407', '00ff7f', 'ff7f', true],
]

for (const [what, listed, serial, revoked] of SIGNS) {
  test(`the sign of a serial number counts: ${what} is ${revoked ? '' : 'not '}revoked`, () => {
    const entry = sequence(element(Tag.integer, Buffer.from(listed, 'hex')), time(NOW))
    const other = sequence(element(Tag.integer, Buffer.of(0x01, 0x02)), time(NOW))
    const identifier = sequence(oid('1.2.840.10045.4.3.2'))
    const entries = sequence(other, entry)
    const tbs = sequence(unsigned(1), identifier, ca.subject, time(NOW - 1000), entries)
    const der = sequence(tbs, identifier, bitString(sign('sha256', tbs, ca.key)))
    const serials = new RevokedSerials(parseCrl(der).revoked)
    const { serialNumber: ofCertificate } = readCertificate(makeCa('x', { serial }).der)
    assert.equal(serials.has(ofCertificate), revoked)
    assert.ok(serials.has(serialNumber('0102')))
  })
}

test('Node and OpenSSL read what the fixtures write', () => {
  const certificate = new X509Certificate(ca.certificatePem)
  assert.equal(certificate.ca, true)
  assert.ok(certificate.verify(certificate.publicKey))
  assert.equal(toPem('CERTIFICATE', ca.der), ca.certificatePem)
  assert.equal(boolean(false).toString('hex'), '010100')
})
