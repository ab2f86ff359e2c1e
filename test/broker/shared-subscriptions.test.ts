import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { PasswordAccounts, compileAcl } from '../../broker/index.ts'
import { hashPassword, parseAclFile, parsePasswordFile } from '../../config/index.ts'
import { startBroker } from '../helpers/broker.ts'

const random = (bytes: number) => randomBytes(bytes)
const accounts = new PasswordAccounts(
  parsePasswordFile(
    ['acme', 'globex']
      .map((n) => `${n}:${hashPassword('x', { random, iterations: 1 })}`)
      .join('\n'),
    'passwd',
  ),
  { random },
)
const acl = compileAcl(
  parseAclFile('user acme\ntopic tenant/acme/#\n\nuser globex\ntopic tenant/globex/#', 'acl'),
)

test('who joins the shared subscription of another tenant takes no message from it', async (t) => {
  const { client } = await startBroker(t, {
    listener: { allowAnonymous: false },
    accounts,
    tenancy: true,
    rules: { tenancy: true, acl, accountAccess: new Set() },
  })
  const login = (clientId: string, userName: string) =>
    client(clientId, { userName, password: Buffer.from('x') })
  const intruder = await login('intruder', 'acme')
  const worker = await login('worker', 'globex')
  const sender = await login('sender', 'globex')
  const filter = '$share/workers/tenant/globex/#'
  await intruder.subscribe(filter, 1)
  await worker.subscribe(filter, 1)
  const sent = ['1', '2', '3', '4']
  for (const text of sent) await sender.publish('tenant/globex/jobs', text, { qos: 1 })
  const got: string[] = []
  for (const _ of sent) got.push(String((await worker.receive()).payload))
  assert.deepEqual(got, sent)
  await intruder.ping()
  assert.equal(intruder.unread.length, 0)
})
