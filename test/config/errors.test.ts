import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError, ConfigErrors, placeText } from '../../config/errors.ts'
import { OperationalError } from '../../core/errors.ts'

test('a ConfigError says file, line and problem', () => {
  const error = new ConfigError({ file: 'mosquitto.conf', line: 14 }, 'port is not "88x3"')
  assert.ok(error instanceof OperationalError)
  assert.equal(error.code, 'CONFIG_INVALID')
  assert.equal(error.name, 'ConfigError')
  assert.equal(error.message, 'mosquitto.conf:14: port is not "88x3"')
  assert.deepEqual(error.place, { file: 'mosquitto.conf', line: 14 })
})

test('a place without a line is the file alone', () => {
  assert.equal(placeText({ file: 'environment', line: undefined }), 'environment')
  assert.equal(placeText({ file: 'a', line: 1 }), 'a:1')
})

test('ConfigErrors holds every error and names each on a line of its own', () => {
  const cause = new Error('ENOENT')
  const first = new ConfigError({ file: 'a', line: 1 }, 'x', { cause })
  const second = new ConfigError({ file: 'b', line: 2 }, 'y')
  const errors = new ConfigErrors([first, second])
  assert.equal(errors.code, 'CONFIG_REFUSED')
  assert.equal(errors.message, 'a:1: x\nb:2: y')
  assert.deepEqual(errors.errors, [first, second])
  assert.equal(errors.errors[0]?.cause, cause)
})
