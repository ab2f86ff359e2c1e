#!/usr/bin/env bash
# The whole suite against real parts: a real PostgreSQL, real TLS, MQTT.js, Debian's mosquitto
# clients. Installs what is missing where apt is at hand; otherwise names it.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v mosquitto_pub >/dev/null || missing+=(mosquitto-clients)
command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || missing+=(mosquitto)
command -v openssl >/dev/null || missing+=(openssl)
if [ ${#missing[@]} -gt 0 ]; then
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
    echo "installing for the tests: ${missing[*]}"
    "${as_root[@]}" apt-get update -qq
    # The broker is only a peer to compare with: it must not start by itself.
    printf '#!/bin/sh\nexit 101\n' >/tmp/midge-policy-rc.d
    if [ ! -e /usr/sbin/policy-rc.d ]; then
      "${as_root[@]}" install -m 755 /tmp/midge-policy-rc.d /usr/sbin/policy-rc.d
      trap '"${as_root[@]}" rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq "${missing[@]}" >/dev/null
  else
    echo "The tests need these programs, and they could not be installed here: ${missing[*]}" >&2
    echo "Install them (Debian, Ubuntu: sudo apt-get install ${missing[*]}) and run npm test again." >&2
    exit 1
  fi
fi

npm run --silent check

status=0
mapfile -t files < <(find dist/test -name '*.test.js' | sort)
node --test --test-concurrency=2 --test-timeout=300000 "${files[@]}" || status=$?
node dist/test/helpers/stop-test-postgres.js || true
exit "$status"
