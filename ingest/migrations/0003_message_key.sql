-- What a message sent again has in common with the first: MIDGE_MESSAGE_KEY=on fills it, and stores
-- no second row. The time comes first because a unique index of a hypertable has to hold it.
ALTER TABLE telemetry ADD COLUMN IF NOT EXISTS message_key uuid;
CREATE UNIQUE INDEX IF NOT EXISTS idx_telemetry_message_key
  ON telemetry ("time", message_key) WHERE message_key IS NOT NULL;
