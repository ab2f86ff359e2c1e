import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSubscriptionFilter } from '../../../broker/store/subscription-filter.ts'

const refused = [
  '',
  'a+',
  '+a',
  'a#',
  '#a',
  'a/#/b',
  '##',
  'a\0b',
  'a/'.repeat(200) + 'a',
  '$share/',
  '$share/group',
  '$share/group/',
  '$share//t',
  '$share/+/t',
  '$share/#',
  '$share/a+/t',
  '$share/group/a#',
  '$share/group/a/#/b',
]
for (const text of refused) {
  test(`refused as a filter: ${JSON.stringify(text.slice(0, 30))}`, () => {
    assert.equal(parseSubscriptionFilter(text), undefined)
  })
}

const taken: [text: string, group: string | undefined, filter: string][] = [
  ['a', undefined, 'a'],
  ['/', undefined, '/'],
  ['#', undefined, '#'],
  ['+/+/#', undefined, '+/+/#'],
  ['$SYS/#', undefined, '$SYS/#'],
  ['$share', undefined, '$share'],
  ['$shared/g/t', undefined, '$shared/g/t'],
  ['a/$share/g', undefined, 'a/$share/g'],
  ['$share/g/t', 'g', 't'],
  ['$share/g/#', 'g', '#'],
  ['$share/g//', 'g', '/'],
  ['$share/__proto__/constructor', '__proto__', 'constructor'],
  ['$share/g/$share/h/t', 'g', '$share/h/t'],
]
for (const [text, group, filter] of taken) {
  test(`taken as a filter: ${text}`, () => {
    assert.deepEqual(parseSubscriptionFilter(text), { group, filter })
  })
}
