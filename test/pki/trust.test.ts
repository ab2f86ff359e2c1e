import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { readCertificate } from '../../pki/certificate.ts'
import { comparableName } from '../../pki/name.ts'
import { Tag } from '../../pki/der.ts'
import { TrustSet } from '../../pki/trust.ts'
import {
  attribute,
  issue,
  KU,
  makeCa,
  nameOf,
  type TestCertificate,
} from '../helpers/certificates.ts'

const setOf = (...cas: readonly TestCertificate[]) =>
  new TrustSet({ ca: cas.map((ca) => ca.certificatePem).join(''), origin: 'ca.crt' })

const pathsTo = (trust: TrustSet, leaf: TestCertificate) =>
  trust
    .pathsAbove(new X509Certificate(leaf.der), readCertificate(leaf.der))
    .map((path) => path.map(({ name }) => name).join(' < '))

const root = makeCa('Root')
const middle = makeCa('Middle', { issuer: root })
const low = makeCa('Low', { issuer: middle })

test('a path leads from the issuer to the root, whatever the order of the bundle', () => {
  const device = issue(low, 'a/b')
  for (const cas of [
    [root, middle, low],
    [low, middle, root],
    [middle, root, low],
  ]) {
    assert.deepEqual(pathsTo(setOf(...cas), device), ['Low < Middle < Root'])
  }
})

test('a CA configured without its issuer ends the path', () => {
  assert.deepEqual(pathsTo(setOf(low), issue(low, 'a/b')), ['Low'])
  assert.deepEqual(setOf(low, root).rootless, ['Low'])
  assert.deepEqual(setOf(low, middle, root).rootless, [])
})

test('an issuer outside the set has no path, however it is called', () => {
  assert.deepEqual(pathsTo(setOf(root), issue(middle, 'a/b')), [])
  assert.deepEqual(pathsTo(setOf(root), issue(makeCa('Root'), 'a/b')), [])
})

test('a cross-certified CA has a path for each of its issuers', () => {
  const other = makeCa('Other Root')
  const cross = makeCa('Middle', { issuer: other, key: middle.key })
  const trust = setOf(root, other, middle, cross)
  assert.deepEqual(pathsTo(trust, issue(middle, 'a/b')).toSorted(), [
    'Middle < Other Root',
    'Middle < Root',
  ])
  assert.equal(trust.pathsOf(readCertificate(middle.der).key).length, 2)
})

test('CAs that certify each other do not make an endless path', () => {
  const [a, b] = [makeCa('A'), makeCa('B')]
  const aByB = makeCa('A', { issuer: b, key: a.key })
  const bByA = makeCa('B', { issuer: a, key: b.key })
  assert.deepEqual(pathsTo(setOf(aByB, bByA), issue(a, 'x/y')), ['A < B'])
})

test('a bundle of many CAs that certify one another stays bounded', () => {
  const keys = Array.from({ length: 6 }, (_, n) => makeCa(`M${n}`))
  const cross = keys.flatMap((ca) =>
    keys
      .filter((each) => each !== ca)
      .map((issuer) => makeCa(ca.commonName, { issuer, key: ca.key })),
  )
  const [first] = keys
  assert.ok(first)
  const paths = pathsTo(setOf(...cross), issue(first, 'x/y'))
  assert.ok(paths.length <= 16 * 5, `${paths.length} paths`)
})

test('what may not issue is not used', () => {
  const cautious = makeCa('No Signing', { keyUsage: KU.cRLSign })
  const trust = setOf(root, cautious, issue(root, 'a/b'))
  assert.deepEqual(trust.ignored, ['No Signing', 'a/b'])
  assert.deepEqual(
    trust.authorities.map(({ name }) => name),
    ['Root'],
  )
})

test('the order of a bundle and the CAs for devices are part of what it is', () => {
  assert.equal(setOf(root, low).identity, setOf(root, low).identity)
  const ca = root.certificatePem + low.certificatePem
  const named = new TrustSet({ ca, origin: 'ca.crt', deviceCa: low.certificatePem })
  assert.notEqual(setOf(root, low).identity, named.identity)
  assert.notEqual(setOf(root, low).identity, setOf(root).identity)
})

const name = (value: string, tag?: number) => nameOf(attribute('2.5.4.3', value, tag))
const EQUAL: readonly (readonly [string, Uint8Array, Uint8Array, boolean])[] = [
  ['another text', name('CA 1'), name('CA 2'), false],
  ['another attribute', name('CA'), nameOf(attribute('2.5.4.10', 'CA')), false],
  [
    'one attribute more',
    name('CA'),
    nameOf(attribute('2.5.4.3', 'CA'), attribute('2.5.4.3', 'CA')),
    false,
  ],
  [
    'attributes that read like one',
    name('CA","2.5.4.3="X'),
    nameOf(attribute('2.5.4.3', 'CA'), attribute('2.5.4.3', 'X')),
    false,
  ],
  ['letters of another alphabet', name('CA'), name('С\u0410'), false],
  ['blanks left out', name('C A'), name('CA'), false],
  ['another string type', name('CA'), name('CA', Tag.printableString), true],
  ['another case', name('Ca'), name('cA'), true],
  ['more blanks', name(' C  A '), name('C A'), true],
]

for (const [what, a, b, equal] of EQUAL) {
  test(`names are ${equal ? 'equal' : 'different'}: ${what}`, () => {
    assert.equal(comparableName(a) === comparableName(b), equal)
  })
}
