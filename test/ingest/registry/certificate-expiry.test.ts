import assert from 'node:assert/strict'
import { test } from 'node:test'
import { expireCertificates, expireHourly } from '../../../ingest/registry/certificate-expiry.ts'
import { FakeClock } from '../../helpers/clock.ts'
import { FORCED, openRegistry, PUMP, type OpenedRegistry } from './open-registry.ts'

const DEVICES = `${PUMP};
  INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('other', 'fan-1', 'south');`

/** A certificate by its serial number, which says what it is. */
const certificate = (serial: string, status: string, notAfter: string, tenant = 'acme') => {
  const device = tenant === 'acme' ? 'pump-7' : 'fan-1'
  return `INSERT INTO device_certificates (tenant_id, device_id, cert_pem, fingerprint_sha256,
      common_name, issuer, serial_number, status, not_before, not_after, updated_at)
    VALUES ('${tenant}', '${device}', '', '${serial}', '${tenant}/${device}', '', '${serial}',
      '${status}', '2020-01-01', ${notAfter}, '2020-01-01');`
}

const CERTIFICATES = [
  certificate('past', 'ACTIVE', `now() - interval '1 second'`),
  certificate('long-past', 'ACTIVE', `'2021-01-01'`),
  certificate('of-other', 'ACTIVE', `'2021-01-01'`, 'other'),
  certificate('good', 'ACTIVE', `now() + interval '1 hour'`),
  certificate('endless', 'ACTIVE', `'infinity'`),
  certificate('revoked', 'REVOKED', `'2021-01-01'`),
  certificate('expired', 'EXPIRED', `'2021-01-01'`),
].join('\n')

async function states({ query }: OpenedRegistry): Promise<unknown> {
  const rows = await query(
    `SELECT concat_ws(' ', serial_number, status,
                      CASE WHEN updated_at > '2020-01-01' THEN 'true' ELSE 'false' END) AS text
       FROM device_certificates ORDER BY id`,
  )
  return rows.map((row) => row['text'])
}

const AFTER = [
  'past EXPIRED true',
  'long-past EXPIRED true',
  'of-other EXPIRED true',
  'good ACTIVE false',
  'endless ACTIVE false',
  'revoked REVOKED false',
  'expired EXPIRED false',
]

test('ACTIVE and past its notAfter becomes EXPIRED, of every tenant, whoever logs in', async (t) => {
  for (const login of ['owner', 'member', 'superuser'] as const) {
    for (const security of ['', FORCED]) {
      const prepare = `${DEVICES}${CERTIFICATES}${security}`
      const opened = await openRegistry(t, { login, prepare })
      const expired = await expireCertificates(opened.database, opened.log.log)
      assert.deepEqual(await states(opened), AFTER, login)
      assert.equal(expired, 3)
      assert.equal(await expireCertificates(opened.database, opened.log.log), 0)
      const told = opened.log.lines.filter(({ event }) => event === 'certificates.expired')
      assert.deepEqual(
        told.map((line) => [line['tenant_id'], line['certificates']]),
        [
          ['acme', 2],
          ['other', 1],
        ],
      )
    }
  }
})

test('whoever may not become pulse_operator goes through the tenants one by one', async (t) => {
  const opened = await openRegistry(t, {
    login: 'member',
    prepare: `${DEVICES}${CERTIFICATES}${FORCED};
      DO $$ DECLARE r text; BEGIN
        FOR r IN SELECT rolname FROM pg_roles WHERE rolname LIKE 'midge_test_iot_%'
                    AND pg_has_role(rolname, 'pulse_operator', 'MEMBER') AND rolcanlogin
                    AND pg_has_role(rolname, (SELECT tableowner FROM pg_tables
                                               WHERE tablename = 'tenants'), 'MEMBER')
        LOOP EXECUTE format('REVOKE pulse_operator FROM %I', r); END LOOP;
      END $$`,
  })
  assert.equal(opened.schema().read.byTenant, true)
  assert.equal(await expireCertificates(opened.database, opened.log.log), 3)
  assert.deepEqual(await states(opened), AFTER)
})

test('a database without certificates has none that expire', async (t) => {
  const opened = await openRegistry(t, { prepare: 'DROP TABLE device_certificates' })
  assert.equal(await expireCertificates(opened.database, opened.log.log), 0)
})

test('it happens at the start and every hour, and a failure is only said', async (t) => {
  const opened = await openRegistry(t, { prepare: `${DEVICES}${CERTIFICATES}` })
  const clock = new FakeClock()
  const { database, log } = opened
  const stop = expireHourly({ database, clock, log: log.log })
  await log.until('certificates.expired', { tenant_id: 'other' })
  assert.deepEqual(await states(opened), AFTER)
  await opened.query(certificate('next', 'ACTIVE', `'2021-01-01'`))
  clock.advance(3_600_000)
  await log.until('certificates.expired', { tenant_id: 'acme', certificates: 1 })
  await opened.query('ALTER TABLE device_certificates RENAME COLUMN status TO state')
  await opened.query('ALTER TABLE device_certificates ADD COLUMN status integer')
  clock.advance(3_600_000)
  await log.until('certificates.unexpired')
  stop()
  assert.equal(clock.pending, 0)
})
