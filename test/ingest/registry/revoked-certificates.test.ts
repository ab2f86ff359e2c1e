import assert from 'node:assert/strict'
import { test } from 'node:test'
import { revokedCertificates } from '../../../ingest/registry/revoked-certificates.ts'
import { FORCED, openRegistry, PUMP } from './open-registry.ts'

const NOW = Date.parse('2026-03-01T00:00:00Z')

const ROWS = `${PUMP};
  INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('other', 'fan-1', 'south');
  INSERT INTO device_certificates (tenant_id, device_id, cert_pem, fingerprint_sha256, common_name,
    issuer, serial_number, status, not_before, not_after, revoked_at, revoked_reason) VALUES
    ('acme', 'pump-7', '', 'f1', '', '', '0a1b', 'REVOKED', '2020-01-01', '2030-01-01',
     '2026-02-01T00:00:00Z', 'keyCompromise'),
    ('other', 'fan-1', '', 'f2', '', '', 'not hex', 'REVOKED', '2020-01-01', 'infinity', NULL, NULL),
    ('acme', 'pump-7', '', 'f3', '', '', '0c', 'ACTIVE', '2020-01-01', '2030-01-01', NULL, NULL),
    ('acme', 'pump-7', '', 'f4', '', '', '0d', 'EXPIRED', '2020-01-01', '2021-01-01', NULL, NULL);`

test('every revoked certificate of every tenant is told, whoever logs in', async (t) => {
  for (const login of ['owner', 'member', 'superuser'] as const) {
    const { database } = await openRegistry(t, { login, prepare: `${ROWS}${FORCED}` })
    const found = await revokedCertificates(database, NOW)
    assert.deepEqual(
      found.toSorted((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1)),
      [
        {
          tenantId: 'acme',
          deviceId: 'pump-7',
          fingerprint: 'f1',
          serialNumber: '0a1b',
          revokedAt: Date.parse('2026-02-01T00:00:00Z'),
          reason: 'keyCompromise',
          notAfter: Date.parse('2030-01-01T00:00:00Z'),
        },
        {
          tenantId: 'other',
          deviceId: 'fan-1',
          fingerprint: 'f2',
          serialNumber: 'not hex',
          revokedAt: NOW,
          reason: undefined,
          notAfter: Infinity,
        },
      ],
      login,
    )
  }
})

test('a list that would have gaps is none', async (t) => {
  const hidden = await openRegistry(t, { login: 'outsider', prepare: `${ROWS}${FORCED}` })
  await assert.rejects(revokedCertificates(hidden.database, NOW), {
    code: 'ROWS_HIDDEN',
    message: /hides rows of device_certificates: let the login role become pulse_operator/u,
  })
  const gone = await openRegistry(t, { prepare: 'DROP TABLE device_certificates' })
  await assert.rejects(
    revokedCertificates(gone.database, NOW),
    /there is no table device_certificates/u,
  )
})
