/** A listener whose certificate comes late may find its port taken by then. */
import assert from 'node:assert/strict'
import { chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { issueServer, makeCa } from '../helpers/certificates.ts'
import { startMidge } from '../helpers/midge-process.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

/** Root drops its privileges for the process, as a deployment would. */
const NOBODY = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : undefined

test('it is tried again until the port is free, and said meanwhile', {
  timeout: 60_000,
}, async (t) => {
  const scratch = await scratchDirectory(t)
  const [certificates, data] = [join(scratch, 'certs'), join(scratch, 'data')]
  for (const folder of [certificates, data]) {
    mkdirSync(folder)
    if (NOBODY !== undefined) chownSync(folder, NOBODY.uid, NOBODY.gid)
  }
  const other = createServer().listen(0, '127.0.0.1')
  t.after(() => other.close())
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo

  const midge = await startMidge(t, {
    args: ['--data', data],
    env: {
      MIDGE_INGEST: 'off',
      MIDGE_LOG_LEVEL: 'info',
      MIDGE_MQTTS_LISTEN: '127.0.0.1',
      MIDGE_MQTTS_PORT: String(port),
      CERT_DIR: certificates,
      CHECK_INTERVAL: '50ms',
      STABILITY_WINDOW: '20ms',
      RESTART_COOLDOWN: '0s',
    },
    user: NOBODY,
  })
  const get = async (path: string): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${midge.ports.http}${path}`)
    return `${answer.status} ${await answer.text()}`
  }
  const server = issueServer(makeCa('Server CA'))
  writeFileSync(join(certificates, 'server.key'), server.privateKeyPem)
  writeFileSync(join(certificates, 'server.crt'), server.certificatePem)

  const [line] = await midge.printed(/.*"event":"listener.failed".*"retryInMs":2000.*/u)
  assert.match(line, /"level":"error"/u)
  assert.match(line, /the port is in use by another program/u)
  assert.equal(await get('/ready'), '503 {"status":"not_ready","reason":"tls"}')
  const gauge = new RegExp(`^mqtt_listener_failed\\{listener="${port}"\\} (\\d)$`, 'mu')
  assert.equal(gauge.exec(await get('/metrics'))?.[1], '1')

  other.close()
  await midge.printed(new RegExp(`"listener":"${port}"[^\\n]*listening on port ${port}`, 'u'))
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
  socket.on('error', () => undefined)
  await once(socket, 'secureConnect')
  assert.equal(
    socket.getPeerCertificate().fingerprint256.replaceAll(':', '').toLowerCase(),
    server.fingerprint,
  )
  socket.destroy()
  assert.match(await get('/ready'), /^200/u)
  assert.equal(gauge.exec(await get('/metrics'))?.[1], '0')
  assert.equal((await midge.end()).code, 0)
})
