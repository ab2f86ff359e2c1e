import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runChecks, type Check } from '../../ingest/checks/check.ts'
import { decode, type Message } from '../../ingest/decode.ts'
import { message } from './messages.ts'

function decoded(): Message {
  const answer = decode(message('{"site_id":"north"}'))
  assert.ok(typeof answer !== 'string')
  return answer
}

const passes: Check = () => undefined
const refuses: Check = () => 'RATE_LIMITED'
const passesLater: Check = async () => undefined
const refusesLater: Check = () => Promise.resolve('DEVICE_REVOKED' as const)
const isNotAsked: Check = () => assert.fail('a check was asked after one had refused')

test('the first check that refuses decides, at once or later, and none after it is asked', async () => {
  const cases: readonly (readonly [readonly Check[], string | undefined])[] = [
    [[refuses, isNotAsked], 'RATE_LIMITED'],
    [[passes, refuses, isNotAsked], 'RATE_LIMITED'],
    [[passesLater, refuses, isNotAsked], 'RATE_LIMITED'],
    [[refusesLater, isNotAsked], 'DEVICE_REVOKED'],
    [[passes, passesLater, passes, refusesLater, isNotAsked], 'DEVICE_REVOKED'],
    [[], undefined],
    [[passes, passes], undefined],
    [[passes, passesLater, passesLater, passes], undefined],
  ]
  for (const [checks, expected] of cases) {
    assert.equal(await runChecks(checks, decoded()), expected)
  }
})

test('checks that answer at once are not waited for', () => {
  assert.equal(runChecks([passes, refuses], decoded()), 'RATE_LIMITED')
  assert.equal(runChecks([passes, passes], decoded()), undefined)
})
