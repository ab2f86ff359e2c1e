/** Devices and certificates out of the database, hundreds at a time. */
import type { QueryResultRow } from 'pg'
import { literal, type Database } from '../database.ts'
import { blockRows, preamble } from './block.ts'
import type {
  CertificateName,
  CertificateRecord,
  DeviceAnswer,
  DeviceName,
  TokenBearers,
} from './records.ts'
import { isUsable, type RegistrySchema } from './registry-schema.ts'

interface DeviceRow extends QueryResultRow {
  readonly i: number
  readonly site_id: string
  readonly status: string
  readonly token_hash: string | null
  readonly subscription: string | null
}

interface CertificateRow extends QueryResultRow {
  readonly i: number
  readonly is_own: boolean | null
  readonly status: string | null
  readonly not_after: number | null
  readonly device_not_after: number | null
}

interface TakenAwayRow extends QueryResultRow {
  readonly i: number
  readonly fingerprint: string | null
}

interface BearerRow extends QueryResultRow {
  readonly i: number
  readonly tenant_id: string
  readonly device_id: string
}

export class RegistryReader {
  readonly #database: Database
  readonly #schema: () => RegistrySchema

  /** @param schema asked at each query: it may have been looked at again */
  constructor(database: Database, schema: () => RegistrySchema) {
    this.#database = database
    this.#schema = schema
  }

  async devices(names: readonly DeviceName[]): Promise<readonly DeviceAnswer[]> {
    const schema = this.#schema()
    if (!isUsable(schema)) throw new Error('table device_registry is gone')
    const answers: DeviceAnswer[] = names.map(() => 'unregistered')
    for (const row of await this.#rows<DeviceRow>(names, deviceQuery(schema), schema)) {
      answers[row.i] = {
        siteId: row.site_id,
        status: row.status,
        tokenHash: row.token_hash ?? undefined,
        subscription: row.subscription ?? undefined,
      }
    }
    return answers
  }

  async certificates(names: readonly CertificateName[]): Promise<readonly CertificateRecord[]> {
    const schema = this.#schema()
    const unlisted: CertificateRecord = {
      status: 'unlisted',
      notAfter: -Infinity,
      deviceNotAfter: -Infinity,
    }
    const records = names.map(() => unlisted)
    if (schema.deviceCertificates.size === 0) return records
    for (const row of await this.#rows<CertificateRow>(names, CERTIFICATE_QUERY, schema)) {
      const deviceNotAfter = row.device_not_after ?? -Infinity
      records[row.i] =
        row.status === null
          ? { ...unlisted, deviceNotAfter }
          : { status: statusOf(row), notAfter: row.not_after ?? -Infinity, deviceNotAfter }
    }
    return records
  }

  /**
   * The devices with each of these provision tokens, whatever their status; of a token that more than
   * `limit` have, `limit` of them.
   *
   * @param tokenHashes SHA-256, lower-case hex
   */
  async bearers(tokenHashes: readonly string[], limit: number): Promise<readonly TokenBearers[]> {
    const schema = this.#schema()
    if (!isUsable(schema)) throw new Error('table device_registry is gone')
    const { deviceRegistry, read } = schema
    if (read.byTenant) return tokenHashes.map(() => 'hidden')
    const bearers: DeviceName[][] = tokenHashes.map(() => [])
    if (!deviceRegistry.has('provision_token_hash')) return bearers
    const rows = await blockRows<BearerRow>(
      this.#database,
      `${preamble(this.#database, read)}
       SELECT (k.i - 1)::integer AS i, r.tenant_id::text AS tenant_id, r.device_id::text AS device_id
         FROM unnest(ARRAY[${tokenHashes.map(literal).join(', ')}]::text[]) WITH ORDINALITY AS k (h, i)
        CROSS JOIN LATERAL (SELECT tenant_id, device_id FROM device_registry
                             WHERE provision_token_hash = k.h LIMIT ${limit}) r`,
    )
    for (const { i, tenant_id: tenantId, device_id: deviceId } of rows) {
      bearers[i]?.push({ tenantId, deviceId })
    }
    return bearers
  }

  /** Those of these devices that are not active, and each of their certificates that is revoked. */
  async takenAway(
    names: readonly DeviceName[],
  ): Promise<readonly { readonly name: DeviceName; readonly fingerprint: string | undefined }[]> {
    const schema = this.#schema()
    const rows = await this.#rows<TakenAwayRow>(names, takenAwayQuery(schema), schema)
    return rows.flatMap(({ i, fingerprint }) => {
      const name = names[i]
      return name === undefined ? [] : [{ name, fingerprint: fingerprint ?? undefined }]
    })
  }

  /** `query` reads the names as table k (i, t, d, f). */
  async #rows<R extends QueryResultRow>(
    names: readonly (DeviceName & { readonly fingerprint?: string })[],
    query: string,
    { read }: RegistrySchema,
  ): Promise<R[]> {
    const numbered = names.map(({ tenantId: t, deviceId: d, fingerprint: f }, i) => ({
      i,
      t,
      d,
      f,
    }))
    const run = (keys: typeof numbered, tenantId?: string) =>
      blockRows<R>(
        this.#database,
        `${preamble(this.#database, read, tenantId)}
         WITH k AS MATERIALIZED (SELECT * FROM jsonb_to_recordset(${literal(JSON.stringify(keys))}::jsonb)
                                 AS k (i integer, t text, d text, f text))
         ${query}`,
      )
    if (!read.byTenant) return run(numbered)
    const rows: R[] = []
    for (const tenantId of new Set(numbered.map(({ t }) => t))) {
      rows.push(
        ...(await run(
          numbered.filter(({ t }) => t === tenantId),
          tenantId,
        )),
      )
    }
    return rows
  }
}

function deviceQuery({ deviceRegistry, ...schema }: RegistrySchema): string {
  const hash = deviceRegistry.has('provision_token_hash') ? 'r.provision_token_hash' : 'NULL::text'
  const columns = `k.i, r.site_id::text AS site_id, r.status::text AS status, ${hash} AS token_hash`
  const from = 'FROM k JOIN device_registry r ON r.tenant_id = k.t AND r.device_id = k.d'
  if (schema.subscriptions.size > 0 && deviceRegistry.has('subscription_id')) {
    return `SELECT ${columns}, s.status::text AS subscription ${from}
              LEFT JOIN subscriptions s ON s.subscription_id = r.subscription_id`
  }
  if (schema.deviceSubscriptions.size > 0) {
    const newest = schema.deviceSubscriptions.has('created_at') ? ', x.created_at DESC' : ''
    // Any that is alive decides, the newest of those; otherwise the newest.
    return `SELECT ${columns}, s.status::text AS subscription ${from}
              LEFT JOIN (SELECT DISTINCT ON (x.tenant_id, x.device_id) x.tenant_id, x.device_id, x.status
                           FROM device_subscriptions x
                          WHERE (x.tenant_id, x.device_id) IN (SELECT t, d FROM k)
                          ORDER BY x.tenant_id, x.device_id,
                                   x.status IN ('EXPIRED', 'CANCELLED')${newest}) s
                ON s.tenant_id = r.tenant_id AND s.device_id = r.device_id`
  }
  return `SELECT ${columns}, NULL::text AS subscription ${from}`
}

function takenAwayQuery({ deviceCertificates }: RegistrySchema): string {
  const inactive = `SELECT k.i, NULL::text AS fingerprint FROM k
      JOIN device_registry r ON r.tenant_id = k.t AND r.device_id = k.d WHERE r.status <> 'ACTIVE'`
  if (deviceCertificates.size === 0) return inactive
  return `${inactive}
    UNION ALL SELECT k.i, c.fingerprint_sha256::text FROM k
      JOIN device_certificates c ON c.tenant_id = k.t AND c.device_id = k.d
     WHERE c.status = 'REVOKED'`
}

const CERTIFICATE_QUERY = `
  SELECT k.i, (c.tenant_id = k.t AND c.device_id = k.d) AS is_own, c.status::text AS status,
         (extract(epoch FROM c.not_after) * 1000)::float8 AS not_after,
         (SELECT (extract(epoch FROM max(o.not_after)) * 1000)::float8 FROM device_certificates o
           WHERE o.tenant_id = k.t AND o.device_id = k.d AND o.status = 'ACTIVE') AS device_not_after
    FROM k LEFT JOIN device_certificates c ON c.fingerprint_sha256 = k.f`

/** A row that belongs to another device is no reason to believe this one. */
function statusOf({ is_own, status }: CertificateRow): CertificateRecord['status'] {
  if (is_own !== true) return 'other'
  return status === 'ACTIVE' || status === 'REVOKED' || status === 'EXPIRED' ? status : 'other'
}
