-- Run once by the image, in database iotcloud, as its superuser. The broker logs in as the owner of
-- its own tables and nothing more: not as superuser, and it cannot make roles or databases.
-- The service `tables` makes them as this role, before the broker starts.
\set ON_ERROR_STOP on
\getenv iot_password PG_PASS

CREATE ROLE iot LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  PASSWORD :'iot_password';
-- For whoever looks at the rows: GRANT midge_reader TO somebody.
CREATE ROLE midge_reader NOLOGIN;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO iot;
GRANT USAGE ON SCHEMA public TO midge_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE iot IN SCHEMA public GRANT SELECT ON TABLES TO midge_reader;
