import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import {
  addressesOf,
  removeStaleSocket,
  type Machine,
} from '../../../broker/listeners/addresses.ts'
import { startBroker } from '../../helpers/broker.ts'
import { RawClient } from '../../helpers/raw-client.ts'

const nic = (address: string, scopeid?: number) => ({
  address,
  netmask: '',
  family: address.includes(':') ? ('IPv6' as const) : ('IPv4' as const),
  mac: '',
  internal: false,
  cidr: null,
  scopeid: scopeid ?? 0,
})

const machine = {
  resolve: async (host: string) => {
    if (host !== 'both') throw Object.assign(new Error('no such host'), { code: 'ENOTFOUND' })
    return [
      { address: '10.0.0.1', family: 4 },
      { address: 'fd00::1', family: 6 },
      { address: '10.0.0.1', family: 4 },
    ]
  },
  interfaces: () => ({
    eth0: [nic('10.0.0.1'), nic('fe80::1', 2)],
    lo: [nic('127.0.0.1')],
    down: [],
  }),
} as Machine

const WHERE: readonly (readonly [
  Parameters<typeof addressesOf>[0],
  readonly (string | undefined)[] | RegExp,
])[] = [
  [
    { address: undefined, port: 1, bindInterface: 'eth1' },
    /eth1: no such network interface .* there are eth0, lo, down/u,
  ],
  [{ address: undefined, port: 1, bindInterface: 'down' }, /down: no such network interface/u],
  [{ address: undefined, port: 1, bindInterface: '__proto__' }, /no such network interface/u],
  [
    { address: '127.0.0.1', port: 1, bindInterface: 'eth0' },
    /address 127.0.0.1 and interface eth0 exclude/u,
  ],
  [
    { address: '127.0.0.1', port: 1, family: 'ipv6' },
    /address 127.0.0.1 and socket_domain ipv6 exclude/u,
  ],
  [{ address: 'nobody', port: 1 }, /nobody: the name has no address here \(ENOTFOUND\)/u],
  [{ address: undefined, port: 1 }, [undefined]],
  [{ address: undefined, port: 1, family: 'ipv4' }, ['0.0.0.0']],
  [{ address: undefined, port: 1, family: 'ipv6' }, ['::']],
  [{ address: 'both', port: 1 }, ['10.0.0.1', 'fd00::1']],
  [{ address: 'both', port: 1, family: 'ipv6' }, ['fd00::1']],
  [{ address: 'both', port: 1, bindInterface: 'eth0' }, ['10.0.0.1']],
  [{ address: undefined, port: 1, bindInterface: 'eth0' }, ['10.0.0.1', 'fe80::1%eth0']],
  [{ address: undefined, port: 1, bindInterface: 'eth0', family: 'ipv6' }, ['fe80::1%eth0']],
]

test('where a listener listens', async () => {
  for (const [where, expected] of WHERE) {
    const title = JSON.stringify(where)
    if (expected instanceof RegExp) {
      await assert.rejects(addressesOf(where, machine), {
        code: 'LISTEN_FAILED',
        message: expected,
      })
      continue
    }
    const found = await addressesOf(where, machine)
    assert.deepEqual(
      found.map(({ host }) => host),
      expected,
      title,
    )
    for (const { host, port, ipv6Only } of found) {
      assert.equal(port, 1)
      assert.equal(ipv6Only, host?.includes(':') === true ? true : undefined, title)
    }
  }
})

test('a listener on an interface has a socket for each of its addresses, all with one port', async (t) => {
  const { broker } = await startBroker(t, {
    listener: { address: undefined, bindInterface: 'lo', family: 'ipv4' },
  })
  const client = await RawClient.tcp(broker.portOf('test'), '127.0.0.1')
  t.after(() => client.destroy())
  assert.equal((await client.connect({ clientId: 'a' })).returnCode, 0)
})

test('socket_domain ipv4 leaves IPv6 closed', async (t) => {
  const { broker } = await startBroker(t, { listener: { address: undefined, family: 'ipv4' } })
  const port = broker.portOf('test')
  const client = await RawClient.tcp(port, '127.0.0.1')
  t.after(() => client.destroy())
  const probe = connect({ port, host: '::1' })
  const [err] = (await once(probe, 'error')) as [NodeJS.ErrnoException]
  assert.match(String(err.code), /ECONNREFUSED|EADDRNOTAVAIL|ENETUNREACH|EAFNOSUPPORT/u)
})

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'midge-socket-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

test('a Unix socket serves MQTT, and the stale one of a killed process makes way', async (t) => {
  const socketPath = join(await folder(t), 's.sock')
  // What a killed process leaves: a socket file nobody listens on.
  const dead = createServer().listen(socketPath)
  await once(dead, 'listening')
  const { rename } = await import('node:fs/promises')
  await rename(socketPath, `${socketPath}.kept`)
  dead.close()
  await once(dead, 'close')
  await rename(`${socketPath}.kept`, socketPath)

  const { broker } = await startBroker(t, { listener: { socketPath } })
  assert.equal(broker.isOpen('test'), true)
  const client = new RawClient(connect(socketPath))
  t.after(() => client.destroy())
  assert.equal((await client.connect({ clientId: 'a' })).returnCode, 0)
  assert.equal(broker.sessions()[0]?.peer, 'unix')
})

test('a Unix socket in use, or a file that is none, stays', async (t) => {
  const path = await folder(t)
  const used = createServer().listen(join(path, 'used'))
  t.after(() => used.close())
  await once(used, 'listening')
  await writeFile(join(path, 'file'), 'x')
  await assert.rejects(removeStaleSocket(join(path, 'used')), /another program listens there/u)
  await assert.rejects(
    removeStaleSocket(join(path, 'file')),
    /a file of that name that is no socket/u,
  )
  await removeStaleSocket(join(path, 'absent'))
})
