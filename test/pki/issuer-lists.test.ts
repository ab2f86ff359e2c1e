/** Several lists of one CA: deltas, lists for some certificates or reasons, lists of a key apart. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serialNumber } from '../../core/names.ts'
import { readCertificate } from '../../pki/certificate.ts'
import { CrlStore } from '../../pki/crl-store.ts'
import { element, extension, sequence, unsigned } from '../../pki/der-writer.ts'
import { MAX_DELTAS } from '../../pki/issuer-lists.ts'
import { TrustSet } from '../../pki/trust.ts'
import { type CrlOptions, KU, makeCa, makeCrl } from '../helpers/certificates.ts'
import { FakeClock } from '../helpers/clock.ts'

const T0 = Date.parse('2026-03-01T00:00:00Z')
const HOUR = 3_600_000
const dates = { notBefore: T0 - HOUR, notAfter: T0 + 1000 * HOUR }
const ca = makeCa('Device CA', dates)
const KEY = readCertificate(ca.der).key

const flag = (number: number) => element(0x80 | number, Buffer.of(0xff))
const reasons = (...octets: readonly number[]) => element(0x83, Buffer.of(...octets))
const idp = (...fields: readonly Uint8Array[]) => extension('2.5.29.28', true, sequence(...fields))

function list(crlNumber: number, serials: readonly string[], options: CrlOptions = {}): string {
  const times = { thisUpdate: T0 + crlNumber * 1000 - HOUR, nextUpdate: T0 + 24 * HOUR }
  return makeCrl(ca, serials, { crlNumber, ...times, ...options })
}

function delta(base: number, crlNumber: number, serials: readonly string[], options?: CrlOptions) {
  const indicator = extension('2.5.29.27', true, unsigned(base))
  const extensions = [indicator, ...(options?.extensions ?? [])]
  return list(crlNumber, serials, { ...options, extensions })
}

function storeWith(authorities: readonly Uint8Array[] = [ca.der]) {
  const clock = new FakeClock(T0)
  const store = new CrlStore({ clock, authorities })
  const offer = async (...pem: readonly string[]) => {
    const { refused } = await store.offer(Buffer.from(pem.join('')))
    return refused.map(({ code }) => code)
  }
  const status = (serial: string, isCa = false) => store.statusOf(KEY, serialNumber(serial), isCa)
  return { clock, store, offer, status }
}

const REMOVE = { reason: 8 }

interface DeltaCase {
  readonly what: string
  /** Offered one after the other. */
  readonly files: readonly (readonly string[])[]
  /** Of the last. */
  readonly refused?: readonly string[]
  readonly revoked?: readonly string[]
  readonly good?: readonly string[]
  readonly stale?: readonly string[]
  readonly unknown?: readonly string[]
}

const DELTAS: readonly DeltaCase[] = [
  {
    what: 'a delta alone says nothing of what was revoked before, and what it lists is revoked',
    files: [[delta(1, 2, ['0a'])]],
    refused: ['crl_unsupported'],
    revoked: ['0a'],
    unknown: ['0b'],
  },
  {
    what: 'a delta that begins after the list held tells that this one is old',
    files: [[list(1, ['0a']), delta(2, 3, ['0b'])]],
    revoked: ['0a', '0b'],
    stale: ['0c'],
  },
  {
    what: 'a delta that begins after the list held takes nothing off it',
    files: [[list(1, ['0a']), delta(2, 3, ['0a'], REMOVE)]],
    revoked: ['0a'],
    stale: ['0c'],
  },
  {
    what: 'a delta to a list without number may begin anywhere',
    files: [[list(1, ['0a'], { crlNumber: null }), delta(1, 3, ['0b'])]],
    revoked: ['0a', '0b'],
    stale: ['0c'],
  },
  {
    what: 'an older delta is refused, and cannot bring back what the newer revoked',
    files: [
      [list(1, []), delta(1, 5, ['0a'])],
      [list(1, []), delta(1, 4, ['0a'], REMOVE)],
    ],
    refused: ['crl_older'],
    revoked: ['0a'],
  },
  {
    what: 'a delta stays in force when the file no longer has it',
    files: [[list(1, []), delta(1, 5, ['0a'])], [list(1, [])]],
    revoked: ['0a'],
    good: ['0b'],
  },
  {
    what: 'a delta stays in force beside a list that is newer, and older than the delta',
    files: [[list(1, []), delta(1, 5, ['0a'])], [list(4, ['0b'])]],
    revoked: ['0a', '0b'],
    good: ['0c'],
  },
  {
    what: 'a delta of a smaller scope takes nothing off the list of everything',
    files: [[list(1, ['0a']), delta(1, 5, ['0a'], { ...REMOVE, extensions: [idp(flag(1))] })]],
    refused: ['crl_unsupported'],
    revoked: ['0a'],
  },
  {
    what: 'what the list revokes, and a delta without it, stays revoked',
    files: [[list(1, ['0a']), delta(1, 5, ['0b'])]],
    revoked: ['0a', '0b'],
    good: ['0c'],
  },
  {
    what: 'a delta that fits takes off the list what was on hold',
    files: [[list(1, ['0a', '0b']), delta(1, 5, ['0a'], REMOVE)]],
    revoked: ['0b'],
    good: ['0a'],
  },
  {
    what: 'a delta may stand before its list, and begin before it',
    files: [[delta(1, 5, ['0a']), list(3, ['0b'])]],
    revoked: ['0a', '0b'],
    good: ['0c'],
  },
  {
    what: 'a list of the number of the delta holds all that it says',
    files: [[list(1, []), delta(1, 5, ['0a'])], [list(5, ['0b'])]],
    revoked: ['0b'],
    good: ['0a'],
  },
  {
    what: 'the list that a delta waited for makes it fit',
    files: [[list(1, []), delta(3, 5, ['0a'])], [list(3, ['0b'])]],
    revoked: ['0a', '0b'],
    good: ['0c'],
  },
  {
    what: 'a newer delta to the same list takes the place of the older',
    files: [[list(1, []), delta(1, 4, ['0a'])], [delta(1, 5, ['0b'])]],
    revoked: ['0b'],
    good: ['0a'],
  },
  {
    what: 'of deltas that fit nothing none takes the place of another',
    files: [[list(1, []), delta(2, 4, ['0a'])], [delta(3, 5, ['0b'])]],
    revoked: ['0a', '0b'],
    stale: ['0c'],
  },
  {
    what: 'an old delta beside the list that holds it does no harm',
    files: [[list(9, ['0a']), delta(1, 5, ['0b'])]],
    revoked: ['0a'],
    good: ['0b'],
  },
]

for (const { what, files, refused = [], ...statuses } of DELTAS) {
  test(what, async () => {
    const { offer, status } = storeWith()
    let last: string[] = []
    for (const file of files) last = await offer(...file)
    assert.deepEqual(last, refused)
    for (const [expected, serials] of Object.entries(statuses)) {
      for (const serial of serials ?? []) assert.equal(status(serial), expected, serial)
    }
  })
}

test('a delta past its nextUpdate makes its list stale, and what both revoke stays revoked', async () => {
  const { clock, offer, status, store } = storeWith()
  await offer(list(1, ['0a']), delta(1, 2, ['0b'], { nextUpdate: T0 + HOUR }))
  assert.equal(status('0c'), 'good')
  assert.equal(store.inForce[0]?.nextUpdate, T0 + HOUR)
  clock.advance(HOUR + 1)
  assert.deepEqual([status('0a'), status('0b'), status('0c')], ['revoked', 'revoked', 'stale'])
})

test('deltas that fit nothing are bounded, and those beyond are refused', async () => {
  const { offer, status } = storeWith()
  await offer(list(1, []))
  for (let n = 0; n < MAX_DELTAS; n++) {
    assert.deepEqual(await offer(delta(10 + n, 20 + n, [`4${n}`])), [])
  }
  assert.deepEqual(await offer(delta(50, 60, ['0a'])), ['crl_unsupported'])
  assert.equal(status('40'), 'revoked')
  assert.equal(status('0b'), 'stale')
})

const SOME = 0x7f
const COMPROMISE = reasons(5, 0x60)
const OTHERS = reasons(7, 0x9f, 0x80)

/** Which of a CA's certificates and which of its other certificates its lists speak of. */
const SCOPES: readonly (readonly [string, readonly string[], string, string])[] = [
  ['end entities alone', [list(1, [], { extensions: [idp(flag(1))] })], 'good', 'unknown'],
  ['CAs alone', [list(1, [], { extensions: [idp(flag(2))] })], 'unknown', 'good'],
  [
    'each in a list of its own',
    [list(1, [], { extensions: [idp(flag(1))] }), list(1, [], { extensions: [idp(flag(2))] })],
    'good',
    'good',
  ],
  ['some reasons', [list(1, [], { extensions: [idp(reasons(0, SOME))] })], 'unknown', 'unknown'],
  [
    'all reasons, in two lists',
    [list(1, [], { extensions: [idp(COMPROMISE)] }), list(1, [], { extensions: [idp(OTHERS)] })],
    'good',
    'good',
  ],
  [
    'all reasons, some for CAs alone',
    [
      list(1, [], { extensions: [idp(COMPROMISE)] }),
      list(1, [], { extensions: [idp(flag(2), OTHERS)] }),
    ],
    'unknown',
    'good',
  ],
  [
    'all reasons, some of them in a list that is past its nextUpdate',
    [
      list(1, [], { extensions: [idp(COMPROMISE)], nextUpdate: T0 - 1000 }),
      list(1, [], { extensions: [idp(OTHERS)] }),
    ],
    'stale',
    'stale',
  ],
]

for (const [what, lists, user, authority] of SCOPES) {
  test(`lists that speak of ${what}`, async () => {
    const { offer, status } = storeWith()
    assert.deepEqual(await offer(...lists), [])
    assert.deepEqual([status('0a'), status('0a', true)], [user, authority])
  })
}

test('a serial number on any of the lists of its CA is revoked, whatever the list speaks of', async () => {
  const { offer, status } = storeWith()
  await offer(list(1, ['0a'], { extensions: [idp(flag(2))] }), list(1, []))
  assert.equal(status('0a'), 'revoked')
  // The list of everything, however new, does not take back what another says.
  await offer(list(9, []))
  assert.equal(status('0a'), 'revoked')
})

const root = makeCa('Root', dates)
const apart = makeCa('Apart CA', { ...dates, issuer: root, keyUsage: KU.keyCertSign })
const signer = (options: Parameters<typeof makeCa>[1] = {}) =>
  makeCa('Apart CA', { ...dates, issuer: root, isCa: false, keyUsage: KU.cRLSign, ...options })
const listBy = (by: ReturnType<typeof signer>, serials: readonly string[]) =>
  makeCrl(by, serials, { thisUpdate: T0 - HOUR, nextUpdate: T0 + 24 * HOUR })
const stranger = makeCa('Stranger', dates)
const rootList = (serials: readonly string[]) =>
  makeCrl(root, serials, { thisUpdate: T0 - HOUR, nextUpdate: T0 + 24 * HOUR })

const APART = readCertificate(apart.der).key
const trusted = signer()
const SIGNERS: readonly (readonly [
  string,
  ReturnType<typeof signer>,
  readonly string[],
  string,
])[] = [
  ['has no cRLSign', signer({ keyUsage: KU.digitalSignature }), [], 'unknown'],
  ['was issued by another CA', signer({ issuer: stranger }), [], 'unknown'],
  [
    'signs itself',
    makeCa('Apart CA', { ...dates, isCa: false, keyUsage: KU.cRLSign }),
    [],
    'unknown',
  ],
  ['is revoked', trusted, [trusted.serialNumber], 'unknown'],
  ['is past its notAfter', signer({ notAfter: T0 - 1000 }), [], 'unknown'],
  ['is not yet valid', signer({ notBefore: T0 + 1000 }), [], 'unknown'],
  ['is good', trusted, [], 'good'],
]

for (const [what, by, revokedByRoot, expected] of SIGNERS) {
  test(`with its lists signed by a key that ${what}, a CA is ${expected}`, async () => {
    const ca = [root, apart, by, stranger].map(({ certificatePem }) => certificatePem).join('')
    const trust = new TrustSet({ ca, origin: 'ca.crt' })
    const { store, offer } = storeWith(trust.encodings)
    await offer(rootList(revokedByRoot), listBy(by, ['0a']))
    assert.equal(store.statusOf(APART, serialNumber('0b')), expected)
  })
}

test('what a revoked key for lists has revoked stays revoked', async () => {
  const ca = [root, apart, trusted].map(({ certificatePem }) => certificatePem).join('')
  const trust = new TrustSet({ ca, origin: 'ca.crt' })
  assert.deepEqual(trust.ignored, [])
  const { store, offer } = storeWith(trust.encodings)
  await offer(rootList([]), listBy(trusted, ['0a']))
  assert.equal(store.statusOf(APART, serialNumber('0a')), 'revoked')
  await offer(makeCrl(root, [trusted.serialNumber], { crlNumber: 2, thisUpdate: T0 - HOUR }))
  assert.equal(store.statusOf(APART, serialNumber('0a')), 'revoked')
  assert.equal(store.statusOf(APART, serialNumber('0b')), 'unknown')
})

test('a CA that signs its lists itself has nobody sign them in its place', async () => {
  const both = makeCa('Apart CA', { ...dates, issuer: root })
  const trust = new TrustSet({
    ca: [root, both, trusted].map(({ certificatePem }) => certificatePem).join(''),
    origin: 'ca.crt',
  })
  const { offer } = storeWith(trust.encodings)
  assert.deepEqual(await offer(listBy(trusted, [])), ['crl_issuer_not_allowed'])
})

test('the kinds of lists of one CA are bounded', async () => {
  const { store, offer, status } = storeWith()
  await offer(list(1, ['0a']))
  let refused: readonly string[] = []
  for (let n = 1; n < 30; n++) {
    const extensions = [idp(reasons(0, n))]
    refused = await offer(list(n, [], { extensions }))
  }
  assert.deepEqual(refused, ['crl_unsupported'])
  assert.ok(store.inForce.length <= 16)
  assert.equal(status('0a'), 'revoked')
})
