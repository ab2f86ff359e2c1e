import assert from 'node:assert/strict'
import { chmodSync, chownSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startContainer, whyNoContainerRoot, type ContainerOptions } from './container-root.ts'
import { SERVICE_PASSWORD, deployment, has, run } from './deployment.ts'
import { composePath } from './files.ts'

const why = await whyNoContainerRoot()
const skip = why !== undefined && why

const MIDGE = { uid: 1883, gid: 1883 }
const TENANCY = { MIDGE_TENANCY: 'on' }

async function give(folder: string, owner: string): Promise<void> {
  assert.deepEqual(await run('chown', ['-R', owner, folder]), { code: 0, output: '' })
}

/** Every file below a directory with its content's length: to see what was written. */
function listing(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => `${name} ${statSync(join(folder, name)).size}`)
    .sort()
}

function idsOf(pid: number): string {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return ['Uid', 'Gid', 'CapEff']
    .map((key) => status.match(new RegExp(`^${key}:\\s+(\\w+)`, 'mu'))?.[1] ?? '?')
    .join(' ')
    .replace(/0{16}/u, 'none')
}

test('as 1883 with everything read-only the sample configuration is served', {
  skip,
}, async (t) => {
  const mosquitto = await deployment(t)
  await give(mosquitto, '1883:1883')
  const before = listing(mosquitto)
  const midge = await startContainer(t, {
    ...MIDGE,
    mosquitto,
    env: TENANCY,
    readOnlyMosquitto: true,
  })
  await midge.printed(/midge\.running/u)
  assert.equal(idsOf(midge.pid), '1883 1883 none')
  assert.deepEqual(await midge.inside('midge', 'health'), {
    code: 0,
    output: '{"status":"ready"}\n',
  })
  assert.notEqual((await midge.inside('touch', '/opt/midge/x')).code, 0, 'the root is read-only')
  if ((await has('mosquitto_rr')) && (await has('openssl'))) {
    const env = { CERT_DIR: join(mosquitto, 'certs'), MQTT_PASSWORD: SERVICE_PASSWORD }
    for (const script of [['test_mqtt_tls.sh'], ['test_mtls_device.sh', 'acme', 'pump-7']]) {
      const [name = '', ...args] = script
      const { code, output } = await midge.beside(composePath('scripts', name), args, env)
      assert.equal(code, 0, output)
    }
  }
  assert.equal(await midge.stop(), 0, midge.output())
  assert.deepEqual(listing(mosquitto), before, 'nothing was written')
})

test('as root it becomes PUID and PGID, and gives them what the broker writes', {
  skip,
}, async (t) => {
  const mosquitto = await deployment(t)
  await give(mosquitto, '4711:4712')
  await give(join(mosquitto, 'data'), '0:0')
  const env = { ...TENANCY, PUID: '4711', PGID: '4712' }
  const command = ['mosquitto', '-c', '/mosquitto/config/mosquitto.conf']
  const midge = await startContainer(t, { uid: 0, gid: 0, mosquitto, env, command })
  await midge.printed(/midge\.running/u)
  assert.equal(idsOf(midge.pid), '4711 4712 none')
  const { uid, gid } = statSync(join(mosquitto, 'data'))
  assert.deepEqual([uid, gid], [4711, 4712])
  assert.equal(await midge.stop(), 0)
})

test('any other uid serves too, and is told that PUID cannot be obeyed', { skip }, async (t) => {
  const mosquitto = await deployment(t)
  await give(mosquitto, '65001:65001')
  const env = { ...TENANCY, PUID: '1883' }
  const midge = await startContainer(t, {
    uid: 65_001,
    gid: 65_001,
    mosquitto,
    env,
    command: ['-c', '/mosquitto/config/mosquitto.conf'],
  })
  await midge.printed(/midge\.running/u)
  assert.match(midge.output(), /^midge: PUID=1883 is not obeyed: the container runs as uid 65001/mu)
  assert.equal(await midge.stop(), 0)
})

test('a start that cannot be is refused with the file, its mode and our uid', {
  skip,
}, async (t) => {
  const mosquitto = await deployment(t)
  await give(mosquitto, '1883:1883')
  const path = (name: string) => join(mosquitto, name)
  const secret = (name: string) => {
    chownSync(path(name), 0, 0)
    chmodSync(path(name), 0o600)
    return () => chownSync(path(name), 1883, 1883)
  }
  const closed = (name: string) => {
    chmodSync(path(name), 0o700)
    chownSync(path(name), 0, 0)
    return () => chownSync(path(name), 1883, 1883)
  }
  const us = 'this process is uid 1883, gid 1883'
  const table: readonly {
    readonly spoil: () => () => void
    readonly code: number
    readonly lines: readonly string[]
    readonly run?: Partial<ContainerOptions>
  }[] = [
    {
      spoil: () => secret('certs/server.key'),
      code: 13,
      lines: Array.from(
        { length: 2 },
        () =>
          `keyfile /mosquitto/certs/server.key: it may not be read (mode 600, owner 0:0; ${us})`,
      ),
    },
    {
      spoil: () => secret('passwd/passwd'),
      code: 13,
      lines: Array.from(
        { length: 2 },
        () =>
          `password_file /mosquitto/passwd/passwd: it may not be read (mode 600, owner 0:0; ${us})`,
      ),
    },
    {
      spoil: () => closed('passwd'),
      code: 13,
      lines: Array.from(
        { length: 2 },
        () =>
          `password_file /mosquitto/passwd/passwd: the directory /mosquitto/passwd may not be entered (mode 700, owner 0:0; ${us})`,
      ),
    },
    {
      spoil: () => secret('config/mosquitto.conf'),
      code: 3,
      lines: [
        `configuration /mosquitto/config/mosquitto.conf: it may not be read (mode 600, owner 0:0; ${us})`,
      ],
    },
    {
      // The check is of the user it will be, not of root, who may read everything.
      spoil: () => secret('config/acl.conf'),
      code: 13,
      lines: Array.from(
        { length: 3 },
        () =>
          `acl_file /mosquitto/config/acl.conf: it may not be read (mode 600, owner 0:0; ${us})`,
      ),
      run: { uid: 0, gid: 0 },
    },
  ]
  for (const { spoil, code, lines, run: changes } of table) {
    const restore = spoil()
    const midge = await startContainer(t, { ...MIDGE, mosquitto, env: TENANCY, ...changes })
    assert.equal(await midge.ended, code, midge.output())
    assert.deepEqual(
      midge.output().trimEnd().split('\n'),
      lines.map(
        (line) =>
          `midge: cannot read ${line}. Change its mode or owner, or run the container as its owner.`,
      ),
    )
    restore()
  }
})

test('the broker never runs as root, whatever PUID says', { skip }, async (t) => {
  const mosquitto = await deployment(t)
  for (const [name, value] of [
    ['PUID', '0'],
    ['PGID', '0'],
    ['PUID', 'root'],
    ['PUID', '-1'],
    ['PGID', '00'],
  ] as const) {
    const midge = await startContainer(t, { uid: 0, gid: 0, mosquitto, env: { [name]: value } })
    assert.equal(await midge.ended, 3)
    assert.equal(
      midge.output(),
      `midge: ${name} is "${value}", expected a number from 1: the broker does not run as root\n`,
    )
  }
})

test('other commands run as they are, and words of midge are midge', { skip }, async (t) => {
  const mosquitto = await deployment(t)
  const table: readonly [command: readonly string[], output: RegExp, code: number][] = [
    [['--version'], /^midge version \S+\n$/u, 0],
    // The key here is root's alone: the report says so, with its mode and our uid.
    [
      ['check', '/mosquitto/config/mosquitto.conf'],
      /Error: listener 8883 stays closed: \S+server\.key: .*mode 0600, owner 0:0; this process is uid 1883/u,
      3,
    ],
    [['id', '-u'], /^1883\n$/u, 0],
  ]
  for (const [command, output, code] of table) {
    const container = await startContainer(t, { ...MIDGE, mosquitto, command })
    assert.equal(await container.ended, code, container.output())
    assert.match(container.output(), output)
  }
})
