/** A list of a million, through the thread that reads it. What it took is reported, not asserted. */
import assert from 'node:assert/strict'
import { sign } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { serialNumber } from '../../core/names.ts'
import { readCertificate } from '../../pki/certificate.ts'
import { MAX_CRL_BYTES, readCrlsAside } from '../../pki/crl-reader.ts'
import { CrlStore } from '../../pki/crl-store.ts'
import {
  bitString,
  element,
  explicit,
  extension,
  oid,
  sequence,
  time,
  unsigned,
} from '../../pki/der-writer.ts'
import { Tag } from '../../pki/der.ts'
import { makeCa, makeCrl } from '../helpers/certificates.ts'

const ca = makeCa('Device CA')
const issuer = readCertificate(ca.der).key
const authorities = [ca.der]
const serialOf = (n: number): string => `40${n.toString(16).padStart(8, '0')}${'5a'.repeat(15)}`

/** Entries by template: encoding a million one by one would be most of the test. */
function largeCrl(entries: number, crlNumber: number): Buffer {
  const reason = sequence(extension('2.5.29.21', false, element(Tag.enumerated, Buffer.of(1))))
  const entry = sequence(
    element(Tag.integer, Buffer.from(serialOf(0), 'hex')),
    time(Date.now()),
    reason,
  )
  const list = Buffer.alloc(entries * entry.length)
  for (let n = 0; n < entries; n++) {
    entry.copy(list, n * entry.length)
    list.writeUInt32BE(n, n * entry.length + 5)
  }
  const identifier = sequence(oid('1.2.840.10045.4.3.2'))
  const dates = [time(Date.now() - 60_000), time(Date.now() + 86_400_000)]
  const number = explicit(0, sequence(extension('2.5.29.20', false, unsigned(crlNumber))))
  const tbs = sequence(unsigned(1), identifier, ca.subject, ...dates, sequence(list), number)
  return sequence(tbs, identifier, bitString(sign('sha256', tbs, ca.key)))
}

/** Milliseconds of processor the main thread has had; undefined where the system does not say. */
function mainThreadMs(): number | undefined {
  const file = `/proc/self/task/${process.pid}/schedstat`
  return existsSync(file) ? Number(readFileSync(file, 'utf8').split(' ')[0]) / 1e6 : undefined
}

test('a million revoked certificates are read aside, and each is found', async (t) => {
  const entries = 1_000_000
  const bytes = Buffer.from(largeCrl(entries, 1))
  const store = new CrlStore({ clock: systemClock, authorities })
  let longest = 0
  let before = mainThreadMs()
  const watch = setInterval(() => {
    const now = mainThreadMs()
    longest = Math.max(longest, (now ?? 0) - (before ?? 0))
    before = now
  }, 1)
  t.after(() => clearInterval(watch))
  const start = performance.now()
  const { taken } = await store.offer(bytes)
  t.diagnostic(`${entries} entries: ${Math.round(performance.now() - start)} ms in the thread`)
  if (before !== undefined)
    t.diagnostic(`longest hold of the event loop: ${longest.toFixed(1)} ms of processor`)

  assert.equal(taken[0]?.entries, entries)
  const asked = Array.from({ length: 100_000 }, (_, n) => serialNumber(serialOf(n * 10)))
  const lookups = performance.now()
  const revoked = asked.filter((serial) => store.statusOf(issuer, serial) === 'revoked').length
  const nanoseconds = ((performance.now() - lookups) / asked.length) * 1e6
  t.diagnostic(`one look-up: ${Math.round(nanoseconds)} ns`)
  assert.equal(revoked, asked.length)
  for (const n of [entries, entries + 1, 0xffffffff]) {
    assert.equal(store.statusOf(issuer, serialNumber(serialOf(n))), 'good')
  }
})

test('a long list is judged in the thread as a short one is: forged, cut short, unknown', async () => {
  const options = { now: Date.now(), requireNumber: false }
  const good = largeCrl(5000, 1)
  const forged = Buffer.from(good)
  const serialAt = forged.indexOf(Buffer.from(serialOf(4000), 'hex'))
  forged.writeUInt8(forged.readUInt8(serialAt + 19) ^ 1, serialAt + 19)
  const { refused, verified } = await readCrlsAside(forged, authorities, options)
  assert.deepEqual([refused[0]?.code, verified.length], ['crl_signature_invalid', 0])
  await assert.rejects(readCrlsAside(Buffer.from(good.subarray(0, -1)), authorities, options), {
    code: 'crl_malformed',
    message: `not a complete CRL: sequence at byte 0 ends 1 bytes too late`,
  })
  const foreign = await readCrlsAside(Buffer.from(good), [makeCa('Other CA').der], options)
  assert.equal(foreign.refused[0]?.message, 'no configured CA is named Device CA')
})

test('between two long lists of one second, a missing entry is noticed', async () => {
  const store = new CrlStore({ clock: systemClock, authorities })
  const thisUpdate = Date.now() - 60_000
  const serials = Array.from({ length: 10_000 }, (_, n) => serialOf(n))
  const offer = (listed: readonly string[]) =>
    store.offer(Buffer.from(makeCrl(ca, listed, { thisUpdate })))
  await offer(serials)
  assert.equal((await offer([...serials.slice(0, -1), '01', '02'])).refused[0]?.code, 'crl_older')
  assert.equal((await offer([...serials, '01'])).taken[0]?.entries, 10_001)
})

test('a file beyond the bound is refused unread', async () => {
  const bytes = { length: MAX_CRL_BYTES + 1 } as Uint8Array<ArrayBuffer>
  await assert.rejects(readCrlsAside(bytes, authorities, { now: 0, requireNumber: false }), {
    code: 'crl_too_large',
    message: 'the file has 268435457 bytes, expected at most 268435456',
  })
})
