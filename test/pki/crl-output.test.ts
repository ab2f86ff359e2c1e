import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { serialNumber } from '../../core/names.ts'
import { Authority } from '../../pki/authority.ts'
import { parseCrl, verifyCrl } from '../../pki/crl.ts'
import { writeCrlOutput, type RecordedRevocation } from '../../pki/crl-output.ts'
import { splitCrlFile } from '../../pki/crl-reading.ts'
import { readCertificate } from '../../pki/certificate.ts'
import { readDeviceCrl } from '../../pki/device-crl.ts'
import { AuthorityError } from '../../pki/errors.ts'
import { RevokedSerials } from '../../pki/revoked-serials.ts'
import { FakeClock } from '../helpers/clock.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const DAY = 86_400_000

async function set(t: TestContext) {
  const directory = await scratchDirectory(t)
  const clock = new FakeClock(Date.now())
  const authority = await Authority.open(directory, { clock })
  const files = {
    caCertificate: join(directory, 'device-ca.crt'),
    caKey: join(directory, 'device-ca.key'),
    output: join(directory, 'device-crl.pem'),
  }
  const ca = new X509Certificate(readFileSync(files.caCertificate))
  const crl = () => readDeviceCrl(readFileSync(files.output, 'latin1'), files.output, ca)
  const serials = () => crl().entries.map((entry) => String(entry.serialNumber))
  const revocation = (
    serial: string,
    changes: Partial<RecordedRevocation> = {},
  ): RecordedRevocation => ({
    serialNumber: serial,
    revokedAt: clock.now() - DAY,
    reason: 'manual_revocation',
    notAfter: clock.now() + DAY,
    ...changes,
  })
  return { directory, clock, authority, files, ca, crl, serials, revocation }
}

test('a list from the record is signed by the CA, numbered, and good for days', async (t) => {
  const { clock, files, ca, crl, revocation } = await set(t)
  rmSync(files.output)
  const written = await writeCrlOutput(
    files,
    [revocation('0A1B'), revocation('ff', { reason: 'keyCompromise' })],
    clock,
  )
  assert.deepEqual(written, {
    crlNumber: BigInt(Math.trunc(clock.now() / 1000)),
    entries: 2,
    nextUpdate: clock.now() + 7 * DAY,
    skipped: [],
  })
  const parsed = parseCrl(splitCrlFile(readFileSync(files.output))[0] ?? Buffer.alloc(0))
  verifyCrl(parsed, ca, readCertificate(ca.raw))
  const revoked = new RevokedSerials(parsed.revoked)
  assert.ok(revoked.has(serialNumber('a1b')))
  assert.ok(!revoked.has(serialNumber('a1c')))
  assert.deepEqual(
    crl().entries.map(({ serialNumber: serial, reason }) => [String(serial), reason]),
    [
      ['a1b', 'unspecified'],
      ['ff', 'keyCompromise'],
    ],
  )
})

test('a revocation on the present list stays, whoever wrote it and whatever the record says', async (t) => {
  const { clock, authority, files, crl, serials, revocation } = await set(t)
  await authority.revoke([serialNumber('abc')], 'keyCompromise')
  await writeCrlOutput(files, [revocation('01')], clock)
  assert.deepEqual(serials().sort(), ['1', 'abc'])
  assert.equal(
    crl().entries.find((e) => e.serialNumber === serialNumber('abc'))?.reason,
    'keyCompromise',
  )
  // The row is gone with its device; nobody can say when the certificate expires.
  clock.advance(365 * DAY)
  await writeCrlOutput(files, [], clock)
  assert.deepEqual(serials().sort(), ['1', 'abc'])
  // And the authority of the directory goes on where this list ended.
  const before = crl().crlNumber
  const next = await authority.revoke([serialNumber('def')])
  assert.ok(next > before, `${next} after ${before}`)
  assert.deepEqual(serials().sort(), ['1', 'abc', 'def'])
})

test('a certificate leaves the list only long after it has expired', async (t) => {
  const { clock, files, serials, revocation } = await set(t)
  const one = revocation('01', { notAfter: clock.now() + DAY })
  await writeCrlOutput(files, [one], clock)
  clock.advance(60 * DAY)
  await writeCrlOutput(files, [one], clock)
  assert.deepEqual(serials(), ['1'])
  clock.advance(2 * DAY)
  await writeCrlOutput(files, [one], clock)
  assert.deepEqual(serials(), [])
})

test('each list has a higher number than the one before, also after the file got lost', async (t) => {
  const { clock, files } = await set(t)
  const numbers: bigint[] = []
  for (const step of [0, 0, 0, 3_600_000]) {
    clock.advance(step)
    numbers.push((await writeCrlOutput(files, [], clock)).crlNumber)
  }
  clock.advance(3_600_000)
  rmSync(files.output)
  numbers.push((await writeCrlOutput(files, [], clock)).crlNumber)
  assert.deepEqual(
    numbers,
    [...new Set(numbers)].sort((a, b) => (a < b ? -1 : 1)),
  )
})

test('what is no serial number is left out and named, and a date no list can hold is today', async (t) => {
  const { clock, files, crl, revocation } = await set(t)
  const bad = ['', 'xyz', '0x1f', '1 2', '-1', '00', 'f'.repeat(129)]
  const dates = [Infinity, -Infinity, Number.NaN, -1, clock.now() + DAY]
  const { skipped } = await writeCrlOutput(
    files,
    [
      ...bad.map((serial) => revocation(serial)),
      ...dates.map((revokedAt, i) => revocation(`a${i}`, { revokedAt, notAfter: Infinity })),
    ],
    clock,
  )
  assert.deepEqual(skipped, bad)
  const today = Math.trunc(clock.now() / 1000) * 1000
  assert.deepEqual(
    crl().entries.map(({ serialNumber: serial, revokedAt }) => [String(serial), revokedAt]),
    dates.map((_, i) => [`a${i}`, today]),
  )
})

test('without the CA, or over a list that could not be kept, nothing is written', async (t) => {
  const { directory, clock, files, ca } = await set(t)
  const other = await set(t)
  const present = readFileSync(files.output)
  const cut = join(directory, 'cut.pem')
  writeFileSync(cut, present.subarray(0, 200))
  const foreign = join(directory, 'foreign.pem')
  copyFileSync(other.files.output, foreign)
  const cases: readonly (readonly [Partial<typeof files>, string, RegExp])[] = [
    [{ caCertificate: '/nowhere.crt' }, 'authority_incomplete', /nowhere\.crt does not exist/u],
    [{ caKey: '/nowhere.key' }, 'authority_incomplete', /nowhere\.key does not exist/u],
    [{ caKey: other.files.caKey }, 'authority_state_invalid', /does not belong to/u],
    [{ output: cut }, 'authority_state_invalid', /move it away/u],
    [{ output: foreign }, 'authority_state_invalid', /expected the CRL of the device CA/u],
  ]
  for (const [changes, code, message] of cases) {
    const changed = { ...files, ...changes }
    const before = readFileSync(changed.output)
    await assert.rejects(writeCrlOutput(changed, [], clock), (err: unknown) => {
      assert.ok(err instanceof AuthorityError, String(err))
      assert.equal(err.code, code)
      assert.match(err.message, message)
      return true
    })
    assert.deepEqual(readFileSync(changed.output), before)
  }
  assert.ok(ca.checkPrivateKey(createPrivateKey(readFileSync(files.caKey))))
})

test('an encrypted key signs with its passphrase, and without it nothing is written', async (t) => {
  const directory = await scratchDirectory(t)
  const clock = new FakeClock(Date.now())
  const passphrase = async () => 'long enough'
  await Authority.open(directory, { clock, passphrase, encryptKeys: true })
  const files = {
    caCertificate: join(directory, 'device-ca.crt'),
    caKey: join(directory, 'device-ca.key'),
    output: join(directory, 'device-crl.pem'),
  }
  const before = readFileSync(files.output)
  const refused = { code: 'authority_passphrase_refused' }
  await assert.rejects(writeCrlOutput(files, [], clock), refused)
  await assert.rejects(
    writeCrlOutput(files, [], clock, async () => 'another one'),
    refused,
  )
  assert.deepEqual(readFileSync(files.output), before)
  assert.equal((await writeCrlOutput(files, [], clock, passphrase)).entries, 0)
})
