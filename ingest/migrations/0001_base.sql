-- The tables a Midge with a database of its own needs. Whoever reads and writes them beside Midge
-- (registry, dashboards, the platform's services) finds the names and types it expects; column
-- "publisher" is Midge's own: the identity of the connection that sent the message.

CREATE TABLE IF NOT EXISTS tenants (
  tenant_id  text PRIMARY KEY,
  name       text NOT NULL,
  status     text NOT NULL DEFAULT 'ACTIVE',
  metadata   jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS app_settings (
  key        text PRIMARY KEY,
  value      text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS device_registry (
  tenant_id            text NOT NULL,
  device_id            text NOT NULL,
  site_id              text NOT NULL,
  status               text NOT NULL DEFAULT 'ACTIVE',
  provision_token_hash text,
  subscription_id      text,
  metadata             jsonb NOT NULL DEFAULT '{}',
  latitude             double precision,
  longitude            double precision,
  location_source      text DEFAULT 'auto',
  fw_version           text,
  device_pubkey        text,
  provisioned_at       timestamptz NOT NULL DEFAULT now(),
  created_at           timestamptz NOT NULL DEFAULT now(),
  updated_at           timestamptz NOT NULL DEFAULT now(),
  decommissioned_at    timestamptz,
  PRIMARY KEY (tenant_id, device_id)
);
CREATE INDEX IF NOT EXISTS idx_device_registry_token
  ON device_registry (provision_token_hash) WHERE provision_token_hash IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_device_registry_site ON device_registry (tenant_id, site_id);

CREATE TABLE IF NOT EXISTS device_state (
  tenant_id            text NOT NULL,
  device_id            text NOT NULL,
  site_id              text NOT NULL,
  status               text NOT NULL DEFAULT 'OFFLINE', -- ONLINE, STALE, OFFLINE
  last_heartbeat_at    timestamptz,
  last_telemetry_at    timestamptz,
  last_seen_at         timestamptz,
  last_state_change_at timestamptz NOT NULL DEFAULT now(),
  state                jsonb NOT NULL DEFAULT '{}',
  desired_state        jsonb NOT NULL DEFAULT '{}',
  reported_state       jsonb NOT NULL DEFAULT '{}',
  desired_version      integer NOT NULL DEFAULT 0,
  reported_version     integer NOT NULL DEFAULT 0,
  shadow_updated_at    timestamptz,
  PRIMARY KEY (tenant_id, device_id)
);

-- No primary key: a message that is sent again is stored again, and nothing in it says so.
CREATE TABLE IF NOT EXISTS telemetry (
  "time"    timestamptz NOT NULL,
  tenant_id text NOT NULL,
  device_id text NOT NULL,
  site_id   text,
  msg_type  text NOT NULL DEFAULT 'telemetry',
  seq       bigint DEFAULT 0,
  metrics   jsonb NOT NULL DEFAULT '{}',
  publisher text
);
CREATE INDEX IF NOT EXISTS idx_telemetry_tenant_device_time
  ON telemetry (tenant_id, device_id, "time" DESC);
CREATE INDEX IF NOT EXISTS idx_telemetry_tenant_time ON telemetry (tenant_id, "time" DESC);

CREATE TABLE IF NOT EXISTS quarantine_events (
  id               bigserial PRIMARY KEY,
  ingested_at      timestamptz NOT NULL DEFAULT now(),
  event_ts         timestamptz,
  topic            text NOT NULL,
  tenant_id        text,
  site_id          text,
  device_id        text,
  msg_type         text,
  reason           text NOT NULL,
  payload          jsonb NOT NULL,
  envelope_version text DEFAULT '1',
  publisher        text
);
CREATE INDEX IF NOT EXISTS idx_quarantine_ingested ON quarantine_events (ingested_at DESC);
CREATE INDEX IF NOT EXISTS idx_quarantine_tenant ON quarantine_events (tenant_id);
CREATE INDEX IF NOT EXISTS idx_quarantine_device ON quarantine_events (device_id);

CREATE TABLE IF NOT EXISTS quarantine_counters_minute (
  bucket_minute timestamptz NOT NULL,
  tenant_id     text NOT NULL,
  reason        text NOT NULL,
  cnt           bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (bucket_minute, tenant_id, reason)
);

CREATE TABLE IF NOT EXISTS device_certificates (
  id                 serial PRIMARY KEY,
  tenant_id          text NOT NULL,
  device_id          text NOT NULL,
  cert_pem           text NOT NULL,
  fingerprint_sha256 varchar(64) NOT NULL UNIQUE,
  common_name        varchar(200) NOT NULL,
  issuer             varchar(200) NOT NULL,
  serial_number      varchar(100) NOT NULL,
  status             varchar(20) NOT NULL DEFAULT 'ACTIVE'
                     CHECK (status IN ('ACTIVE', 'REVOKED', 'EXPIRED')),
  not_before         timestamptz NOT NULL,
  not_after          timestamptz NOT NULL,
  revoked_at         timestamptz,
  revoked_reason     varchar(100),
  created_at         timestamptz NOT NULL DEFAULT now(),
  updated_at         timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT fk_device_certificates_device FOREIGN KEY (tenant_id, device_id)
    REFERENCES device_registry (tenant_id, device_id) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS idx_device_certificates_tenant_device
  ON device_certificates (tenant_id, device_id);
CREATE INDEX IF NOT EXISTS idx_device_certificates_status_expiry
  ON device_certificates (status, not_after);

CREATE TABLE IF NOT EXISTS device_commands (
  command_id     text NOT NULL DEFAULT gen_random_uuid()::text,
  tenant_id      text NOT NULL,
  device_id      text NOT NULL,
  command_type   text NOT NULL,
  command_params jsonb NOT NULL DEFAULT '{}',
  status         text NOT NULL DEFAULT 'queued'
                 CHECK (status IN ('queued', 'delivered', 'missed', 'expired')),
  published_at   timestamptz,
  acked_at       timestamptz,
  ack_details    jsonb,
  expires_at     timestamptz NOT NULL DEFAULT now() + interval '1 hour',
  created_by     text,
  created_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, command_id)
);
CREATE INDEX IF NOT EXISTS idx_device_commands_device_queued
  ON device_commands (tenant_id, device_id, status) WHERE status = 'queued';

CREATE TABLE IF NOT EXISTS device_connection_events (
  id          bigserial PRIMARY KEY,
  tenant_id   text NOT NULL,
  device_id   text NOT NULL,
  event_type  varchar(20) NOT NULL
              CHECK (event_type IN ('CONNECTED', 'DISCONNECTED', 'CONNECTION_LOST')),
  "timestamp" timestamptz NOT NULL DEFAULT now(),
  details     jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS idx_device_conn_events_lookup
  ON device_connection_events (tenant_id, device_id, "timestamp" DESC);

CREATE TABLE IF NOT EXISTS device_subscriptions (
  subscription_id text PRIMARY KEY,
  tenant_id       text NOT NULL,
  device_id       text NOT NULL,
  plan_id         varchar(50) NOT NULL,
  status          text NOT NULL DEFAULT 'ACTIVE'
                  CHECK (status IN ('TRIAL', 'ACTIVE', 'GRACE', 'SUSPENDED', 'EXPIRED', 'CANCELLED')),
  term_start      timestamptz NOT NULL DEFAULT now(),
  term_end        timestamptz,
  grace_end       timestamptz,
  cancelled_at    timestamptz,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS idx_device_subscriptions_tenant ON device_subscriptions (tenant_id);

CREATE TABLE IF NOT EXISTS audit_log (
  "timestamp"    timestamptz NOT NULL DEFAULT now(),
  tenant_id      text,
  event_type     text NOT NULL,
  category       text NOT NULL,
  severity       text NOT NULL DEFAULT 'info',
  entity_type    text,
  entity_id      text,
  entity_name    text,
  action         text NOT NULL,
  message        text NOT NULL,
  details        jsonb,
  source_service text NOT NULL,
  actor_type     text DEFAULT 'system',
  actor_id       text,
  actor_name     text,
  ip_address     inet,
  request_id     text,
  duration_ms    integer
);
CREATE INDEX IF NOT EXISTS idx_audit_tenant_time
  ON audit_log (tenant_id, "timestamp" DESC) WHERE tenant_id IS NOT NULL;
