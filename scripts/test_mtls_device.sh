#!/usr/bin/env bash
# Makes a certificate for a device and publishes one message with it.
#
#   scripts/test_mtls_device.sh TENANT DEVICE [HOST] [PORT]
#
# CERT_DIR (default ./data/certs) holds ca.crt, device-ca.crt and device-ca.key. SITE_ID (default
# test-site) has to be the site the device is registered at. PROVISION_TOKEN is sent when it is set:
# a certificate made here stands in no table, so the registry may ask for it.
set -euo pipefail

if [ $# -lt 2 ]; then
  echo "usage: $0 TENANT DEVICE [HOST] [PORT]" >&2
  exit 2
fi
tenant=$1 device=$2 host=${3:-localhost} port=${4:-8883}
certs=${CERT_DIR:-./data/certs}
for id in "$tenant" "$device"; do
  case $id in
    '' | *[!A-Za-z0-9._:@-]*) echo "$0: not an id: '$id'" >&2 && exit 2 ;;
  esac
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Unescaped, openssl takes the slash for the beginning of the next attribute and cuts the CN there.
openssl req -new -newkey rsa:2048 -nodes -subj "/CN=$tenant\\/$device" \
  -keyout "$work/device.key" -out "$work/device.csr" 2>/dev/null
openssl x509 -req -in "$work/device.csr" -days 1 -sha256 \
  -CA "$certs/device-ca.crt" -CAkey "$certs/device-ca.key" \
  -set_serial "0x$(openssl rand -hex 16)" -out "$work/device.crt" 2>/dev/null

token=
[ -z "${PROVISION_TOKEN:-}" ] || token=",\"provision_token\":\"$PROVISION_TOKEN\""
payload="{\"version\":\"1\",\"site_id\":\"${SITE_ID:-test-site}\",\"seq\":1,\"metrics\":{\"test\":1}$token}"
mosquitto_pub -h "$host" -p "$port" --cafile "$certs/ca.crt" \
  --cert "$work/device.crt" --key "$work/device.key" -q 1 \
  -t "tenant/$tenant/device/$device/telemetry" -m "$payload"
echo "published as $tenant/$device, and acknowledged"
