/** Four mosquitto.conf from the field, only their ports and paths replaced, with Mosquitto's clients. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { copyFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { connectAsync, type IClientOptions } from 'mqtt'
import { issue, issueServer, makeCa, makeCrl } from '../helpers/certificates.ts'
import { spawnMidge } from '../helpers/midge-process.ts'
import { scratchDirectory } from '../helpers/scratch.ts'
import { freePorts } from '../helpers/free-port.ts'

const CLIENTS = ['mosquitto_pub', 'mosquitto_sub', 'mosquitto_passwd'].map(
  (name) => `/usr/bin/${name}`,
)
const missing = CLIENTS.find((file) => !existsSync(file))
const OPTIONS = {
  timeout: 60_000,
  skip: missing === undefined ? false : `${missing} is not installed`,
}

interface Ports {
  readonly mqtt: number
  readonly mqtts: number
  readonly ws: number
}

async function startWith(t: TestContext, folder: string, conf: (ports: Ports) => string) {
  const [mqtt = 0, mqtts = 0, ws = 0] = await freePorts(3)
  const ports: Ports = { mqtt, mqtts, ws }
  const file = join(folder, 'mosquitto.conf')
  await writeFile(file, conf(ports))
  const midge = spawnMidge(t, { args: ['-c', file] })
  await midge.printed(/midge\.running/u)
  return { midge, ports }
}

/** A command line client until its end, or until its output matches. */
function client(t: TestContext, name: 'mosquitto_pub' | 'mosquitto_sub', args: readonly string[]) {
  // Into a pipe they would keep their lines until a buffer is full.
  const child = spawn('/usr/bin/stdbuf', ['-oL', `/usr/bin/${name}`, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.after(() => child.kill('SIGKILL'))
  let output = ''
  let look: () => void = () => undefined
  const take = (bytes: Buffer) => {
    output += String(bytes)
    look()
  }
  child.stdout.on('data', take)
  child.stderr.on('data', take)
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, output }))
  const printed = (pattern: RegExp) =>
    new Promise<void>((resolve, reject) => {
      look = () => {
        if (pattern.test(output)) resolve()
      }
      look()
      void ended.then(() => reject(new Error(`ended before ${pattern}: ${output}`)))
    })
  return { ended, printed }
}

/** Subscribed when it settles; `messages` are `topic payload`, after `count` of them. */
async function subscriber(t: TestContext, args: readonly string[], count = 1) {
  const all = [...args, '-d', '-q', '1', '-C', String(count), '-F', 'MESSAGE %t %p']
  const running = client(t, 'mosquitto_sub', all)
  await running.printed(/^Subscribed/mu)
  const messages = running.ended.then(({ output }) =>
    [...output.matchAll(/^MESSAGE (.*)$/gmu)].map(([, text]) => text),
  )
  return { messages, ended: running.ended }
}

const publish = (t: TestContext, args: readonly string[], topic: string, payload = 'x') =>
  client(t, 'mosquitto_pub', [...args, '-q', '1', '-t', topic, '-m', payload]).ended

const at = (port: number) => ['-h', 'localhost', '-p', String(port)]
const as = (user: string) => ['-u', user, '-P', `secret of ${user}`]

/** Mosquitto's clients speak no WebSocket: mqtt.js stands in. */
async function overWebSocket(t: TestContext, url: string, options: IClientOptions) {
  const connected = await connectAsync(url, { reconnectPeriod: 0, ...options }, false)
  t.after(() => connected.end(true))
  return connected
}

/** Written beside and renamed, as backends do that write the file while the broker runs. */
async function writePasswords(file: string, users: readonly string[]): Promise<void> {
  await writeFile(`${file}.new`, '')
  for (const user of users) {
    const args = ['-b', `${file}.new`, user, `secret of ${user}`]
    execFileSync('/usr/bin/mosquitto_passwd', args, { stdio: 'ignore' })
  }
  await rename(`${file}.new`, file)
}

/** One account for another; the lines of the rest stay as they are. */
async function replaceAccount(file: string, gone: string, come: string): Promise<void> {
  await copyFile(file, `${file}.new`)
  for (const args of [
    ['-D', `${file}.new`, gone],
    ['-b', `${file}.new`, come, `secret of ${come}`],
  ]) {
    execFileSync('/usr/bin/mosquitto_passwd', args, { stdio: 'ignore' })
  }
  await rename(`${file}.new`, file)
}

async function writeCertificates(folder: string) {
  const serverCa = makeCa('Server CA')
  const deviceCa = makeCa('Device CA')
  const server = issueServer(serverCa)
  const path = (name: string) => join(folder, name)
  await writeFile(path('server-ca.crt'), serverCa.certificatePem)
  await writeFile(path('combined-ca.crt'), `${serverCa.certificatePem}${deviceCa.certificatePem}`)
  await writeFile(path('server.crt'), server.certificatePem)
  await writeFile(path('server.key'), server.privateKeyPem, { mode: 0o600 })
  const crl = async (serials: readonly string[], crlNumber: number) => {
    const both = [makeCrl(serverCa, [], { crlNumber }), makeCrl(deviceCa, serials, { crlNumber })]
    await writeFile(path('new.crl'), both.join(''))
    await rename(path('new.crl'), path('ca.crl'))
  }
  await crl([], 1)
  const device = async (name: string) => {
    const made = issue(deviceCa, name)
    await writeFile(path(`${name}.crt`), made.certificatePem)
    await writeFile(path(`${name}.key`), made.privateKeyPem)
    const shown = ['--cert', path(`${name}.crt`), '--key', path(`${name}.key`)]
    return { ...made, args: ['--cafile', path('server-ca.crt'), ...shown] }
  }
  return { crl, device, trust: ['--cafile', path('server-ca.crt')], ca: serverCa.certificatePem }
}

test(
  'a password_file that a backend rewrites: a new account works, a removed one is cut off',
  OPTIONS,
  async (t) => {
    const folder = await scratchDirectory(t)
    const passwd = join(folder, 'passwd')
    await writePasswords(passwd, ['old', 'stays'])
    const { midge, ports } = await startWith(
      t,
      folder,
      ({ mqtt, ws }) => `# Broker of the platform
listener ${mqtt}

listener ${ws}
protocol websockets

allow_anonymous false
password_file ${passwd}
`,
    )
    const { mqtt, ws } = ports
    const before = await publish(t, [...at(mqtt), ...as('new')], 'a')
    assert.deepEqual([before.code, /not authorised/u.test(before.output)], [5, true])
    assert.equal((await publish(t, at(mqtt), 'a')).code, 5)

    const old = await subscriber(t, [...at(mqtt), ...as('old'), '-t', 'a'])
    const stays = await subscriber(t, [...at(mqtt), ...as('stays'), '-t', 'a/#', '-i', 'stays'], 2)
    const password = 'secret of old'
    const oldWeb = await overWebSocket(t, `ws://localhost:${ws}`, { username: 'old', password })
    const cutOff = new Promise<void>((resolve) => oldWeb.once('close', resolve))
    await replaceAccount(passwd, 'old', 'new')
    assert.equal((await old.ended).code, 5)
    await cutOff

    assert.deepEqual((await publish(t, [...at(mqtt), ...as('new')], 'a', 'by new')).code, 0)
    const username = 'new'
    const web = await overWebSocket(t, `ws://localhost:${ws}`, {
      username,
      password: 'secret of new',
    })
    await web.publishAsync('a/web', 'by web', { qos: 1 })
    assert.deepEqual(await stays.messages, ['a by new', 'a/web by web'])
    await assert.rejects(
      overWebSocket(t, `ws://localhost:${ws}`, { username: 'old', password }),
      /Not authorized/u,
    )
    assert.deepEqual(await midge.end(), { code: 0, signal: null })
  },
)

test('plain, TLS of the server alone, and WebSocket meet on one broker', OPTIONS, async (t) => {
  const folder = await scratchDirectory(t)
  const { trust } = await writeCertificates(folder)
  await writePasswords(join(folder, 'passwd'), ['app'])
  const { ports } = await startWith(
    t,
    folder,
    ({ mqtt, mqtts, ws }) => `allow_anonymous false
password_file ${folder}/passwd

listener ${mqtt}
protocol mqtt

listener ${mqtts}
protocol mqtt
cafile ${folder}/server-ca.crt
certfile ${folder}/server.crt
keyfile ${folder}/server.key
require_certificate false

listener ${ws}
protocol websockets
`,
  )
  const { mqtt, mqtts, ws } = ports
  const app = as('app')
  const plain = await subscriber(t, [...at(mqtt), ...app, '-t', 'to/+'], 2)
  const secure = await subscriber(t, [...at(mqtts), ...trust, ...app, '-t', 'to/+'], 2)
  assert.equal((await publish(t, [...at(mqtts), ...trust, ...app], 'to/all', '1')).code, 0)
  const options = { username: 'app', password: 'secret of app' }
  const web = await overWebSocket(t, `ws://localhost:${ws}`, options)
  await web.publishAsync('to/all', '2', { qos: 1 })
  for (const one of [plain, secure]) {
    assert.deepEqual(await one.messages, ['to/all 1', 'to/all 2'])
  }
  assert.equal((await publish(t, [...at(mqtts), ...trust], 'to/all')).code, 5)
  assert.notEqual((await publish(t, [...at(mqtts), ...app], 'to/all')).code, 0)
})

const ACL = `user app
topic readwrite #

pattern readwrite devices/%u/#
`

test(
  'client certificates name devices, a CRL cuts them off, passwords hold elsewhere',
  OPTIONS,
  async (t) => {
    const folder = await scratchDirectory(t)
    const { crl, device } = await writeCertificates(folder)
    const [good, bad] = [await device('pump-1'), await device('pump-2')]
    await writePasswords(join(folder, 'passwd'), ['app'])
    await writeFile(join(folder, 'acl'), ACL)
    const { midge, ports } = await startWith(
      t,
      folder,
      ({ mqtt, mqtts, ws }) => `allow_anonymous false
password_file ${folder}/passwd
acl_file ${folder}/acl

listener ${mqtts}
cafile ${folder}/combined-ca.crt
certfile ${folder}/server.crt
keyfile ${folder}/server.key
crlfile ${folder}/ca.crl
require_certificate true
use_identity_as_username true

listener ${mqtt}

listener ${ws}
protocol websockets
`,
    )
    const { mqtt, mqtts, ws } = ports
    const app = await subscriber(t, [...at(mqtt), ...as('app'), '-t', 'devices/#'], 3)
    const own = [...at(mqtts), ...good.args]
    assert.equal((await publish(t, own, 'devices/pump-2/a', 'not mine')).code, 0)
    assert.equal((await publish(t, own, 'devices/pump-1/a', '1')).code, 0)
    assert.equal((await publish(t, [...at(mqtts), ...bad.args], 'devices/pump-2/a', '2')).code, 0)
    const nobody = await publish(t, [...at(mqtts), ...good.args.slice(0, 2)], 'devices/pump-1/a')
    assert.notEqual(nobody.code, 0)
    const options = { username: 'app', password: 'secret of app' }
    const web = await overWebSocket(t, `ws://localhost:${ws}`, options)
    await web.publishAsync('devices/pump-1/web', '3', { qos: 1 })
    assert.deepEqual(await app.messages, [
      'devices/pump-1/a 1',
      'devices/pump-2/a 2',
      'devices/pump-1/web 3',
    ])

    const theirs = await subscriber(t, [...at(mqtts), ...bad.args, '-t', 'devices/pump-2/#'])
    const mine = await subscriber(t, [...own, '-t', 'devices/pump-1/#'])
    await crl([bad.serialNumber], 2)
    await midge.printed(/certificate_revoked/u)
    assert.notEqual((await theirs.ended).code, 0)
    assert.notEqual((await publish(t, [...at(mqtts), ...bad.args], 'devices/pump-2/a')).code, 0)
    assert.equal((await publish(t, own, 'devices/pump-1/a', 'still')).code, 0)
    assert.deepEqual(await mine.messages, ['devices/pump-1/a still'])
  },
)

test(
  'with per_listener_settings an acl_file behind the last listener is of that one alone',
  OPTIONS,
  async (t) => {
    const folder = await scratchDirectory(t)
    const { device, trust, ca } = await writeCertificates(folder)
    const pump = await device('pump-1')
    await writePasswords(join(folder, 'passwd'), ['app', 'web'])
    await writeFile(join(folder, 'acl'), ACL)
    const server = `certfile ${folder}/server.crt\nkeyfile ${folder}/server.key`
    const { midge, ports } = await startWith(
      t,
      folder,
      ({ mqtt, mqtts, ws }) => `per_listener_settings true

listener ${mqtts}
allow_anonymous false
cafile ${folder}/combined-ca.crt
${server}
crlfile ${folder}/ca.crl
require_certificate true
use_identity_as_username true

listener ${mqtt}
allow_anonymous false
password_file ${folder}/passwd
${server}

listener ${ws}
protocol websockets
allow_anonymous false
password_file ${folder}/passwd
${server}
acl_file ${folder}/acl
`,
    )
    const { mqtt, mqtts, ws } = ports
    for (const port of [mqtts, mqtt]) {
      assert.match(midge.output(), new RegExp(`Listener ${port} has no acl_file`, 'u'))
    }
    assert.doesNotMatch(midge.output(), new RegExp(`Listener ${ws} has no acl_file`, 'u'))
    const app = await subscriber(t, [...at(mqtt), ...trust, ...as('app'), '-t', 'anything/#'], 3)
    const pumps = [...at(mqtts), ...pump.args]
    assert.equal((await publish(t, pumps, 'anything/of/device', '1')).code, 0)
    const secured = [...at(mqtt), ...trust, ...as('web')]
    assert.equal((await publish(t, secured, 'anything/of/account', '2')).code, 0)
    const web = await overWebSocket(t, `wss://localhost:${ws}`, {
      username: 'web',
      password: 'secret of web',
      ca,
    })
    await web.publishAsync('anything/by/web', 'held by the acl_file', { qos: 1 })
    const anew = { username: 'app', password: 'secret of app', ca }
    const appWeb = await overWebSocket(t, `wss://localhost:${ws}`, anew)
    await appWeb.publishAsync('anything/by/app', '3', { qos: 1 })
    assert.deepEqual(await app.messages, [
      'anything/of/device 1',
      'anything/of/account 2',
      'anything/by/app 3',
    ])
    assert.notEqual((await publish(t, [...at(mqtt), ...as('web')], 'anything/plain')).code, 0)
  },
)
