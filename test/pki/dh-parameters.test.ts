import assert from 'node:assert/strict'
import { getDiffieHellman } from 'node:crypto'
import { test } from 'node:test'
import { checkDhParameters } from '../../pki/dh-parameters.ts'
import { sequence, unsignedOf } from '../../pki/der-writer.ts'
import { toPem } from '../../pki/pem.ts'
import { dhParameters } from '../helpers/dh-parameters.ts'

const good = dhParameters('modp14')

test('the groups of RFC 3526 from 2048 bits are taken', () => {
  for (const group of ['modp14', 'modp15', 'modp16']) {
    assert.doesNotThrow(() => checkDhParameters(dhParameters(group), 'dh.pem'))
  }
})

const encoded = (...numbers: readonly Uint8Array[]): string =>
  toPem('DH PARAMETERS', sequence(...numbers.map((number) => unsignedOf(number))))
const prime = getDiffieHellman('modp14').getPrime()

const REFUSED: readonly (readonly [string, string, RegExp])[] = [
  ['an empty file', '', /no such blocks$/u],
  ['half a file', good.slice(0, 200), /block 1 \(DH PARAMETERS\) has no END$/u],
  ['two sets', good + good, /2 such blocks$/u],
  ['another kind of block', good.replaceAll('DH ', 'EC '), /block 1 is "EC PARAMETERS"/u],
  ['1024 bits', dhParameters('modp2'), /found 1024 bits$/u],
  [
    'an even modulus',
    encoded(Buffer.concat([prime, Buffer.of(0)]), Buffer.of(2)),
    /no such group$/u,
  ],
  ['generator 1', encoded(prime, Buffer.of(1)), /no such group$/u],
  ['a modulus alone', encoded(prime), /./u],
  ['nonsense', toPem('DH PARAMETERS', Buffer.from('nonsense')), /./u],
]

for (const [what, pem, found] of REFUSED) {
  test(`refuses ${what}, by name`, () => {
    assert.throws(
      () => checkDhParameters(pem, 'dh.pem'),
      (err) => {
        assert.equal((err as { code?: string }).code, 'dh_parameters_invalid')
        const { message } = err as Error
        assert.ok(
          message.startsWith('dh.pem: expected DH PARAMETERS in PEM of 2048 to 8192 bits: '),
        )
        assert.match(message, found)
        return true
      },
    )
  })
}
