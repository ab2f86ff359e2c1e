import assert from 'node:assert/strict'
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { createMetrics } from '../../core/metrics.ts'
import { serialNumber } from '../../core/names.ts'
import { readCertificate } from '../../pki/certificate.ts'
import { CrlSources, type CrlSourcesOptions } from '../../pki/crl-sources.ts'
import { CrlStore } from '../../pki/crl-store.ts'
import { element, explicit, extension, sequence, unsigned } from '../../pki/der-writer.ts'
import { type CrlOptions, makeCa, makeCrl } from '../helpers/certificates.ts'
import { FakeClock } from '../helpers/clock.ts'
import { RememberingLog } from '../helpers/log.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const T0 = Date.parse('2026-03-01T00:00:00Z')
const HOUR = 3_600_000
const ca = makeCa('Device CA')
const impostor = makeCa('Device CA')
const KEY = readCertificate(ca.der).key
const SERIAL = serialNumber('0a0b')
const crl = (serials: readonly string[], options: CrlOptions = {}) =>
  makeCrl(ca, serials, { thisUpdate: T0 - HOUR, nextUpdate: T0 + 3 * HOUR, ...options })

const replace = (file: string, text: string): void => {
  writeFileSync(`${file}.tmp`, text)
  renameSync(`${file}.tmp`, file)
}

async function sourcesWith(
  t: TestContext,
  options: Partial<CrlSourcesOptions> & { content?: string } = {},
) {
  const file = join(await scratchDirectory(t), 'device-crl.pem')
  if (options.content !== undefined) writeFileSync(file, options.content)
  const clock = new FakeClock(T0)
  const { log, lines, last, until } = bound(new RememberingLog())
  const metrics = createMetrics()
  const store = new CrlStore({ clock, authorities: [ca.der] })
  const sources = await CrlSources.open({
    files: [file],
    store,
    whenMissing: 'wait',
    clock,
    log,
    metrics,
    ...options,
  })
  t.after(() => sources.close())
  const state = () => sources.status.map((each) => [each.state, each.problem?.code])[0]
  return { file, clock, store, sources, metrics, lines, last, until, state }
}

function bound(memory: RememberingLog) {
  return {
    log: memory.log,
    lines: memory.lines,
    last: memory.last.bind(memory),
    until: memory.until.bind(memory),
  }
}

test('a crlfile that does not exist yet: nobody is let in until it appears', async (t) => {
  const { file, store, sources, state, last } = await sourcesWith(t)
  assert.deepEqual(state(), ['waiting', 'crl_unreadable'])
  assert.equal(sources.isReady(file), false)
  assert.equal(store.statusOf(KEY, SERIAL), 'unknown')
  assert.equal(last('crl.rejected')?.['problem'], `${file} does not exist`)
  assert.equal(
    last('crl.rejected')?.['msg'],
    'CRL file refused: no connection that depends on it is let in',
  )
  const told: string[] = []
  sources.onStatus(({ state: now }) => told.push(now))
  replace(file, crl(['0a0b']))
  await sources.reload()
  assert.deepEqual(told, ['in_force'])
  assert.equal(sources.isReady(file), true)
  assert.equal(store.statusOf(KEY, SERIAL), 'revoked')
})

test('with whenMissing open, everyone is let in until it appears', async (t) => {
  const { file, store, sources, state } = await sourcesWith(t, { whenMissing: 'open' })
  assert.deepEqual(state(), ['open', 'crl_unreadable'])
  assert.equal(sources.isReady(file), true)
  assert.equal(store.statusOf(KEY, SERIAL), 'good')
  replace(file, crl(['0a0b']))
  await sources.reload()
  assert.equal(store.statusOf(KEY, SERIAL), 'revoked')
})

test('with whenMissing open, a file that is there and bad still keeps everyone out', async (t) => {
  const { file, sources, store, state } = await sourcesWith(t, {
    whenMissing: 'open',
    content: 'garbage',
  })
  assert.deepEqual(state(), ['waiting', 'crl_malformed'])
  assert.equal(sources.isReady(file), false)
  assert.equal(store.statusOf(KEY, SERIAL), 'unknown')
  rmSync(file)
  await sources.reload()
  assert.deepEqual(state(), ['waiting', 'crl_unreadable'])
  assert.equal(store.statusOf(KEY, SERIAL), 'unknown')
})

test('a file nobody follows is never ready', async (t) => {
  const { sources } = await sourcesWith(t, { content: crl([]) })
  assert.equal(sources.isReady('/somewhere/else.pem'), false)
})

const good = crl(['0a0b'])
const BAD: readonly (readonly [string, (file: string) => void, string])[] = [
  ['empty', (file) => replace(file, ''), 'crl_malformed'],
  ['garbage', (file) => replace(file, 'garbage'), 'crl_malformed'],
  ['cut short', (file) => replace(file, crl([], { crlNumber: 2 }).slice(0, -50)), 'crl_malformed'],
  [
    'forged',
    (file) => replace(file, crl([], { crlNumber: 2, signedBy: impostor.key })),
    'crl_signature_invalid',
  ],
  [
    'of another CA of that name',
    (file) => replace(file, makeCrl(impostor, [], { thisUpdate: T0 })),
    'crl_signature_invalid',
  ],
  [
    'of a CA nobody configured',
    (file) => replace(file, makeCrl(makeCa('Other'), [], { thisUpdate: T0 })),
    'crl_issuer_unknown',
  ],
  ['older', (file) => replace(file, crl([], { crlNumber: 0 })), 'crl_older'],
  [
    'a delta',
    (file) =>
      replace(
        file,
        crl([], { crlNumber: 2, extensions: [extension('2.5.29.27', true, unsigned(1))] }),
      ),
    'crl_list_missing',
  ],
  ['removed', (file) => rmSync(file), 'crl_unreadable'],
  ['a directory', (file) => (rmSync(file), mkdirSync(file)), 'crl_unreadable'],
]

for (const [what, damage, code] of BAD) {
  test(`the last good list stays in force when the file is ${what}`, async (t) => {
    const { file, store, sources, metrics, state, lines } = await sourcesWith(t, { content: good })
    assert.deepEqual(state(), ['in_force', undefined])
    damage(file)
    await sources.reload()
    assert.deepEqual(state(), ['in_force', code])
    assert.equal(sources.isReady(file), true)
    assert.equal(store.statusOf(KEY, SERIAL), 'revoked')
    await sources.reload()
    const rejected = lines.filter((line) => line['event'] === 'crl.rejected')
    assert.equal(rejected.length, 1, 'logged once')
    assert.equal(rejected[0]?.['msg'], 'CRL file refused: the last good lists stay in force')
    assert.equal(rejected[0]?.['level'], 'error')
    assert.equal((await metrics.crlRejected.get()).values[0]?.value, 1)

    rmSync(file, { recursive: true, force: true })
    replace(file, crl(['0a0b', '0c'], { crlNumber: 3 }))
    await sources.reload()
    assert.deepEqual(state(), ['in_force', undefined])
    assert.equal(store.statusOf(KEY, serialNumber('0c')), 'revoked')
  })
}

test('a changed file is taken without being asked', async (t) => {
  const { file, store, until } = await sourcesWith(t, {
    content: crl([]),
    clock: systemClock,
    settleMs: 5,
  })
  const alive = setInterval(() => undefined, 60_000)
  t.after(() => clearInterval(alive))
  assert.equal(store.statusOf(KEY, SERIAL) === 'revoked', false)
  replace(file, crl(['0a0b'], { crlNumber: 2 }))
  await until('crl.replaced', { number: '2' })
  assert.equal(store.statusOf(KEY, SERIAL), 'revoked')
})

test('a list from the future is tried again when its time has come', async (t) => {
  const { clock, sources, store, state } = await sourcesWith(t, {
    content: crl(['0a0b'], { thisUpdate: T0 + HOUR }),
  })
  assert.deepEqual(state(), ['waiting', 'crl_not_yet_valid'])
  clock.advance(HOUR - 6 * 60_000)
  assert.deepEqual(state(), ['waiting', 'crl_not_yet_valid'])
  const ready = new Promise((resolve) => {
    sources.onStatus(resolve)
  })
  clock.advance(2 * 60_000)
  await ready
  assert.deepEqual(state(), ['in_force', undefined])
  assert.equal(store.statusOf(KEY, SERIAL), 'revoked')
})

test('a list of a stranger beside one of ours does no harm', async (t) => {
  const { state } = await sourcesWith(t, { content: crl([]) + makeCrl(makeCa('Other'), []) })
  assert.deepEqual(state(), ['in_force', undefined])
})

test('a bundle with one forged list keeps the listener shut, and yet revokes what it can', async (t) => {
  const content = crl(['0a0b']) + crl([], { crlNumber: 9, signedBy: impostor.key })
  const { state, store } = await sourcesWith(t, { content })
  assert.deepEqual(state(), ['waiting', 'crl_signature_invalid'])
  assert.equal(store.statusOf(KEY, SERIAL), 'revoked')
})

test('as a list ages, it is announced once near its end and once past it, and shown', async (t) => {
  const { clock, lines, metrics, sources, file } = await sourcesWith(t, { content: crl(['0a0b']) })
  const events = () =>
    lines
      .map((line) => line['event'])
      .filter((event) => event === 'crl.expiring' || event === 'crl.stale')
  const issuer = `Device CA (${KEY.slice(0, 8)})`
  const gauge = async (name: 'crlStale' | 'crlEntries' | 'crlNextUpdate') => {
    const { values } = await metrics[name].get()
    return values.map(({ value, labels }) => [labels.issuer, value])
  }
  assert.deepEqual(await gauge('crlEntries'), [[issuer, 1]])
  assert.deepEqual(await gauge('crlNextUpdate'), [[issuer, (T0 + 3 * HOUR) / 1000]])
  clock.advance(2 * HOUR)
  assert.deepEqual(events(), [])
  clock.advance(60_000)
  assert.deepEqual(events(), ['crl.expiring'])
  assert.deepEqual(await gauge('crlStale'), [[issuer, 0]])
  clock.advance(HOUR)
  assert.deepEqual(events(), ['crl.expiring', 'crl.stale'])
  assert.deepEqual(await gauge('crlStale'), [[issuer, 1]])
  replace(file, crl([], { crlNumber: 2, nextUpdate: clock.now() + 24 * HOUR }))
  await sources.reload()
  assert.deepEqual(await gauge('crlStale'), [[issuer, 0]])
  assert.deepEqual(await gauge('crlEntries'), [[issuer, 0]])
})

const second = makeCa('Second CA')
const SECOND_KEY = readCertificate(second.der).key
const secondCrl = (serials: readonly string[], options: CrlOptions = {}) =>
  makeCrl(second, serials, { thisUpdate: T0 - HOUR, nextUpdate: T0 + 3 * HOUR, ...options })
const partitioned = {
  extensions: [
    extension(
      '2.5.29.28',
      true,
      sequence(explicit(0, explicit(0, element(0x86, Buffer.from('http://x/1'))))),
    ),
  ],
}

/** A bundle of two CAs, whose second list is no longer one that can be used. */
const LOST: readonly (readonly [string, string, string])[] = [
  ['gone', crl([], { crlNumber: 2 }), 'crl_list_missing'],
  [
    'one of several parts',
    crl([], { crlNumber: 2 }) + secondCrl([], { crlNumber: 2, ...partitioned }),
    'crl_list_missing',
  ],
  [
    'a delta alone',
    crl([], { crlNumber: 2 }) +
      secondCrl([], { crlNumber: 2, extensions: [extension('2.5.29.27', true, unsigned(1))] }),
    'crl_list_missing',
  ],
  [
    'of a stranger of that name',
    crl([], { crlNumber: 2 }) + makeCrl(makeCa('Second CA'), [], { thisUpdate: T0 - HOUR }),
    'crl_signature_invalid',
  ],
  ['older', crl([], { crlNumber: 2 }) + secondCrl([], { crlNumber: 0 }), 'crl_older'],
]

for (const [what, bundle, code] of LOST) {
  test(`a CA keeps its last good list, with an alarm, when the one in the file is ${what}`, async (t) => {
    const store = new CrlStore({ clock: new FakeClock(T0), authorities: [ca.der, second.der] })
    const content = crl(['0a0b']) + secondCrl(['0a'])
    const { file, sources, state, metrics } = await sourcesWith(t, { store, content })
    assert.deepEqual(state(), ['in_force', undefined])
    replace(file, bundle)
    await sources.reload()
    assert.deepEqual(state(), ['in_force', code])
    assert.equal(store.statusOf(KEY, SERIAL), 'good', 'its neighbour is taken')
    assert.equal(store.statusOf(SECOND_KEY, serialNumber('0a')), 'revoked')
    assert.equal(store.statusOf(SECOND_KEY, serialNumber('0b')), 'good')
    // The alarm does not end by itself: the list that was lost is remembered.
    await sources.reload()
    assert.deepEqual(state(), ['in_force', code])
    assert.equal((await metrics.crlRejected.get()).values[0]?.value, 1)
    replace(file, crl([], { crlNumber: 3 }) + secondCrl([], { crlNumber: 3 }))
    await sources.reload()
    assert.deepEqual(state(), ['in_force', undefined])
    assert.equal(store.statusOf(SECOND_KEY, serialNumber('0a')), 'good')
  })
}

test('a list that is lost is no alarm once its CA is no longer configured', async (t) => {
  const store = new CrlStore({ clock: new FakeClock(T0), authorities: [ca.der, second.der] })
  const content = crl(['0a0b']) + secondCrl([])
  const { file, sources, state } = await sourcesWith(t, { store, content })
  store.replaceAuthorities([ca.der])
  replace(file, crl(['0a0b']))
  await sources.reload()
  assert.deepEqual(state(), ['in_force', undefined])
})

test('at the start a list that cannot be used is left out, with an alarm that names it', async (t) => {
  const store = new CrlStore({ clock: new FakeClock(T0), authorities: [ca.der, second.der] })
  const content = secondCrl([], partitioned) + crl(['0a0b'])
  const { state, last, sources } = await sourcesWith(t, { store, content })
  assert.deepEqual(state(), ['in_force', 'crl_unsupported'])
  assert.equal(store.statusOf(KEY, SERIAL), 'revoked')
  assert.equal(store.statusOf(SECOND_KEY, SERIAL), 'unknown')
  const why = 'a partial CRL (distributionPoint), expected a complete one of one CA'
  assert.equal(sources.status[0]?.problem?.message, `CRL of Second CA is not supported: ${why}`)
  assert.equal(
    last('crl.rejected')?.['msg'],
    'CRL file refused in part: its other lists are in force',
  )
})

test('a list that cannot be used is no alarm beside one that says everything of its CA', async (t) => {
  const content = crl(['0a0b']) + crl([], partitioned)
  const { state, lines, sources } = await sourcesWith(t, { content })
  assert.deepEqual(state(), ['in_force', undefined])
  await sources.reload()
  assert.equal(lines.filter(({ event }) => event === 'crl.left_out').length, 1, 'logged once')
})

test('a file with nothing but what cannot be used keeps its listener shut', async (t) => {
  const { state, store, file, sources } = await sourcesWith(t, { content: crl([], partitioned) })
  assert.deepEqual(state(), ['waiting', 'crl_unsupported'])
  assert.equal(store.statusOf(KEY, SERIAL), 'unknown')
  assert.equal(sources.isReady(file), false)
})

test('a list that its delta shows to be old is announced as stale, until the newer one has come', async (t) => {
  const ahead = crl(['0c'], {
    crlNumber: 5,
    extensions: [extension('2.5.29.27', true, unsigned(4))],
  })
  const { file, last, store, sources, metrics, state } = await sourcesWith(t, {
    content: crl(['0a0b']) + ahead,
  })
  const stale = async () => (await metrics.crlStale.get()).values.map(({ value }) => value)
  assert.deepEqual(state(), ['in_force', undefined])
  assert.equal(last('crl.stale')?.['msg'], 'CRL is older than its delta')
  assert.deepEqual(await stale(), [1])
  assert.equal(store.statusOf(KEY, serialNumber('0d')), 'stale')
  replace(file, crl(['0a0b'], { crlNumber: 4 }) + ahead)
  await sources.reload()
  assert.deepEqual(await stale(), [0])
  assert.equal(store.statusOf(KEY, serialNumber('0d')), 'good')
})
