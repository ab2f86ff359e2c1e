import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { systemClock as clock } from '../../core/clock.ts'
import { openSession } from '../../postgres/session.ts'
import { FakeClock } from '../helpers/clock.ts'
import { testServer } from '../helpers/postgres.ts'

const login = { user: 'postgres', password: 'secret', database: 'postgres' }
const deps = { clock, random: randomBytes }

/** Something else that listens on the port: answers each piece it receives with the next reply. */
async function impostor(t: TestContext, ...replies: Buffer[]) {
  const heard: Buffer[] = []
  const server = createServer((socket: Socket) => {
    const left = [...replies]
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => {
      heard.push(bytes)
      const reply = left.shift()
      if (reply === undefined) socket.end()
      else socket.write(reply)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const place = { kind: 'loopback', port: (server.address() as AddressInfo).port } as const
  return { place, heard: () => Buffer.concat(heard).toString('latin1') }
}

function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

function authentication(step: number, text = ''): Buffer {
  const code = Buffer.alloc(4)
  code.writeInt32BE(step)
  return message('R', Buffer.concat([code, Buffer.from(text)]))
}

const ready = message('Z', Buffer.from('I'))

test('a password goes to nobody who does not prove to know it', async (t) => {
  for (const [title, replies, problem] of [
    [
      'no authentication',
      [Buffer.concat([authentication(0), ready])],
      'another authentication (0)',
    ],
    ['clear text', [authentication(3)], 'another authentication (3)'],
    ['md5', [authentication(5, 'salt')], 'another authentication (5)'],
    ['another mechanism', [authentication(10, 'PLAIN\0\0')], 'another authentication (10)'],
    [
      'a nonce of its own',
      [authentication(10, 'SCRAM-SHA-256\0\0'), authentication(11, 'r=x,s=AAAA,i=4096')],
      'nonce',
    ],
    [
      'no signature',
      [authentication(10, 'SCRAM-SHA-256\0\0'), Buffer.concat([authentication(0), ready])],
      'another authentication (0)',
    ],
    [
      'a signature out of turn',
      [authentication(10, 'SCRAM-SHA-256\0\0'), authentication(12, `v=${'A'.repeat(43)}=`)],
      'signature',
    ],
    ['another protocol', [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')], 'not PostgreSQL'],
    ['an endless message', [Buffer.from('R\x7f\xff\xff\xff', 'latin1')], 'not PostgreSQL'],
    ['a negative length', [Buffer.from('R\xff\xff\xff\xff', 'latin1')], 'not PostgreSQL'],
    ['silence', [], 'closed the connection'],
  ] as const) {
    const { place, heard } = await impostor(t, ...replies)
    await assert.rejects(openSession(place, login, deps), (err: Error) => {
      assert.ok(err.message.includes(problem), `${title}: ${err.message}`)
      return true
    })
    assert.ok(!heard().includes(login.password), title)
  }
})

test('a server that says nothing is given up after a minute', async (t) => {
  const silent = createServer((socket) => socket.on('error', () => undefined))
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.after(() => silent.close())
  const clock = new FakeClock()
  const { port } = silent.address() as AddressInfo
  const opening = openSession({ kind: 'loopback', port }, login, { ...deps, clock })
  await once(silent, 'connection')
  assert.equal(clock.pending, 1)
  clock.advance(60_000)
  await assert.rejects(opening, { message: 'PostgreSQL did not answer within 60 s' })
})

test('a real server is talked to, and its refusals are told apart by SQLSTATE', async (t) => {
  const { superuser } = await testServer(t)
  const { host = '', port = 0, password = '' } = superuser
  const place = host.startsWith('/')
    ? ({ kind: 'socket', directory: host, port } as const)
    : ({ kind: 'loopback', port } as const)
  await assert.rejects(openSession(place, login, deps), { sqlstate: '28P01' })
  await assert.rejects(openSession(place, { ...login, password, database: 'none' }, deps), {
    sqlstate: '3D000',
  })

  const session = await openSession(place, { ...login, password }, deps)
  assert.deepEqual(await session.query(`SELECT 1, NULL, 'é' WHERE false`), [])
  assert.deepEqual(await session.query(`SELECT n, NULL, 'é', '' FROM generate_series(1, 2) n`), [
    ['1', null, 'é', ''],
    ['2', null, 'é', ''],
  ])
  assert.deepEqual(await session.query(`SELECT length(repeat('x', 500000))`), [['500000']])
  const [[long] = []] = await session.query(`SELECT repeat('x', 500000)`)
  assert.equal(long?.length, 500_000, 'a message in many pieces')
  await assert.rejects(session.query('SELECT nothing'), { sqlstate: '42703' })
  session.end()
})
