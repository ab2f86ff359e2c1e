-- Tells those who LISTEN on midge_registry which device to read again, so that what is taken away ends
-- a connection at once: {"tenant_id", "device_id"}; {} is all of them. Nothing is believed for it.
--
-- Row by row, although many rows may change at once: a trigger with a list of columns can have no
-- transition tables, and the list is what keeps the frequent updates (location, firmware) from
-- calling anything. From the 501st row of a transaction on there is one {} for all that follow.
CREATE OR REPLACE FUNCTION midge_registry_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  notified integer := coalesce(nullif(current_setting('midge.notified', true), ''), '0')::integer;
  payload text := '{}';
BEGIN
  IF notified > 500 THEN
    RETURN NULL;
  END IF;
  PERFORM pg_catalog.set_config('midge.notified', (notified + 1)::text, true);
  IF notified < 500 THEN
    IF TG_OP = 'DELETE' THEN
      payload := json_build_object('tenant_id', OLD.tenant_id, 'device_id', OLD.device_id)::text;
    ELSE
      payload := json_build_object('tenant_id', NEW.tenant_id, 'device_id', NEW.device_id)::text;
    END IF;
    -- PostgreSQL refuses 8000 bytes, and the change with them.
    IF octet_length(payload) > 7900 THEN
      payload := '{}';
    END IF;
  END IF;
  PERFORM pg_catalog.pg_notify('midge_registry', payload);
  RETURN NULL;
END $$;

DROP TRIGGER IF EXISTS midge_certificate_changed ON device_certificates;
CREATE TRIGGER midge_certificate_changed AFTER UPDATE OF status ON device_certificates
  FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
  EXECUTE FUNCTION midge_registry_changed();

DROP TRIGGER IF EXISTS midge_certificate_deleted ON device_certificates;
CREATE TRIGGER midge_certificate_deleted AFTER DELETE ON device_certificates
  FOR EACH ROW EXECUTE FUNCTION midge_registry_changed();

DROP TRIGGER IF EXISTS midge_device_changed ON device_registry;
CREATE TRIGGER midge_device_changed
  AFTER UPDATE OF status, provision_token_hash, site_id ON device_registry
  FOR EACH ROW WHEN ((OLD.status, OLD.provision_token_hash, OLD.site_id)
                     IS DISTINCT FROM (NEW.status, NEW.provision_token_hash, NEW.site_id))
  EXECUTE FUNCTION midge_registry_changed();

DROP TRIGGER IF EXISTS midge_device_deleted ON device_registry;
CREATE TRIGGER midge_device_deleted AFTER DELETE ON device_registry
  FOR EACH ROW EXECUTE FUNCTION midge_registry_changed();

DROP TRIGGER IF EXISTS midge_subscription_changed ON device_subscriptions;
CREATE TRIGGER midge_subscription_changed AFTER UPDATE OF status ON device_subscriptions
  FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
  EXECUTE FUNCTION midge_registry_changed();

DROP TRIGGER IF EXISTS midge_subscription_set ON device_subscriptions;
CREATE TRIGGER midge_subscription_set AFTER INSERT OR DELETE ON device_subscriptions
  FOR EACH ROW EXECUTE FUNCTION midge_registry_changed();
