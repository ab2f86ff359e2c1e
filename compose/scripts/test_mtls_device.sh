#!/usr/bin/env bash
# Makes a certificate for a device, as the device CA would, and publishes one telemetry message with it.
#
#   test_mtls_device.sh TENANT DEVICE [HOST [PORT]]
#
# HOST localhost, PORT 8883. CERT_DIR (./certs) holds ca.crt, device-ca.crt and device-ca.key; SITE
# (the tenant) is the message's site_id; PROVISION_TOKEN is sent along when it is set. The certificate
# lives a day, in a directory removed at the end.
#
# A PUBACK means the message was stored: as telemetry, if the device is registered with this site, and
# else among quarantine_events with the reason.
set -euo pipefail

if [ $# -lt 2 ] || [ $# -gt 4 ]; then
  sed -n '2,/^set /{ /^set /!s/^#  *//p; }' "$0" >&2
  exit 2
fi
tenant=$1
device=$2
host=${3:-localhost}
port=${4:-8883}
cert_dir=${CERT_DIR:-./certs}
site=${SITE:-$tenant}

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

for program in openssl mosquitto_pub; do
  command -v "$program" >/dev/null || fail "$program is not installed (Debian: openssl, mosquitto-clients)"
done
for file in ca.crt device-ca.crt device-ca.key; do
  [ -r "$cert_dir/$file" ] || fail "cannot read $cert_dir/$file: set CERT_DIR"
done
for id in "$tenant" "$device"; do
  case "$id" in
  '' | *[/+#]* | *[[:cntrl:]]*) fail "\"$id\" is no tenant or device: not empty, none of / + #" ;;
  esac
done
token=${PROVISION_TOKEN:-}
case "$site$token" in *[\"\\]*) fail "SITE or PROVISION_TOKEN holds a quote or a backslash" ;; esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 077

# In -subj a slash begins the next attribute unless it is escaped: CN=a/b would become CN=a.
escaped() { printf '%s' "$1" | sed 's/[\\]/\\\\/g'; }
subject="/CN=$(escaped "$tenant")\\/$(escaped "$device")/O=Midge test"
openssl req -new -utf8 -newkey rsa:2048 -nodes -keyout "$work/device.key" -out "$work/device.csr" \
  -subj "$subject" 2>"$work/log" || fail "no request: $(cat "$work/log")"
cat >"$work/extensions" <<'END'
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = clientAuth
END
# The first octet is fixed so that the number is positive and has no leading zeros.
openssl x509 -req -in "$work/device.csr" -CA "$cert_dir/device-ca.crt" -CAkey "$cert_dir/device-ca.key" \
  -set_serial "0x4d$(openssl rand -hex 15)" -days 1 -sha256 -extfile "$work/extensions" \
  -out "$work/device.crt" 2>"$work/log" || fail "no certificate: $(cat "$work/log")"

found=$(openssl x509 -in "$work/device.crt" -noout -subject -nameopt 'utf8,sep_multiline,lname' |
  sed -n 's/^ *commonName=//p')
[ "$found" = "$tenant/$device" ] || fail "the certificate's CN is \"$found\", expected \"$tenant/$device\""
echo "ok: certificate with CN=$found"

topic="tenant/$tenant/device/$device/telemetry"
payload=$(printf '{"version":"1","site_id":"%s","seq":1,"metrics":{"temp_c":21.5}%s}' "$site" \
  "${token:+,\"provision_token\":\"$token\"}")
mosquitto_pub -V mqttv311 -h "$host" -p "$port" --cafile "$cert_dir/ca.crt" \
  --cert "$work/device.crt" --key "$work/device.key" -i "mtls-test-$$" \
  -q 1 -t "$topic" -m "$payload" || fail "$host:$port did not take the message"
echo "ok: $host:$port acknowledged one message on $topic"
