import { Ajv2020 } from 'ajv/dist/2020.js'
import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { SETTINGS } from '../../config/settings.ts'
import { composeSchema } from './compose-schema.ts'
import { composePath, composeText } from './files.ts'
import { parseYamlSubset } from './yaml-subset.ts'

interface Service {
  readonly image?: string
  readonly build?: { readonly context: string; readonly dockerfile: string }
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly expose?: readonly string[]
  readonly ports?: readonly string[] | Readonly<Record<string, readonly string[]>>
  readonly networks?: { readonly default: { readonly aliases: readonly string[] } }
  readonly volumes?: readonly string[]
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean }
  readonly read_only?: boolean
  readonly stop_grace_period?: string
}

interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes?: Readonly<Record<string, object>>
}

const BASE = 'docker-compose.yml'
const PROD = 'docker-compose.prod.yml'
const validate = new Ajv2020({ strict: false, allErrors: true }).compile(composeSchema)

function read(name: string): ComposeFile {
  const parsed = parseYamlSubset(composeText(name))
  assert.ok(validate(parsed), JSON.stringify(validate.errors, undefined, 2))
  return parsed as unknown as ComposeFile
}

function portsOf(service: Service): readonly string[] {
  const { ports = [] } = service
  assert.ok(Array.isArray(ports), 'the base file tags nothing')
  return ports as readonly string[]
}

/** As Compose merges lists of ports: joined, unless the later file says otherwise. */
function mergedPorts(base: Service, over: Service | undefined): readonly string[] {
  const { ports } = over ?? {}
  if (ports === undefined) return portsOf(base)
  if (Array.isArray(ports)) return [...portsOf(base), ...(ports as readonly string[])]
  const { '!override': replaced, '!reset': reset } = ports as Record<string, readonly string[]>
  assert.ok(reset === undefined || reset.length === 0)
  return replaced ?? []
}

test('the compose files hold only what the Compose specification knows', () => {
  read(BASE)
  read(PROD)
  assert.equal(validate({ services: { a: { port: ['1:1'] } } }), false)
  assert.equal(validate({ services: { a: { ports: ['x'] } } }), false)
  assert.equal(validate({ services: { a: { environment: { A: 1 } } } }), false)
})

test('the other YAML files below compose/ can be read', () => {
  const found = readdirSync(composePath(), { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\.ya?ml$/u.test(name),
  )
  assert.ok(found.length >= 5, found.join())
  for (const name of found) assert.doesNotThrow(() => parseYamlSubset(composeText(name)), name)
})

test('8883 and 9001 leave the host for devices and services, and 8883 alone in production', () => {
  const base = read(BASE).services
  const prod = read(PROD).services
  const outside = (name: string, ports: readonly string[]) =>
    ports.filter((port) => !port.startsWith('127.0.0.1:')).map((port) => `${name} ${port}`)
  const all = Object.entries(base)
  assert.deepEqual(
    all.flatMap(([name, service]) => outside(name, portsOf(service))),
    ['iot-mqtt 8883:8883', 'iot-mqtt 9001:9001'],
  )
  assert.deepEqual(
    all.flatMap(([name, service]) =>
      mergedPorts(service, prod[name]).map((port) => `${name} ${port}`),
    ),
    ['iot-mqtt 8883:8883'],
  )
  for (const name of Object.keys(prod)) assert.ok(name in base, `${name} overrides nothing`)
  for (const [name, service] of Object.entries(base)) {
    if (portsOf(service).length > 0) assert.ok(prod[name]?.ports, `${name} keeps its ports in prod`)
  }
})

test('the broker is found under the names of the broker and of the ingest service it replaces', () => {
  const broker = read(BASE).services['iot-mqtt']
  assert.deepEqual(broker?.networks?.default.aliases, ['iot-mqtt', 'iot-ingest'])
  assert.equal(broker?.read_only, true)
  const [, target] = composeText('prometheus', 'prometheus.yml').match(/targets: \["(.+)"\]/u) ?? []
  assert.equal(target, 'iot-ingest:8080')
})

test('every service is watched, and what it waits for exists and can become so', () => {
  const { services } = read(BASE)
  for (const [name, { healthcheck, depends_on: waits = {} }] of Object.entries(services)) {
    assert.ok(healthcheck?.test ?? healthcheck?.disable, `${name} has no health check`)
    for (const [other, { condition }] of Object.entries(waits)) {
      const needed = services[other]
      assert.ok(needed, `${name} waits for ${other}`)
      if (condition === 'service_healthy') assert.ok(needed.healthcheck?.test, other)
    }
  }
})

test('what is mounted exists, and named volumes are declared', () => {
  const { services, volumes = {} } = read(BASE)
  const used = new Set<string>()
  for (const { volumes: mounts = [] } of Object.values(services)) {
    for (const mount of mounts) {
      const [source = ''] = mount.split(':')
      if (source.startsWith('.')) assert.ok(existsSync(join(composePath(), source)), mount)
      else used.add(source)
    }
  }
  assert.deepEqual([...used].sort(), Object.keys(volumes).sort())
})

test('the broker is given only variables it has, and secrets have no default', () => {
  const { services } = read(BASE)
  const known = new Set(SETTINGS.map(({ variable }) => variable))
  for (const variable of Object.keys(services['iot-mqtt']?.environment ?? {})) {
    assert.ok(known.has(variable), variable)
  }
  const example = composeText('.env.example')
  for (const { environment = {} } of Object.values(services)) {
    for (const [variable, value] of Object.entries(environment)) {
      if (!/PASS/u.test(variable)) continue
      assert.match(value, /^\$\{[A-Z_]+:\?[^}]+\}$/u, variable)
      const [, asked] = value.match(/^\$\{([A-Z_]+)/u) ?? []
      assert.match(example, new RegExp(`^${asked}=$`, 'mu'))
    }
  }
})

test('a stop is given more time than the broker takes at the most', () => {
  const grace = read(BASE).services['iot-mqtt']?.stop_grace_period ?? ''
  assert.ok(Number.parseInt(grace, 10) > 25, grace)
})
