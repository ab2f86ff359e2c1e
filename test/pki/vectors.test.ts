/**
 * Public test vectors, through the code a listener asks (admission over trust and CRL store), one
 * layer below identity: they carry no tenant and device, and key usages of every kind.
 *
 * NIST PKITS sections 4.4, 4.14 and 4.15, and the CRL cases of C2SP x509-limbo. Both lie beside the
 * repository, in `../shared`; without them the tests are skipped and say so.
 */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { packageRoot } from '../../core/package-root.ts'
import { createClientCertificates } from '../../pki/admission.ts'
import type { Standing } from '../../pki/chain.ts'
import { CrlStore } from '../../pki/crl-store.ts'
import { CrlRejected } from '../../pki/errors.ts'
import { toPem } from '../../pki/pem.ts'
import { TrustSet } from '../../pki/trust.ts'
import { FakeClock } from '../helpers/clock.ts'

const ROOT = packageRoot(import.meta.dirname)
const SHARED = join(ROOT, '..', 'shared')
const PKITS = join(SHARED, 'pkits')
const LIMBO = join(SHARED, 'limbo-crl.json')

/** Each answer a refusal where RFC 5280 wants one; the kinder defaults are for fleets. */
const STRICT = {
  whenStale: 'refuse',
  withoutCrl: 'refuse',
  intermediatesWithoutCrl: 'refuse',
} as const

interface Vector {
  readonly cas: readonly Buffer[]
  /** PEM. */
  readonly crls: readonly string[]
  readonly peer: Buffer | string
  readonly now: number
}

async function judge({ cas, crls, peer, now }: Vector, requireNumber = true): Promise<Standing> {
  const clock = new FakeClock(now)
  const ca = cas.map((der) => toPem('CERTIFICATE', der)).join('')
  const trust = new TrustSet({ ca, origin: 'vector' })
  const store = new CrlStore({ clock, authorities: trust.encodings, requireNumber })
  try {
    // One crlfile, as a listener has.
    await store.offer(Buffer.from(crls.join('')))
  } catch (err) {
    if (!(err instanceof CrlRejected)) throw err
  }
  return createClientCertificates({ trust, store, policy: STRICT, clock }).standing(
    new X509Certificate(peer),
  )
}

interface PkitsCase {
  readonly id: string
  readonly ee: string
  readonly chain: readonly string[]
  readonly crls: readonly string[]
  readonly trust: string
  readonly expected: 'SUCCESS' | 'FAILURE'
}

/** Valid by RFC 5280, and refused: their CA's list is indirect or one of several parts. */
const STRICTER_THAN_RFC: ReadonlySet<string> = new Set([
  '41401_valid_distributionpoint_test1',
  '41404_valid_distributionpoint_test4',
  '41405_valid_distributionpoint_test5',
  '41407_valid_distributionpoint_test7',
  '41418_valid_onlysomereasons_test18',
  '41419_valid_onlysomereasons_test19',
  '41424_valid_idp_with_indirectcrl_test24',
  '41425_valid_idp_with_indirectcrl_test25',
  '41428_valid_crlissuer_test28',
  '41429_valid_crlissuer_test29',
  '41430_valid_crlissuer_test30',
  '41433_valid_crlissuer_test33',
])

const pkits = (): PkitsCase[] =>
  (JSON.parse(readFileSync(join(PKITS, 'cases.json'), 'utf8')) as PkitsCase[]).filter(({ id }) =>
    /^(?:404|414|415)\d\d_/u.test(id),
  )

test('PKITS 4.4, 4.14, 4.15: nothing is wrongly accepted, 54 of 66 are right', {
  skip: !existsSync(PKITS) && `no ${PKITS}`,
}, async (t) => {
  const cases = pkits()
  assert.equal(cases.length, 66)
  const file = (folder: string, name: string): Buffer => readFileSync(join(PKITS, folder, name))
  const stricter = new Set<string>()
  const reasons = new Map<string, number>()
  const verdicts: string[] = []
  for (const { id, ee, chain, crls, trust, expected } of cases) {
    const standing = await judge({
      cas: [trust, ...chain].map((name) => file('certs', name)),
      crls: crls.map((name) => toPem('X509 CRL', file('crls', name))),
      peer: file('certs', ee),
      now: Date.parse('2026-03-01T00:00:00Z'),
    })
    if (expected === 'FAILURE') assert.equal(standing.good, false, `wrongly accepted: ${id}`)
    else if (!standing.good) stricter.add(id)
    const reason = standing.good ? 'accepted' : standing.reason
    verdicts.push(`${id} | ${expected === 'SUCCESS' ? 'valid' : 'invalid'} | ${reason}`)
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
  }
  t.diagnostic(
    `${cases.length} cases: ${[...reasons].map(([reason, n]) => `${reason} ${n}`).join(', ')}`,
  )
  assert.deepEqual([...stricter].sort(), [...STRICTER_THAN_RFC].sort())
  compareWithDocs(verdicts, /^\| 4(?:04|14|15)\d\d_/u, t)
})

/** docs/revocation.md shows each vector with what becomes of it. */
function compareWithDocs(verdicts: readonly string[], rows: RegExp, t: TestContext): void {
  for (const verdict of verdicts) t.diagnostic(verdict)
  const documented = readFileSync(join(ROOT, 'docs', 'revocation.md'), 'utf8')
    .split('\n')
    .filter((line) => rows.test(line))
    .map((line) => line.slice(2, -2))
  assert.deepEqual(documented, verdicts)
}

interface LimboCase {
  readonly id: string
  readonly trusted_certs: readonly string[]
  readonly untrusted_intermediates: readonly string[]
  readonly peer_certificate: string
  readonly validation_time: string
  readonly crls: readonly string[]
  readonly expected_result: 'SUCCESS' | 'FAILURE'
}

/** Accepted unless MIDGE_REQUIRE_CRL_NUMBER is on: the platform's CRLs have no number. */
const NEEDS_THE_NUMBER = 'crl::crlnumber-missing'

test('x509-limbo, CRL cases: each as expected, one of them with crlNumber required', {
  skip: !existsSync(LIMBO) && `no ${LIMBO}`,
}, async (t) => {
  const { testcases } = JSON.parse(readFileSync(LIMBO, 'utf8')) as { testcases: LimboCase[] }
  assert.equal(testcases.length, 8)
  const verdicts: string[] = []
  for (const requireNumber of [true, false]) {
    for (const { id, expected_result, crls, ...each } of testcases) {
      const pems = [...each.trusted_certs, ...each.untrusted_intermediates]
      const vector: Vector = {
        cas: pems.map((pem) => new X509Certificate(pem).raw),
        crls,
        peer: each.peer_certificate,
        now: Date.parse(each.validation_time),
      }
      const standing = await judge(vector, requireNumber)
      const kinder = !requireNumber && id === NEEDS_THE_NUMBER
      const wanted = expected_result === 'SUCCESS' || kinder
      assert.equal(standing.good, wanted, `${id}, crlNumber required: ${requireNumber}`)
      const verdict = standing.good ? 'accepted' : standing.reason
      const expected = expected_result === 'SUCCESS' ? 'valid' : 'invalid'
      if (requireNumber) verdicts.push(`${id} | ${expected} | ${verdict}`)
    }
  }
  compareWithDocs(verdicts, /^\| crl::/u, t)
})
