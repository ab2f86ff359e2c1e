import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serialNumber } from '../../core/names.ts'
import { readCertificate } from '../../pki/certificate.ts'
import { CrlStore } from '../../pki/crl-store.ts'
import { CrlRejected } from '../../pki/errors.ts'
import { type CrlOptions, makeCa, makeCrl } from '../helpers/certificates.ts'
import { FakeClock } from '../helpers/clock.ts'

const T0 = Date.parse('2026-03-01T00:00:00Z')
const HOUR = 3_600_000
const ca = makeCa('Device CA', { notBefore: T0 - HOUR })
const other = makeCa('Device CA', { notBefore: T0 - HOUR })
const [KEY, OTHER] = [readCertificate(ca.der).key, readCertificate(other.der).key]
const SERIAL = serialNumber('0a0b')

function storeWith(options: { requireNumber?: boolean } = {}) {
  const clock = new FakeClock(T0)
  const store = new CrlStore({ clock, authorities: [ca.der, other.der], ...options })
  const offer = (pem: string) => store.offer(Buffer.from(pem))
  return { clock, store, offer }
}

const crl = (serials: readonly string[], options: CrlOptions = {}) =>
  makeCrl(ca, serials, { thisUpdate: T0, nextUpdate: T0 + 24 * HOUR, ...options })

test('without a CRL of the issuer, the status is unknown', () => {
  assert.equal(storeWith().store.statusOf(KEY, SERIAL), 'unknown')
})

test('a serial number counts for the CA that revoked it, not for another of its name', async () => {
  const { store, offer } = storeWith()
  await offer(crl(['0a0b']))
  assert.equal(store.statusOf(KEY, SERIAL), 'revoked')
  assert.equal(store.statusOf(OTHER, SERIAL), 'unknown')
  assert.equal(store.statusOf(KEY, serialNumber('0a0c')), 'good')
})

test('past nextUpdate, the revoked stay revoked and the rest is stale', async () => {
  const { clock, store, offer } = storeWith()
  await offer(crl(['0a0b']))
  clock.advance(24 * HOUR)
  assert.equal(store.statusOf(KEY, serialNumber('01')), 'good')
  clock.advance(1)
  assert.equal(store.statusOf(KEY, serialNumber('01')), 'stale')
  assert.equal(store.statusOf(KEY, SERIAL), 'revoked')
})

const SECOND = 1000
const at = (offset: number, crlNumber: number | null): CrlOptions => ({
  crlNumber,
  thisUpdate: T0 + offset,
})
/** Held first, then offered: is the second taken? */
const REPLACEMENTS: readonly (readonly [string, CrlOptions, CrlOptions, boolean])[] = [
  ['a smaller crlNumber', at(0, 7), at(SECOND, 6), false],
  ['an older thisUpdate, both without number', at(0, null), at(-SECOND, null), false],
  ['an older thisUpdate, the same number', at(0, 7), at(-SECOND, 7), false],
  ['an older thisUpdate, where a list with number is held', at(0, 7), at(-SECOND, null), false],
  ['an older thisUpdate, where a list without number is held', at(0, null), at(-SECOND, 9), false],
  ['a larger crlNumber', at(0, 7), at(SECOND, 8), true],
  ['a larger crlNumber, the clock of the CA set back', at(0, 7), at(-SECOND, 8), true],
  ['a newer thisUpdate, both without number', at(0, null), at(SECOND, null), true],
  ['a newer thisUpdate, the same number', at(0, 7), at(SECOND, 7), true],
  ['a newer thisUpdate without number, after one with', at(0, 7), at(SECOND, null), true],
  ['a newer thisUpdate with number, after one without', at(0, null), at(SECOND, 1), true],
]

for (const [what, held, offered, taken] of REPLACEMENTS) {
  test(`${taken ? 'takes' : 'refuses'} ${what}`, async () => {
    const { store, offer } = storeWith()
    await offer(crl(['0a0b'], held))
    const result = await offer(crl([], offered))
    assert.deepEqual(
      result.refused.map(({ code }) => code),
      taken ? [] : ['crl_older'],
    )
    assert.equal(store.statusOf(KEY, SERIAL), taken ? 'good' : 'revoked')
  })
}

test('the refusal of an older list says what is in force', async () => {
  const { offer } = storeWith()
  await offer(crl([], at(0, 7)))
  const { refused } = await offer(crl([], at(-SECOND, 6)))
  assert.equal(
    refused[0]?.message,
    'CRL of Device CA (crlNumber 6, 2026-02-28T23:59:59.000Z) is older than the one in force (crlNumber 7, 2026-03-01T00:00:00.000Z)',
  )
})

test('of two lists with the same number and time, only one with all the entries replaces', async () => {
  const { store, offer } = storeWith()
  await offer(crl(['01']))
  assert.equal((await offer(crl(['01', '0a0b']))).taken.length, 1)
  assert.equal(store.statusOf(KEY, SERIAL), 'revoked')
  const { refused } = await offer(crl(['01', '02', '03', '04']))
  assert.deepEqual(
    refused.map(({ code }) => code),
    ['crl_older'],
  )
  assert.equal(store.statusOf(KEY, SERIAL), 'revoked')
})

test('the same list again is no news', async () => {
  const { store, offer } = storeWith()
  const news: string[] = []
  store.onNews((issuer) => news.push(issuer))
  const file = crl(['0a0b'])
  await offer(file)
  const again = await offer(file)
  assert.deepEqual([again.taken.length, again.unchanged.length, again.refused.length], [0, 1, 0])
  assert.deepEqual(news, [KEY])
  await offer(crl(['0a0b', '0c'], { crlNumber: 2 }))
  assert.deepEqual(news, [KEY, KEY])
})

for (const order of ['older first', 'newer first']) {
  test(`of two lists of one CA in one file the newer counts, ${order}`, async () => {
    const { store, offer } = storeWith()
    const both = [crl([], { crlNumber: 1 }), crl(['0a0b'], { crlNumber: 2 })]
    const { refused } = await offer((order === 'older first' ? both : both.toReversed()).join(''))
    assert.deepEqual(refused, [])
    assert.equal(store.statusOf(KEY, SERIAL), 'revoked')
  })
}

test('in a bundle the good list revokes although its neighbour is forged or old', async () => {
  const { store, offer } = storeWith()
  await offer(makeCrl(other, ['0d'], { crlNumber: 5, thisUpdate: T0 }))
  const result = await offer(
    makeCrl(other, [], { crlNumber: 4, thisUpdate: T0 }) + crl(['0a0b'], { crlNumber: 2 }),
  )
  assert.deepEqual(
    result.refused.map(({ code }) => code),
    ['crl_older'],
  )
  assert.equal(store.statusOf(KEY, SERIAL), 'revoked')
  assert.equal(store.statusOf(OTHER, serialNumber('0d')), 'revoked')
})

test('a file that cannot be believed changes nothing, the good part of it included', async () => {
  const { store, offer } = storeWith()
  await offer(crl(['0a0b']))
  const bundle = crl([], { crlNumber: 2 }) + makeCrl(other, [])
  await assert.rejects(offer(bundle.slice(0, -40)), CrlRejected)
  assert.equal(store.statusOf(KEY, SERIAL), 'revoked')
  assert.equal(store.inForce.length, 1)
})

test('offers made at once are compared one after the other', async () => {
  const { store, offer } = storeWith()
  const [, older] = await Promise.all([
    offer(crl(['0a0b'], { crlNumber: 9 })),
    offer(crl([], { crlNumber: 8 })),
  ])
  assert.equal(older.refused[0]?.code, 'crl_older')
  assert.equal(store.statusOf(KEY, SERIAL), 'revoked')
})

test('started empty, everyone is good until the first list comes', async () => {
  const { store, offer } = storeWith()
  store.startEmpty()
  assert.equal(store.statusOf(KEY, SERIAL), 'good')
  await offer(crl(['0a0b']))
  assert.equal(store.statusOf(KEY, SERIAL), 'revoked')
  assert.equal(store.statusOf(OTHER, SERIAL), 'unknown')
})

test('the list of a CA that is no longer configured is let go, and not taken again', async () => {
  const { store, offer } = storeWith()
  await offer(crl(['0a0b']))
  store.replaceAuthorities([other.der])
  assert.equal(store.statusOf(KEY, SERIAL), 'unknown')
  const { refused } = await offer(crl(['0a0b'], { crlNumber: 3 }))
  assert.equal(refused[0]?.code, 'crl_signature_invalid')
})

test('a list without crlNumber is refused where one is required', async () => {
  const { offer } = storeWith({ requireNumber: true })
  const { refused, taken } = await offer(crl([], { crlNumber: null }))
  assert.deepEqual([refused[0]?.code, taken.length], ['crl_number_missing', 0])
})
