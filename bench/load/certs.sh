#!/usr/bin/env bash
# certs.sh DIR [DEVICES]: a CA, a server certificate for localhost and 1000 device certificates, all
# P-256; a device's CN is tenant/device. Writes DIR/ids.txt for mqload --ids. For measuring only.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: certs.sh DIR [DEVICES]" >&2; exit 2; }
command -v openssl >/dev/null || { echo "certs.sh needs openssl: apt-get install openssl" >&2; exit 1; }
devices=${2:-1000}
mkdir -p "$1/dev"
cd "$1"

quietly() { "$@" 2>/dev/null; }
key() { quietly openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
# sign SERIAL OUT [option..] < request
sign() {
  local serial=$1 out=$2
  shift 2
  quietly openssl x509 -req -CA ca.crt -CAkey ca.key -set_serial "$serial" -days 3650 -out "$out" "$@"
}

key ca.key
quietly openssl req -x509 -new -key ca.key -subj '/CN=load CA' -days 3650 -out ca.crt
key server.key
chmod 644 server.key # mosquitto reads it after it has become another user
echo 'subjectAltName=DNS:localhost,IP:127.0.0.1' >server.ext
openssl req -new -key server.key -subj '/CN=localhost' | sign 1 server.crt -extfile server.ext

: >ids.txt
for ((i = 0; i < devices; i++)); do
  tenant=$(printf 'tenant-%02d' $((i % 10)))
  device=$(printf 'dev-%05d' "$i")
  key "dev/$device.key"
  openssl req -new -key "dev/$device.key" -subj "/CN=$tenant\\/$device" | sign $((i + 1000)) "dev/$device.crt"
  echo "$tenant $device $PWD/dev/$device.crt $PWD/dev/$device.key" >>ids.txt
done
