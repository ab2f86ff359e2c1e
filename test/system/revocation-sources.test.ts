/** Whoever takes a device's right away, and wherever it is written down: its live connection ends. */
import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { readCertificate } from '../../pki/certificate.ts'
import { writeCrl } from '../../pki/crl-generator.ts'
import { readDeviceCrl } from '../../pki/device-crl.ts'
import { makeCa } from '../helpers/certificates.ts'
import { deviceClient, environmentOf, runMidge, startMidge } from '../helpers/midge-process.ts'
import { testDatabase } from '../helpers/postgres.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

/** As another CRL writer of the same CA would: everything that was on it, and one more. */
async function revokeByFile(certs: string, device: string): Promise<void> {
  const path = join(certs, 'device-crl.pem')
  const ca = new X509Certificate(await readFile(join(certs, 'device-ca.crt')))
  const { subject, subjectKeyIdentifier } = readCertificate(ca.raw)
  const { crlNumber, entries } = readDeviceCrl(await readFile(path, 'latin1'), path, ca)
  const file = await readFile(join(certs, 'devices', 'acme', `${device}.crt`))
  const { serialNumber } = readCertificate(new X509Certificate(file).raw)
  const revokedAt = Date.now()
  const pem = await writeCrl({
    issuer: subject,
    key: createPrivateKey(await readFile(join(certs, 'device-ca.key'))),
    authorityKeyIdentifier: subjectKeyIdentifier,
    crlNumber: crlNumber + 1n,
    thisUpdate: revokedAt,
    nextUpdate: revokedAt + 86_400_000,
    revoked: [...entries, { serialNumber, revokedAt, reason: 'keyCompromise' }],
  })
  await writeFile(`${path}.tmp`, pem)
  await rename(`${path}.tmp`, path)
}

test('each source of a revocation ends the live connection it means, and no other', async (t) => {
  const data = await scratchDirectory(t)
  const pins = join(data, 'pins')
  const certs = join(data, 'certs')
  const { connection, query } = await testDatabase(t)
  const env = {
    ...environmentOf(connection),
    MIDGE_DATA: data,
    MIDGE_LOG_LEVEL: 'info',
    MIDGE_PINNED_CERTIFICATES: pins,
    SETTINGS_POLL_SECONDS: '1',
  }
  const self = makeCa('whoever', { keyUsage: null })
  await mkdir(join(pins, 'acme'), { recursive: true })
  await writeFile(join(pins, 'acme', 'pump-5.crt'), self.certificatePem)
  const midge = await startMidge(t, { args: [], env })
  const { mqtts } = midge.ports
  for (const device of ['pump-1', 'pump-2', 'pump-3', 'pump-4', 'pump-5', 'pump-6']) {
    const issued = await runMidge(t, { args: ['pki', 'issue', 'acme', device], env })
    assert.equal(issued.code, 0, issued.output)
  }
  const connectAs = async (device: string): Promise<RawClient> => {
    const client =
      device === 'pump-5'
        ? await RawClient.tls({
            host: '127.0.0.1',
            port: mqtts,
            ca: await readFile(join(certs, 'ca.crt')),
            cert: self.certificatePem,
            key: self.privateKeyPem,
            servername: 'localhost',
          })
        : await deviceClient(t, data, mqtts, { tenant: 'acme', device })
    t.after(() => client.destroy())
    assert.equal((await client.connect({ clientId: device })).returnCode, 0, device)
    return client
  }
  const clients = new Map<string, RawClient>()
  for (const device of ['pump-1', 'pump-2', 'pump-3', 'pump-4', 'pump-5', 'pump-6']) {
    clients.set(device, await connectAs(device))
  }

  const sources: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['pump-1', () => revokeByFile(certs, 'pump-1')],
    [
      'pump-2',
      () =>
        query(
          `UPDATE device_certificates SET status = 'REVOKED', revoked_at = now()
            WHERE common_name = 'acme/pump-2'`,
        ),
    ],
    [
      'pump-3',
      () =>
        query(
          `UPDATE device_registry SET status = 'SUSPENDED', updated_at = now()
            WHERE device_id = 'pump-3'`,
        ),
    ],
    [
      'pump-4',
      async () => {
        const done = await runMidge(t, { args: ['pki', 'revoke', 'acme/pump-4'], env })
        assert.equal(done.code, 0, done.output)
      },
    ],
    ['pump-5', () => rm(join(pins, 'acme', 'pump-5.crt'))],
  ]
  for (const [device, takeAway] of sources) {
    const client = clients.get(device)
    assert.ok(client)
    await client.ping()
    await takeAway()
    const began = performance.now()
    await client.closed
    t.diagnostic(`${device}: closed after ${Math.round(performance.now() - began)} ms`)
    clients.delete(device)
    for (const other of clients.values()) await other.ping()
    await assert.rejects(connectAs(device))
  }
  assert.deepEqual([...clients.keys()], ['pump-6'])
})
