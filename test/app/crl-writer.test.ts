import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { CrlWriter, startCrlWriter } from '../../app/crl-writer.ts'
import { createMetrics } from '../../core/metrics.ts'
import type { Barred, RevokedCertificate } from '../../ingest/index.ts'
import { Authority } from '../../pki/authority.ts'
import { readDeviceCrl } from '../../pki/device-crl.ts'
import { FakeClock } from '../helpers/clock.ts'
import { RememberingLog } from '../helpers/log.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const HOUR = 3_600_000

/** A table of revoked certificates that a test fills, and a writer beside it. */
async function writerOver(t: TestContext) {
  const directory = await scratchDirectory(t)
  const clock = new FakeClock(Date.now())
  await Authority.open(directory, { clock })
  const files = {
    caCertificate: join(directory, 'device-ca.crt'),
    caKey: join(directory, 'device-ca.key'),
    output: join(directory, 'device-crl.pem'),
  }
  const table: RevokedCertificate[] = []
  const reads = { count: 0 }
  const bars: ((barred: Barred) => void)[] = []
  const log = new RememberingLog()
  const metrics = createMetrics()
  const ingest = {
    onBarred: (then: (barred: Barred) => void) => void bars.push(then),
    revokedCertificates: async () => {
      reads.count++
      return [...table]
    },
  }
  const writer = CrlWriter.start({ files, ingest, clock, log: log.log, metrics })
  t.after(() => writer.stop())
  await writer.write()
  const revoke = (serialNumber: string, fingerprint = serialNumber) => {
    const name = { tenantId: 'acme', deviceId: 'pump-7', fingerprint }
    const notAfter = clock.now() + HOUR
    table.push({ ...name, serialNumber, revokedAt: clock.now(), reason: undefined, notAfter })
    return name
  }
  const bar = (barred: Barred) => {
    for (const then of bars) then(barred)
  }
  const crl = () => {
    const ca = new X509Certificate(readFileSync(files.caCertificate))
    return readDeviceCrl(readFileSync(files.output, 'latin1'), files.output, ca)
  }
  const serials = () => crl().entries.map((entry) => String(entry.serialNumber))
  return { files, writer, clock, log, metrics, reads, revoke, bar, crl, serials }
}

/** Settles when as many lists were written as there are lines, or more. */
async function written(log: RememberingLog, lists: number): Promise<void> {
  const count = () => log.lines.filter(({ event }) => event === 'crl.written').length
  while (count() < lists) await new Promise((resolve) => setImmediate(resolve))
}

test('a revocation that is seen is on the list at once, and is not written twice', async (t) => {
  const { log, metrics, clock, reads, revoke, bar, serials } = await writerOver(t)
  const before = log.lines.filter(({ event }) => event === 'crl.written').length
  assert.deepEqual(serials(), [])
  const first = revoke('0a')
  bar(first)
  await written(log, before + 1)
  assert.deepEqual(serials(), ['a'])
  const { values } = await metrics.crlWritten.get()
  assert.equal(values[0]?.value, clock.now() / 1000)
  const { count } = reads
  bar(first)
  bar({ tenantId: 'acme', deviceId: 'pump-8', fingerprint: undefined })
  assert.equal(reads.count, count)
})

test('what comes while a list is written goes onto the next one', async (t) => {
  const { log, revoke, bar, serials } = await writerOver(t)
  const before = log.lines.filter(({ event }) => event === 'crl.written').length
  bar(revoke('0a'))
  bar(revoke('0b'))
  bar(revoke('0c'))
  await written(log, before + 2)
  assert.deepEqual(serials().sort(), ['a', 'b', 'c'])
})

test('every hour there is a new list, with what nobody told of', async (t) => {
  const { log, clock, revoke, crl, serials } = await writerOver(t)
  const before = log.lines.filter(({ event }) => event === 'crl.written').length
  const first = crl()
  revoke('0a')
  clock.advance(HOUR)
  await written(log, before + 1)
  assert.deepEqual(serials(), ['a'])
  assert.ok(crl().crlNumber > first.crlNumber)
  assert.ok((crl().nextUpdate ?? 0) - clock.now() >= 24 * HOUR)
})

test('without the key nothing is written, which is said, and is tried again in a minute', async (t) => {
  const { log, files, clock, revoke, bar, serials } = await writerOver(t)
  const key = readFileSync(files.caKey)
  rmSync(files.caKey)
  bar(revoke('0a'))
  const line = await log.until('crl.unwritten')
  assert.match(String(line['msg']), /device-ca\.key does not exist; expected the device CA/u)
  assert.deepEqual(serials(), [])
  writeFileSync(files.caKey, key)
  const before = log.lines.filter(({ event }) => event === 'crl.written').length
  // The retry is set once the failed attempt is over.
  await new Promise((resolve) => setImmediate(resolve))
  clock.advance(60_000)
  await written(log, before + 1)
  assert.deepEqual(serials(), ['a'])
})

test('a serial number that is none is warned about and does not keep the others off', async (t) => {
  const { log, writer, revoke, serials } = await writerOver(t)
  revoke('not hex')
  revoke('0b')
  await writer.write()
  const line = await log.until('crl.serial_skipped')
  assert.equal(line['certificates'], 1)
  assert.deepEqual(line['serials'], ['not hex'])
  assert.deepEqual(serials(), ['b'])
})

test('a writer that is stopped writes no more', async (t) => {
  const { writer, clock, reads, revoke, bar } = await writerOver(t)
  await writer.stop()
  const { count } = reads
  bar(revoke('0a'))
  clock.advance(2 * HOUR)
  await writer.write()
  assert.equal(reads.count, count)
})

test('a database that does not answer does not hold up the end', async () => {
  const clock = new FakeClock()
  const files = { caCertificate: '/nowhere', caKey: '/nowhere', output: '/nowhere' }
  const { log } = new RememberingLog()
  const ingest = {
    onBarred: () => undefined,
    revokedCertificates: () => new Promise<never>(() => undefined),
  }
  const writer = CrlWriter.start({ files, ingest, clock, log, metrics: createMetrics() })
  const stopped = writer.stop()
  clock.advance(1_000)
  await stopped
  assert.equal(clock.pending, 0)
})

test('nobody reads the key of the CA unless the configuration says so', () => {
  const parts = { clock: new FakeClock(), log: new RememberingLog().log, metrics: createMetrics() }
  const ingest = {
    onBarred: () => assert.fail('asked'),
    revokedCertificates: () => assert.fail('asked'),
  }
  assert.equal(startCrlWriter({ ...parts, config: {}, ingest }), undefined)
})
