import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ScramClient, scramVerifier } from '../../postgres/scram.ts'

/** RFC 7677 §3; its exchange has a user name, which PostgreSQL's leaves empty. */
const SALT = 'W22ZaJ0SNY7soEsUEjb6gQ=='

test('the verifier holds the keys of RFC 7677’s example', async () => {
  assert.equal(
    await scramVerifier('pencil', Buffer.from(SALT, 'base64')),
    `SCRAM-SHA-256$4096:${SALT}$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=`,
  )
})

test('a server that does not keep to the exchange gets no proof', async () => {
  for (const [serverFirst, problem] of [
    ['', 'attribute r'],
    [`r=mineTheirs,i=4096`, 'attribute s'],
    [`r=mineTheirs,s=${SALT}`, 'attribute i'],
    [`r=mine,s=${SALT},i=4096`, 'nonce'],
    [`r=theirs,s=${SALT},i=4096`, 'nonce'],
    [`r=mineTheirs,s=${SALT},i=1`, 'iteration count'],
    [`r=mineTheirs,s=${SALT},i=1000000000`, 'iteration count'],
    [`r=mineTheirs,s=${SALT},i=x`, 'iteration count'],
  ] as const) {
    await assert.rejects(new ScramClient('pencil', 'mine').proof(serverFirst), {
      message: `SCRAM: the server's ${problem} is not what this exchange needs`,
    })
  }
})

test('a server that cannot sign does not pass for ours', async () => {
  const client = new ScramClient('pencil', 'mine')
  const final = await client.proof(`r=mineTheirs,s=${SALT},i=4096`)
  assert.match(final, /^c=biws,r=mineTheirs,p=[A-Za-z0-9+/]{43}=$/u)
  for (const serverFinal of ['', 'e=other-error', 'v=', 'v=AAAA', `v=${'A'.repeat(43)}=`]) {
    assert.throws(() => client.verify(serverFinal), /^Error: SCRAM: /u, serverFinal)
  }
  assert.throws(
    () => new ScramClient('pencil', 'mine').verify('v='),
    /signature/u,
    'before a proof',
  )
})
