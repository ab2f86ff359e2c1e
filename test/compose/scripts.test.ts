import assert from 'node:assert/strict'
import { accessSync, constants, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { spawnMidge } from '../helpers/midge-process.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { SERVICE_PASSWORD, deployment, has, localConfiguration, run } from './deployment.ts'
import { composePath } from './files.ts'
import { freePorts } from '../helpers/free-port.ts'

const ENTRY_POINT = composePath('docker-entrypoint.sh')
const MQTT_TLS = composePath('scripts', 'test_mqtt_tls.sh')
const MTLS_DEVICE = composePath('scripts', 'test_mtls_device.sh')
const SCRIPTS = [ENTRY_POINT, MQTT_TLS, MTLS_DEVICE]

const missing: string[] = []
for (const program of ['openssl', 'mosquitto_pub', 'mosquitto_rr']) {
  if (!(await has(program))) missing.push(program)
}
const skip = missing.length > 0 && `not installed: ${missing.join(', ')}`

test('the scripts are executable and their shells can read them', async () => {
  for (const script of SCRIPTS) {
    accessSync(script, constants.X_OK)
    assert.deepEqual(await run('bash', ['-n', script]), { code: 0, output: '' }, script)
  }
  assert.deepEqual(await run('sh', ['-n', ENTRY_POINT]), { code: 0, output: '' })
})

const noShellcheck = !(await has('shellcheck')) && 'shellcheck is not installed'
test('shellcheck finds nothing in the scripts', { skip: noShellcheck }, async () => {
  assert.deepEqual(await run('shellcheck', SCRIPTS), { code: 0, output: '' })
})

/** The sample configuration as a process of its own, with tenancy on and nothing stored. */
async function start(t: TestContext) {
  const folder = await deployment(t)
  const wanted = [8883, 1883, 9001]
  const found = await freePorts(wanted.length)
  const ports = new Map(wanted.map((port, i) => [port, found[i] ?? 0]))
  const file = localConfiguration(folder, ports)
  const midge = spawnMidge(t, { args: ['-c', file], env: { MIDGE_TENANCY: 'on' } })
  await midge.printed(/midge\.running/u)
  const port = (of: number) => String(ports.get(of))
  const certificates = join(folder, 'certs')
  const env = { ...process.env, CERT_DIR: certificates, MQTT_PASSWORD: SERVICE_PASSWORD }
  return { midge, certificates, env, tls: port(8883), plain: port(1883) }
}

test('test_mqtt_tls.sh is content with the sample configuration', { skip }, async (t) => {
  const { env, tls, plain } = await start(t)
  const { code, output } = await run(MQTT_TLS, ['localhost', tls, plain], env)
  assert.equal(code, 0, output)
  assert.deepEqual(
    output.split('\n').map((line) => line.replace(/\(.*/u, '').trim()),
    [
      `ok: plain localhost:${plain}, service_pulse heard its own message`,
      `ok: plain localhost:${plain} refuses anonymous clients`,
      `ok: TLS localhost:${tls} shows a certificate of ${env.CERT_DIR}/ca.crt for localhost`,
      `ok: TLS localhost:${tls} refuses clients without a certificate`,
      '',
    ],
  )
  const refused: readonly [args: string[], changes: NodeJS.ProcessEnv, problem: RegExp][] = [
    [['localhost', tls, plain], { MQTT_PASSWORD: 'wrong' }, /^FAILED: plain .*Connection error/mu],
    [['localhost', plain, ''], {}, /^FAILED: TLS localhost:\d+: .*error/mu],
    [['127.0.0.2', tls, ''], {}, /^FAILED: TLS 127\.0\.0\.2:/mu],
    [
      ['127.0.0.1', tls, ''],
      { CERT_DIR: '/no/such' },
      /^FAILED: cannot read \/no\/such\/ca\.crt/mu,
    ],
  ]
  for (const [args, changes, problem] of refused) {
    const result = await run(MQTT_TLS, args, { ...env, ...changes })
    assert.equal(result.code, 1, result.output)
    assert.match(result.output, problem)
  }
})

test('test_mtls_device.sh publishes as the device its arguments name', { skip }, async (t) => {
  const { env, tls, plain, certificates } = await start(t)
  const service = await RawClient.tcp(Number(plain))
  t.after(() => service.destroy())
  const { returnCode } = await service.connect({
    clientId: 'service',
    userName: 'service_pulse',
    password: SERVICE_PASSWORD,
  })
  assert.equal(returnCode, 0)
  await service.subscribe('tenant/#', 0)
  const device = 'pump 7=ü\\,x'
  const { code, output } = await run(MTLS_DEVICE, ['acme', device, 'localhost', tls], env)
  assert.equal(code, 0, output)
  assert.match(output, /^ok: certificate with CN=acme\/pump 7=ü\\,x$/mu)
  // Tenancy lets a device publish below the names in its certificate only.
  const { topic, payload } = await service.receive()
  assert.equal(topic, `tenant/acme/device/${device}/telemetry`)
  assert.equal(
    String(payload),
    '{"version":"1","site_id":"acme","seq":1,"metrics":{"temp_c":21.5}}',
  )

  const refused: readonly [args: string[], code: number, problem: RegExp][] = [
    [['acme'], 2, /test_mtls_device\.sh TENANT DEVICE/u],
    [['a/b', 'c', 'localhost', tls], 1, /"a\/b" is no tenant or device/u],
    [['a', '#', 'localhost', tls], 1, /"#" is no tenant or device/u],
    [['a', 'c', 'localhost', plain], 1, /did not take the message/u],
  ]
  for (const [args, expected, problem] of refused) {
    const result = await run(MTLS_DEVICE, args, env)
    assert.equal(result.code, expected, result.output)
    assert.match(result.output, problem)
  }
  rmSync(join(certificates, 'device-ca.key'))
  const result = await run(MTLS_DEVICE, ['a', 'c', 'localhost', tls], env)
  assert.match(result.output, /^FAILED: cannot read .*device-ca\.key: set CERT_DIR/mu)
})
