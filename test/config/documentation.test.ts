import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { DIRECTIVES } from '../../config/directives.ts'
import { settingNamed, SETTINGS } from '../../config/settings.ts'
import { packageRoot } from '../../core/package-root.ts'
import { directiveTable, settingTables } from './tables.ts'

function between(file: string, mark: string): string {
  const text = readFileSync(join(packageRoot(import.meta.dirname), 'docs', file), 'utf8')
  const [, table] = text.split(`<!-- ${mark} -->\n`)
  return table?.trim() ?? ''
}

test('docs/mosquitto.md has the table of directives as the code has it', () => {
  assert.equal(between('mosquitto.md', 'directives'), directiveTable())
})

test('docs/configuration.md has the settings as the code has them', () => {
  assert.equal(between('configuration.md', 'settings'), settingTables())
})

test('every directive is in the table once', () => {
  const names = DIRECTIVES.map(({ name }) => name)
  assert.equal(new Set(names).size, names.length)
})

test('every setting has a name and a directive of its own, ours or one of Mosquitto', () => {
  const variables = SETTINGS.map(({ variable }) => variable)
  assert.equal(new Set(variables).size, variables.length)
  const directives = SETTINGS.flatMap(({ directive }) => directive ?? [])
  assert.equal(new Set(directives).size, directives.length)
  const mosquitto = new Set(DIRECTIVES.map(({ name }) => name))
  for (const directive of directives) {
    assert.ok(directive.startsWith('midge_') || mosquitto.has(directive), directive)
    assert.equal(settingNamed(directive)?.directive, directive)
  }
})

test('every default is a value of its setting, where it has one', () => {
  for (const { variable, shownDefault, parse, default: value } of SETTINGS) {
    if (shownDefault !== '') assert.deepEqual(parse(shownDefault), value, variable)
  }
})
