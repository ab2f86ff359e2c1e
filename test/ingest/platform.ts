/** What tests over the platform's tables begin with: rules, and one device that is known. */
import type { RegistryConfig } from '../../config/types.ts'

/** The defaults of the settings, but for what a test says otherwise. */
export function registryRules(changes: Partial<RegistryConfig> = {}): RegistryConfig {
  return {
    mode: 'on',
    certAuthEnabled: true,
    requireToken: true,
    autoProvision: false,
    unlistedCertificate: 'token',
    countersEnabled: true,
    settingsPollSeconds: 5,
    authCacheTtlSeconds: 60,
    authCacheMaxSize: 10_000,
    bucketTtlSeconds: 3600,
    bucketCleanupSeconds: 300,
    ...changes,
  }
}

/** Tenant acme with device pump-7 at north; as SQL. */
export const ACME = `
  INSERT INTO tenants (tenant_id, name) VALUES ('acme', 'Acme');
  INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('acme', 'pump-7', 'north')`

/** The same, with its row of device_state. */
export const ACME_WITH_STATE = `${ACME};
  INSERT INTO device_state (tenant_id, device_id, site_id) VALUES ('acme', 'pump-7', 'north')`

/** Rejected messages are kept, and no device is too fast; as SQL. */
export const KEEP_REJECTS = `
  INSERT INTO app_settings (key, value)
  VALUES ('MODE', 'DEV'), ('STORE_REJECTS', '1'), ('RATE_LIMIT_RPS', '100000'),
         ('RATE_LIMIT_BURST', '100000')
      ON CONFLICT (key) DO UPDATE SET value = excluded.value`
