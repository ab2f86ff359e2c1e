#!/usr/bin/env bash
# The whole suite against real parts: a real PostgreSQL, real TLS, MQTT.js, Debian's mosquitto
# clients. Installs what is missing where apt is at hand; otherwise names it.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v mosquitto_pub >/dev/null || missing+=(mosquitto-clients)
command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || missing+=(mosquitto)
command -v openssl >/dev/null || missing+=(openssl)
# Tests that need these are skipped without them.
optional=()
command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || optional+=(pgbouncer)
if [ $((${#missing[@]} + ${#optional[@]})) -gt 0 ]; then
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
    echo "installing for the tests: ${missing[*]} ${optional[*]}"
    "${as_root[@]}" apt-get update -qq || [ ${#missing[@]} -eq 0 ]
    # They are only peers of the tests: no service must start by itself.
    printf '#!/bin/sh\nexit 101\n' >/tmp/midge-policy-rc.d
    if [ ! -e /usr/sbin/policy-rc.d ]; then
      "${as_root[@]}" install -m 755 /tmp/midge-policy-rc.d /usr/sbin/policy-rc.d
      trap '"${as_root[@]}" rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq)
    [ ${#missing[@]} -eq 0 ] || "${install[@]}" "${missing[@]}" >/dev/null
    for package in "${optional[@]}"; do
      if "${install[@]}" --no-install-recommends "$package" >/dev/null; then
        # Nor at the next boot.
        "${as_root[@]}" systemctl disable --quiet "$package" >/dev/null 2>&1 || true
      else
        echo "$package could not be installed: the tests that need it are skipped" >&2
      fi
    done
  elif [ ${#missing[@]} -gt 0 ]; then
    echo "The tests need these programs, and they could not be installed here: ${missing[*]}" >&2
    echo "Install them (Debian, Ubuntu: sudo apt-get install ${missing[*]}) and run npm test again." >&2
    exit 1
  else
    echo "not installed, so the tests that need them are skipped: ${optional[*]}" >&2
  fi
fi

# What was compiled from files that are gone would still be run.
rm -rf dist
npm run --silent check

status=0
mapfile -t files < <(find dist/test -name '*.test.js' | sort)
node --test --test-concurrency=2 --test-timeout=300000 "${files[@]}" || status=$?
node dist/test/helpers/stop-test-postgres.js >/dev/null || true
exit "$status"
