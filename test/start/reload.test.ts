import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Replacement } from '../../app/index.ts'
import type { LoadedConfig } from '../../config/index.ts'
import type { Config } from '../../config/types.ts'
import { createMetrics } from '../../core/metrics.ts'
import { Reload } from '../../start/reload.ts'
import { load } from '../config/in-memory.ts'
import { RememberingLog } from '../helpers/log.ts'

const BASE = 'listener 1883\nallow_anonymous true\n'

/** A Reload over texts, with an app that remembers what it was given. */
function reloadOf(first: string) {
  const remembered = new RememberingLog()
  const metrics = createMetrics()
  const given: Config[] = []
  const logs: Config['log'][] = []
  const steps: string[] = []
  let text = first
  let refusal: readonly string[] | undefined
  const reload = new Reload({
    log: remembered.log,
    config: load(first).config,
    metrics,
    load: (): LoadedConfig => load(text),
    replaceLog: (to) => {
      steps.push('log')
      logs.push(to)
    },
    app: {
      async replaceConfig(config, applied): Promise<Replacement<number>> {
        if (refusal !== undefined) return { replaced: false, problems: refusal }
        given.push(config)
        steps.push('config')
        applied()
        return { replaced: true, outcome: 0 }
      },
      async reloadCertificates() {
        steps.push('certificates')
      },
    },
  })
  const valueOf = async (gauge: 'configRejected' | 'configPending') =>
    (await metrics[gauge].get()).values[0]?.value
  return {
    given,
    logs,
    steps,
    log: remembered,
    rejected: () => valueOf('configRejected'),
    pending: () => valueOf('configPending'),
    run: (to: string, problems?: readonly string[]) => {
      text = to
      refusal = problems
      return reload.run()
    },
  }
}

/** What is wrong, and the one line that says it. */
const BAD: readonly (readonly [string, string, readonly string[] | undefined, string])[] = [
  [
    'a line nobody knows',
    `${BASE}foo\n`,
    undefined,
    "Error: Unknown configuration variable 'foo'. Error found at mosquitto.conf:3.",
  ],
  [
    'a file it names is bad',
    `${BASE}acl_file /x\n`,
    ['Error: no such word.', 'Error found at /x:2.'],
    'Error: no such word. Error found at /x:2.',
  ],
]

test('with anything wrong nothing changes, but certificates are read and the log file reopened', async () => {
  for (const [what, text, problems, problem] of BAD) {
    const reload = reloadOf(BASE)
    await reload.run(`${text}log_type all\n`, problems)
    const line = reload.log.last('config.rejected')
    assert.deepEqual([line?.['level'], line?.['problem']], ['error', problem], what)
    assert.deepEqual(reload.steps, ['log', 'certificates'], what)
    assert.equal(reload.logs[0]?.mosquitto, undefined, what)
    assert.equal(await reload.rejected(), 1, what)
    await reload.run(BASE)
    assert.equal(await reload.rejected(), 0, what)
  }
})

test('the live part is applied, and what waits is named at each reload until it is taken back', async () => {
  const reload = reloadOf(BASE)
  const mixed = `${BASE}max_connections 5\nmax_inflight_messages 3\n`
  await reload.run(mixed)
  assert.equal(reload.given[0]?.limits.maxInflightMessages, 3)
  assert.equal(reload.given[0]?.listeners[0]?.maxConnections, -1)
  assert.deepEqual(reload.log.last('config.replaced')?.['settings'], ['limits.maxInflightMessages'])
  const waiting = ['listener 1883: maxConnections']
  assert.deepEqual(reload.log.last('config.pending')?.['settings'], waiting)

  await reload.run(mixed)
  assert.deepEqual(reload.log.last('config.replaced')?.['settings'], [])
  assert.equal(reload.log.lines.filter(({ event }) => event === 'config.pending').length, 2)
  assert.equal(await reload.pending(), 1)

  await reload.run(BASE)
  assert.equal(await reload.pending(), 0)
  assert.equal(reload.given[2]?.limits.maxInflightMessages, 20)
  assert.equal(reload.log.lines.filter(({ event }) => event === 'config.pending').length, 2)
})

test('a refused reload is compared with what is in force, not with what was refused', async () => {
  const reload = reloadOf(BASE)
  await reload.run(`${BASE}message_size_limit 5\n`, ['no'])
  await reload.run(`${BASE}message_size_limit 5\n`)
  assert.deepEqual(reload.log.last('config.replaced')?.['settings'], ['mqtt.maxPayloadBytes'])
})

test('two signals at once are two reloads, one after the other', async () => {
  const reload = reloadOf(BASE)
  await Promise.all([reload.run(BASE), reload.run(BASE)])
  const one = ['config', 'log', 'certificates']
  assert.deepEqual(reload.steps, [...one, ...one])
})
