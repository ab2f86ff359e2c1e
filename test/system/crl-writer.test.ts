/** A certificate revoked in the table, and nowhere else: its device is out, and the CRL says why. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { readDeviceCrl } from '../../pki/device-crl.ts'
import { deviceClient, environmentOf, startMidge } from '../helpers/midge-process.ts'
import { testDatabase } from '../helpers/postgres.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

test('a row set to REVOKED ends the session at once and stands on the CRL', async (t) => {
  const data = await scratchDirectory(t)
  const { connection, query } = await testDatabase(t)
  const env = {
    ...environmentOf(connection),
    MIDGE_DATA: data,
    MIDGE_LOG_LEVEL: 'info',
    MIDGE_WRITE_CRL: 'on',
    SETTINGS_POLL_SECONDS: '1',
  }
  const midge = await startMidge(t, { args: [], env })
  await midge.printed(/"event":"crl\.written"[^\n]*"entries":0/u)
  const device = await deviceClient(t, data, midge.ports.mqtts)
  assert.equal((await device.connect({ clientId: 'x' })).returnCode, 0)
  const [row] = await query(
    `UPDATE device_certificates
        SET status = 'REVOKED', revoked_at = now(), revoked_reason = 'keyCompromise'
      WHERE common_name = 'acme/pump-7' RETURNING serial_number AS serial`,
  )
  await device.closed
  await midge.printed(/"event":"crl\.written"[^\n]*"entries":1/u)

  const path = join(data, 'certs', 'device-crl.pem')
  const ca = new X509Certificate(await readFile(join(data, 'certs', 'device-ca.crt')))
  const crl = readDeviceCrl(await readFile(path, 'latin1'), path, ca)
  assert.deepEqual(
    crl.entries.map(({ serialNumber, reason }) => [String(serialNumber), reason]),
    [[row?.['serial'], 'keyCompromise']],
  )
  // Followed like any other list: from now on the handshake itself knows.
  await midge.printed(/"event":"crl\.replaced"[^\n]*"entries":1/u)
  const again = await deviceClient(t, data, midge.ports.mqtts)
  await assert.rejects(again.connect({ clientId: 'x' }))
  assert.equal((await midge.end()).code, 0)
})
