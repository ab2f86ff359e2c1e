-- What operators change while Midge runs. The rate is per device and far beyond what one sends: it is
-- there to be lowered. MODE and STORE_REJECTS let rejected messages be looked at in quarantine_events.
INSERT INTO app_settings (key, value) VALUES
  ('MODE', 'DEV'),
  ('STORE_REJECTS', '1'),
  ('MIRROR_REJECTS_TO_RAW', '0'),
  ('MAX_PAYLOAD_BYTES', '16384'),
  ('RATE_LIMIT_RPS', '100000'),
  ('RATE_LIMIT_BURST', '100000')
ON CONFLICT (key) DO NOTHING;

-- Asked for hundreds of devices at a time.
CREATE INDEX IF NOT EXISTS idx_device_subscriptions_device
  ON device_subscriptions (tenant_id, device_id);
