import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { strftime } from '../../core/strftime.ts'

const FORMAT =
  '%a|%A|%b|%h|%B|%c|%C|%d|%D|%e|%F|%H|%I|%j|%m|%M|%n|%p|%r|%R|%s|%S|%t|%T|%u|%w|%x|%X|%y|%Y|%z|%%'

test('each conversion is what date(1) prints for it', () => {
  for (const text of ['2026-01-01T00:05:09', '2024-12-31T12:00:00', '2026-11-22T23:59:59']) {
    const time = new Date(text)
    const seconds = Math.floor(time.getTime() / 1000)
    const expected = execFileSync('date', ['-d', `@${seconds}`, `+${FORMAT}`], {
      env: { ...process.env, LC_ALL: 'C' },
    })
    assert.equal(`${strftime(FORMAT, time)}\n`, String(expected))
  }
})

test('what is no conversion stays', () => {
  assert.equal(strftime('100% %Q %', new Date(0)), '100% %Q %')
})
