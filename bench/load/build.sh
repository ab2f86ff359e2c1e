#!/usr/bin/env bash
# Compiles mqload and prints the path of the program. Does nothing when it is newer than its source.
# Options go to the compiler: bench/load/build.sh -DNO_TLS leaves TLS out.
set -euo pipefail
cd "$(dirname "$0")"

program=../../.build/mqload
[ "${1-}" = -DNO_TLS ] && program=../../.build/mqload-notls

fail() {
  echo "mqload cannot be built: $1" >&2
  exit 1
}

[ "$(uname -s)" = Linux ] || fail "it needs Linux (epoll), this is $(uname -s)"
cc=${CC:-cc}
command -v "$cc" >/dev/null || fail "there is no C compiler ($cc): apt-get install gcc libc6-dev"

# One by one, so that the message names the package that is missing.
has() { echo "#include <$1>" | "$cc" -E -x c - >/dev/null 2>&1; }
has stdio.h || fail 'the headers of the C library are missing: apt-get install libc6-dev'
libraries=()
if [ "${1-}" != -DNO_TLS ]; then
  has openssl/ssl.h || fail 'the headers of OpenSSL are missing: apt-get install libssl-dev (or build with -DNO_TLS)'
  libraries=(-lssl -lcrypto)
fi

if [ ! -x "$program" ] || [ mqload.c -nt "$program" ]; then
  mkdir -p ../../.build
  # Aside and renamed: another run may be using, or building, the same program.
  "$cc" -O2 -Wall -Wextra -o "$program.$$" "$@" mqload.c "${libraries[@]}" ||
    fail 'the compiler refused it, see above; glibc must be 2.35 or later (epoll_pwait2)'
  mv "$program.$$" "$program"
fi
realpath "$program"
