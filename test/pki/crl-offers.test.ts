import assert from 'node:assert/strict'
import { test } from 'node:test'
import { issuerKey } from '../../core/names.ts'
import { CrlOffers } from '../../pki/crl-offers.ts'
import { MAX_LISTS, splitCrlFile, type VerifiedCrl } from '../../pki/crl-reading.ts'
import { EVERYTHING } from '../../pki/crl-scope.ts'
import { tableOf } from '../../pki/revoked-serials.ts'
import { makeCa, makeCrl } from '../helpers/certificates.ts'

const ISSUER = issuerKey('00'.repeat(32))
const NOBODY = tableOf([])

function list(crlNumber: bigint): VerifiedCrl {
  return {
    issuer: ISSUER,
    issuerName: 'Device CA',
    scope: EVERYTHING,
    signer: undefined,
    baseNumber: undefined,
    thisUpdate: 0,
    nextUpdate: undefined,
    crlNumber,
    digest: `digest ${crlNumber}`,
    revoked: NOBODY,
    removed: NOBODY,
  }
}

test('a file of thousands of old lists is judged in slices, and each is refused', async () => {
  const held = new CrlOffers(new Map(), [list(5000n)])
  await held.judge()
  const old = Array.from({ length: 2000 }, (_, n) => list(BigInt(n)))
  const offers = new CrlOffers(held.changed, old)
  let turns = 0
  let immediate = setImmediate(function again() {
    turns++
    immediate = setImmediate(again)
  })
  await offers.judge()
  clearImmediate(immediate)
  assert.ok(turns >= 10, `${turns} turns of the event loop in between`)
  assert.equal(offers.changed.size, 0)
  assert.equal(offers.refused.length, 2000)
  assert.ok(offers.refused.every(({ code }) => code === 'crl_older'))
})

test('more lists than anyone needs make a file that is refused before any is verified', () => {
  const pem = makeCrl(makeCa('Device CA'), [])
  assert.equal(splitCrlFile(Buffer.from(pem.repeat(MAX_LISTS))).length, MAX_LISTS)
  assert.throws(() => splitCrlFile(Buffer.from(pem.repeat(MAX_LISTS + 1))), {
    code: 'crl_too_large',
    message: '10001 lists in one file, expected at most 10000',
  })
})
