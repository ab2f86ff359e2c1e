import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseYamlSubset } from './yaml-subset.ts'

test('maps, lists, scalars, JSON and tags are read', () => {
  const source = `# a comment
a:
  b: 5s
  c: ["x", "y"]
  list:
    - "1:2"
    - plain

    - name: z
      deep:
        on_it: true
e: !override
  - "8883:8883"
f: !reset []
n: 12
`
  assert.deepEqual(parseYamlSubset(source), {
    a: { b: '5s', c: ['x', 'y'], list: ['1:2', 'plain', { name: 'z', deep: { on_it: true } }] },
    e: { '!override': ['8883:8883'] },
    f: { '!reset': [] },
    n: 12,
  })
})

test('what is outside the subset is refused with its line', () => {
  const table: readonly [source: string, message: string][] = [
    ['a: 1\na: 2\n', 'line 2: not in the subset (a a second time): a: 2'],
    ['a:\n   b: 1\n', 'line 2: not in the subset (indentation): b: 1'],
    ['a:\n    b: 1\n', 'line 2: not in the subset (indentation): b: 1'],
    ['a: 1\n  b: 2\n', 'line 2: not in the subset (indentation): b: 2'],
    ['a: yes\n', 'line 1: not in the subset (a word to be quoted): yes'],
    ['a: [x, y]\n', 'line 1: not in the subset (flow style that is not JSON): [x, y]'],
    ['a: b # c\n', 'line 1: not in the subset (style): b # c'],
    ['a: |\n', 'line 1: not in the subset (style): |'],
    ['a: *b\n', 'line 1: not in the subset (style): *b'],
    ['a\n', 'line 1: not in the subset (no key): a'],
    ['a:\n  - b\n  c: d\n', 'line 3: not in the subset (a key among list items): c: d'],
    ['a:\n', 'nothing where a value was expected'],
  ]
  for (const [source, message] of table) {
    assert.throws(() => parseYamlSubset(source), { message }, source)
  }
})
