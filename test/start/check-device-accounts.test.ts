import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { diskFiles, loadConfig } from '../../config/index.ts'
import { deviceAccountsOf } from '../../start/check-device-accounts.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const DATABASE = { DATABASE_URL: 'postgres://u:p@h/d' }
const REFUSED = 'called device_… will be refused: which device it is the registry tells, and'

async function found(
  t: TestContext,
  accounts: readonly string[] | undefined,
  environment: Readonly<Record<string, string>>,
) {
  const folder = await scratchDirectory(t)
  const [file, passwd] = [join(folder, 'm.conf'), join(folder, 'passwd')]
  await writeFile(file, `listener 1883\npassword_file ${passwd}\nlistener 1884\n`)
  const hash = `$7$101$${'A'.repeat(16)}$${'A'.repeat(86)}==`
  const lines = accounts?.map((name) => `${name}:${hash}\n`)
  if (lines !== undefined) await writeFile(passwd, lines.join(''))
  const { config } = loadConfig({ file, ports: [], environment, files: diskFiles })
  const texts = deviceAccountsOf(config).map(({ severity, text }) => `${severity}: ${text}`)
  return [...new Set(texts)].map((text) => text.replaceAll(folder, 'DIR'))
}

const table: readonly (readonly [
  accounts: readonly string[] | undefined,
  environment: Readonly<Record<string, string>>,
  expected: readonly string[],
])[] = [
  [
    ['device_a_b', 'pulse', 'device_a_c'],
    { MIDGE_TENANCY: 'on' },
    [`danger: DIR/passwd: 2 accounts ${REFUSED} no database is configured`],
  ],
  [
    ['device_a_b'],
    { ...DATABASE, MIDGE_REGISTRY: 'off' },
    [`danger: DIR/passwd: one account ${REFUSED} MIDGE_REGISTRY is off`],
  ],
  [['pulse', 'Device_a_b'], { MIDGE_TENANCY: 'on' }, []],
  [undefined, { MIDGE_TENANCY: 'on' }, []],
  [['device_a_b'], {}, []],
  [['device_a_b'], { ...DATABASE, MIDGE_TENANCY: 'off', MIDGE_REGISTRY: 'off' }, []],
  [['device_a_b'], DATABASE, []],
]

test('accounts of devices are told of where nobody can come in by them', async (t) => {
  for (const [accounts, environment, expected] of table) {
    assert.deepEqual(await found(t, accounts, environment), expected)
  }
})
