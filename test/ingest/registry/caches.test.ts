import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TtlCache } from '../../../ingest/registry/ttl-cache.ts'
import { Certificates } from '../../../ingest/registry/certificates.ts'
import { Devices } from '../../../ingest/registry/devices.ts'
import { FakeClock } from '../../helpers/clock.ts'
import { serverError } from '../server-error.ts'
import { DEVICE, FakeReader, UNLISTED, fakePersistence, listed } from './fakes.ts'

const name = { tenantId: 'acme', deviceId: 'pump-7' }
const FINGERPRINT = 'ab'.repeat(32)
const certificate = { ...name, fingerprint: FINGERPRINT }

function open(options: { maxEntries?: number; signal?: AbortSignal } = {}) {
  const clock = new FakeClock()
  const reader = new FakeReader()
  const persistence = fakePersistence(clock, options.signal)
  const { maxEntries = 10 } = options
  const shared = { reader, clock, persistence, maxEntries, seen: () => undefined }
  return {
    clock,
    reader,
    devices: new Devices({ ...shared, ttlMs: 60_000 }),
    certificates: new Certificates(shared),
  }
}

/** Lets everything run that needs no clock. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
}

test('an entry is there until its time is over, and not at that moment', () => {
  const clock = new FakeClock()
  const cache = new TtlCache<number>(10, clock)
  cache.put('a', 1, 1000)
  clock.advance(999)
  assert.equal(cache.get('a'), 1)
  clock.advance(1)
  assert.equal(cache.get('a'), undefined)
  assert.deepEqual(cache.statistics, { hits: 1, misses: 1, size: 1 })
})

test('a full cache lets go of what has expired, or else of its oldest tenth', () => {
  const clock = new FakeClock()
  const dropped: string[] = []
  const cache = new TtlCache<number>(20, clock, (key) => dropped.push(key))
  for (let i = 0; i < 20; i++) cache.put(`k${i}`, i, i === 7 ? 10 : 1000)
  clock.advance(10)
  cache.put('new', 1, 1000)
  assert.deepEqual(dropped, ['k7'])
  cache.put('newer', 1, 1000)
  assert.deepEqual(dropped, ['k7', 'k0', 'k1'])
  assert.equal(cache.statistics.size, 19)
})

test('an entry that is put again is the newest', () => {
  const cache = new TtlCache<number>(2, new FakeClock())
  cache.put('a', 1, 1000)
  cache.put('b', 1, 1000)
  cache.put('a', 2, 1000)
  cache.put('c', 1, 1000)
  assert.equal(cache.get('b'), undefined)
  assert.equal(cache.get('a'), 2)
})

test('however many keys come, a cache stays within its bound', () => {
  const cache = new TtlCache<number>(100, new FakeClock())
  for (let i = 0; i < 10_000; i++) {
    cache.put(`k${i}`, i, 1000)
    assert.ok(cache.statistics.size <= 100)
  }
})

test('a device is believed for a minute, its absence for five seconds', async () => {
  const { clock, reader, devices } = open()
  assert.equal(await devices.load('acme/pump-7', name), 'unregistered')
  clock.advance(4999)
  assert.equal(devices.get('acme/pump-7'), 'unregistered')
  clock.advance(1)
  assert.equal(devices.get('acme/pump-7'), undefined)
  reader.devicesByName.set('acme/pump-7', DEVICE)
  assert.deepEqual(await devices.load('acme/pump-7', name), DEVICE)
  clock.advance(59_999)
  assert.deepEqual(devices.get('acme/pump-7'), DEVICE)
  clock.advance(1)
  assert.equal(devices.get('acme/pump-7'), undefined)
})

test('an active certificate is believed for five minutes, any other for thirty seconds', async () => {
  for (const [record, seconds] of [
    [UNLISTED, 30],
    [listed('REVOKED'), 30],
    [listed('EXPIRED'), 30],
    [listed('ACTIVE'), 300],
  ] as const) {
    const { clock, reader, certificates } = open()
    reader.certificatesByFingerprint.set(FINGERPRINT, record)
    assert.deepEqual(await certificates.load(certificate), record)
    clock.advance(seconds * 1000 - 1)
    assert.deepEqual(certificates.get(FINGERPRINT, 'acme/pump-7'), record)
    clock.advance(1)
    assert.equal(certificates.get(FINGERPRINT, 'acme/pump-7'), undefined, record.status)
  }
})

test('a certificate is found under its fingerprint and its CN only', async () => {
  const { reader, certificates } = open()
  reader.certificatesByFingerprint.set(FINGERPRINT, listed('ACTIVE'))
  await certificates.load(certificate)
  assert.equal(certificates.get(FINGERPRINT, 'acme/pump-8'), undefined)
  assert.equal(certificates.get('cd'.repeat(32), 'acme/pump-7'), undefined)
  assert.ok(certificates.get(FINGERPRINT, 'acme/pump-7'))
})

test('a CN that is invalidated takes all its certificates with it, and no others', () => {
  const { certificates } = open()
  const second = { ...certificate, fingerprint: 'cd'.repeat(32) }
  const other = { tenantId: 'acme', deviceId: 'pump-8', fingerprint: 'ef'.repeat(32) }
  for (const one of [certificate, second, other]) certificates.put(one, listed('ACTIVE'))
  certificates.invalidate('acme/pump-7')
  assert.equal(certificates.get(FINGERPRINT, 'acme/pump-7'), undefined)
  assert.equal(certificates.get(second.fingerprint, 'acme/pump-7'), undefined)
  assert.ok(certificates.get(other.fingerprint, 'acme/pump-8'))
  certificates.invalidate()
  assert.equal(certificates.get(other.fingerprint, 'acme/pump-8'), undefined)
  assert.equal(certificates.statistics.size, 0)
})

test('an answer that was on its way when its device was invalidated is given, and not kept', async () => {
  const { reader, devices, certificates } = open()
  reader.devicesByName.set('acme/pump-7', DEVICE)
  reader.certificatesByFingerprint.set(FINGERPRINT, listed('ACTIVE'))
  let go: () => void = () => undefined
  const held = new Promise<void>((resolve) => (go = resolve))
  const { devices: read } = reader
  reader.devices = async (names) => {
    const answers = await read.call(reader, names)
    await held
    return answers
  }
  const answer = devices.load('acme/pump-7', name)
  await settle()
  devices.invalidate('acme/pump-7')
  const later = devices.load('acme/pump-7', name)
  reader.devicesByName.set('acme/pump-7', { ...DEVICE, status: 'SUSPENDED' })
  go()
  assert.deepEqual(await answer, DEVICE)
  assert.deepEqual(await later, { ...DEVICE, status: 'SUSPENDED' })
  devices.invalidate('acme/pump-7')
  assert.equal(devices.get('acme/pump-7'), undefined)
  assert.deepEqual(await certificates.load(certificate), listed('ACTIVE'))
})

test('what is asked in one turn goes into one query, and the same question is asked once', async () => {
  const { reader, devices } = open()
  const asked = ['a', 'b', 'a', 'c'].map((deviceId) =>
    devices.load(`acme/${deviceId}`, { tenantId: 'acme', deviceId }),
  )
  await Promise.all(asked)
  assert.deepEqual(reader.asked, [['acme/a', 'acme/b', 'acme/c']])
})

test('five hundred questions go into a query, and none is lost', async () => {
  const { reader, devices } = open({ maxEntries: 5000 })
  const names = Array.from({ length: 1201 }, (_, i) => ({ tenantId: 'acme', deviceId: `d${i}` }))
  await Promise.all(names.map((one) => devices.load(`acme/${one.deviceId}`, one)))
  assert.deepEqual(
    reader.asked.map(({ length }) => length),
    [500, 500, 201],
  )
})

test('while the database is away a question waits, with pauses that grow to five seconds', async () => {
  const { clock, reader, devices } = open()
  reader.devicesByName.set('acme/pump-7', DEVICE)
  reader.failures.push(...Array.from({ length: 8 }, () => serverError('57P01')))
  let answer: unknown = 'none yet'
  void devices.load('acme/pump-7', name).then((device) => (answer = device))
  for (const pause of [100, 200, 400, 800, 1600, 3200, 5000]) {
    await settle()
    const before = reader.asked.length
    clock.advance(pause - 1)
    await settle()
    assert.equal(reader.asked.length, before, `asked again within ${pause} ms`)
    clock.advance(1)
  }
  await settle()
  assert.equal(answer, 'none yet')
  clock.advance(5000)
  await settle()
  assert.deepEqual(answer, DEVICE)
})

test('what is unclear is asked again, too: nobody is admitted or refused for it', async () => {
  const { clock, reader, devices } = open()
  reader.devicesByName.set('acme/pump-7', DEVICE)
  reader.failures.push(serverError('42501'), serverError('XX000'), new Error('socket'))
  const answer = devices.load('acme/pump-7', name)
  for (let i = 0; i < 3; i++) {
    await settle()
    clock.advance(400)
  }
  assert.deepEqual(await answer, DEVICE)
})

test('a question that PostgreSQL does not take fails alone', async () => {
  const { reader, devices } = open()
  reader.devicesByName.set('acme/a', DEVICE)
  const { devices: read } = reader
  reader.devices = async (names) => {
    if (names.some(({ deviceId }) => deviceId === 'bad')) throw serverError('22021')
    return read.call(reader, names)
  }
  const ask = (deviceId: string) => devices.load(`acme/${deviceId}`, { tenantId: 'acme', deviceId })
  const [a, bad, b] = await Promise.allSettled([ask('a'), ask('bad'), ask('b')])
  assert.deepEqual([a.status, bad.status, b.status], ['fulfilled', 'rejected', 'fulfilled'])
})

test('a stop ends the waiting, and nobody is answered', async () => {
  const stop = new AbortController()
  const { reader, devices } = open({ signal: stop.signal })
  reader.failures.push(serverError('57P01'))
  const answer = devices.load('acme/pump-7', name)
  await settle()
  stop.abort()
  await assert.rejects(answer, { code: 'INGEST_STOPPED' })
  await assert.rejects(devices.load('acme/other', name), { code: 'INGEST_STOPPED' })
})
