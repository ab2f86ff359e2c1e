import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMetrics } from '../../core/metrics.ts'
import { composeText } from './files.ts'

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly datasource?: { readonly uid: string }
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[]
}

const dashboard = JSON.parse(composeText('grafana', 'dashboards', 'midge.json')) as {
  readonly panels: readonly Panel[]
}
const drawn = dashboard.panels.filter(({ type }) => type !== 'row')

/** Names Prometheus knows them by, and the labels each has. */
function knownMetrics(): Map<string, readonly string[]> {
  const known = new Map<string, readonly string[]>()
  for (const metric of Object.values(createMetrics())) {
    if (!('labelNames' in metric) || !('name' in metric)) continue
    const { name, labelNames } = metric as { name: string; labelNames: readonly string[] }
    known.set(name, labelNames)
    if (metric.constructor.name !== 'Histogram') continue
    known.delete(name)
    for (const suffix of ['_bucket', '_sum', '_count']) {
      known.set(name + suffix, [...labelNames, ...(suffix === '_bucket' ? ['le'] : [])])
    }
  }
  return known
}

const WORDS = new Set(['sum', 'max', 'rate', 'increase', 'by', 'time', 'histogram_quantile'])

/** Names in an expression that are no function, label or duration. */
function metricsIn(expr: string): readonly string[] {
  const bare = expr.replaceAll(/\bby \([^)]*\)|\[[^\]]*\]/gu, ' ')
  return [...bare.matchAll(/[a-zA-Z_]\w*/gu)].map(([name]) => name).filter((n) => !WORDS.has(n))
}

test('the dashboard draws only metrics that the broker has, by labels they have', () => {
  const known = knownMetrics()
  assert.ok(known.size > 30, `${known.size} metrics found`)
  assert.ok(drawn.length > 10)
  for (const { title, targets = [] } of drawn) {
    assert.ok(targets.length > 0, title)
    for (const { expr, legendFormat } of targets) {
      const names = metricsIn(expr)
      assert.ok(names.length > 0, expr)
      for (const name of names) assert.ok(known.has(name), `${title}: ${name}`)
      const labels = names.flatMap((name) => known.get(name) ?? [])
      const asked = [
        ...[...expr.matchAll(/\bby \(([^)]*)\)/gu)].flatMap(([, list = '']) => list.split(/, */u)),
        ...[...legendFormat.matchAll(/\{\{(\w+)\}\}/gu)].map(([, label = '']) => label),
      ]
      for (const label of asked) assert.ok(labels.includes(label), `${title}: label ${label}`)
    }
  }
})

test('panels have numbers of their own and the data source that is provisioned', () => {
  const ids = dashboard.panels.map(({ id }) => id)
  assert.equal(new Set(ids).size, ids.length)
  const [, uid] =
    composeText('grafana', 'provisioning', 'datasources', 'prometheus.yml').match(/uid: (\S+)/u) ??
    []
  for (const { title, datasource } of drawn) assert.equal(datasource?.uid, uid, title)
})
