#!/usr/bin/env bash
# Looks at a running broker from outside: the password listener takes a service's message and hands
# it back, and the device listener shows a certificate of our CA and lets nobody in without one.
#
#   test_mqtt_tls.sh [HOST [TLS_PORT [PLAIN_PORT]]]
#
# HOST localhost, TLS_PORT 8883, PLAIN_PORT 1883; PLAIN_PORT "" leaves the plain part out, where 1883
# cannot be reached. MQTT_USERNAME (service_pulse) and MQTT_PASSWORD are for the plain part;
# CERT_DIR (./certs) holds ca.crt.
set -euo pipefail

host=${1:-localhost}
tls_port=${2:-8883}
plain_port=${3-1883}
cert_dir=${CERT_DIR:-./certs}
ca=$cert_dir/ca.crt
user=${MQTT_USERNAME:-service_pulse}

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

for program in openssl mosquitto_pub mosquitto_rr; do
  command -v "$program" >/dev/null || fail "$program is not installed (Debian: openssl, mosquitto-clients)"
done
[ -r "$ca" ] || fail "cannot read $ca: set CERT_DIR to the directory that holds ca.crt"

if [ -n "$plain_port" ]; then
  [ -n "${MQTT_PASSWORD-}" ] || fail "set MQTT_PASSWORD, the password of $user"
  topic="test/internal/$$"
  text="hello-$RANDOM"
  # The request is its own answer: subscribed first, then published, so nothing can be missed.
  heard=$(mosquitto_rr -V mqttv311 -h "$host" -p "$plain_port" -u "$user" -P "$MQTT_PASSWORD" \
    -q 1 -t "$topic" -e "$topic" -m "$text" -W 10 2>&1) || fail "plain $host:$plain_port as $user: $heard"
  [ "$heard" = "$text" ] || fail "plain $host:$plain_port: sent $text, heard ${heard:-nothing}"
  echo "ok: plain $host:$plain_port, $user heard its own message"

  if out=$(mosquitto_pub -V mqttv311 -h "$host" -p "$plain_port" -q 1 -t "$topic" -m x 2>&1); then
    fail "plain $host:$plain_port lets anonymous clients in"
  fi
  echo "ok: plain $host:$plain_port refuses anonymous clients (${out##*$'\n'})"
fi

name=(-verify_hostname "$host")
if [[ $host =~ ^[0-9.]+$ || $host == *:* ]]; then name=(-verify_ip "$host"); fi
shown=$(openssl s_client -connect "$host:$tls_port" -CAfile "$ca" "${name[@]}" </dev/null 2>&1) || true
# Where no certificate came at all, openssl says "0 (ok)" as well.
{ grep -q 'BEGIN CERTIFICATE' <<<"$shown" && grep -q 'Verify return code: 0 (ok)' <<<"$shown"; } ||
  fail "TLS $host:$tls_port: $(grep -m1 -E 'verify error|wrong version|no peer certificate|errno|rror' <<<"$shown" || echo 'no handshake')"
echo "ok: TLS $host:$tls_port shows a certificate of $ca for $host"

if out=$(mosquitto_pub -V mqttv311 -h "$host" -p "$tls_port" --cafile "$ca" -q 1 -t test/internal -m x 2>&1); then
  fail "TLS $host:$tls_port lets clients in without a certificate"
fi
echo "ok: TLS $host:$tls_port refuses clients without a certificate (${out##*$'\n'})"
