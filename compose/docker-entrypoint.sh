#!/bin/sh
# Starts midge in a container. As root (`user: root` with PUID and PGID) it changes to that user
# first; under any other uid it stays what it is. Before the broker starts, every file its
# configuration names is tried, because "permission denied" alone does not say whose permission.
set -eu

MOSQUITTO=/mosquitto
EXIT_CONFIGURATION=3
EXIT_UNREADABLE=13

say() { printf 'midge: %s\n' "$*" >&2; }

# Options and commands of midge alone, and Mosquitto's own command line, start midge.
case "${1-}" in
'') set -- midge -c "$MOSQUITTO/config/mosquitto.conf" ;;
-* | start | demo | pki | rows | quarantine | db | passwd | check | explain | health) set -- midge "$@" ;;
mosquitto | */mosquitto)
  shift
  set -- midge "$@"
  ;;
esac

is_id() {
  case "$1" in
  '' | 0 | 0* | *[!0-9]*) return 1 ;;
  esac
  [ "${#1}" -le 10 ]
}

if [ "$(id -u)" = 0 ]; then
  uid=${PUID:-1883}
  gid=${PGID:-1883}
  for id in "PUID=$uid" "PGID=$gid"; do
    if ! is_id "${id#*=}"; then
      say "${id%%=*} is \"${id#*=}\", expected a number from 1: the broker does not run as root"
      exit "$EXIT_CONFIGURATION"
    fi
  done
  # Only what the broker writes. Certificates and passwords belong to whoever writes them.
  for directory in "$MOSQUITTO/data" "$MOSQUITTO/log"; do
    if [ -d "$directory" ] && [ "$(stat -c %u:%g "$directory")" != "$uid:$gid" ]; then
      chown "$uid:$gid" "$directory" 2>/dev/null || say "cannot give $directory to $uid:$gid"
    fi
  done
  exec setpriv --reuid "$uid" --regid "$gid" --clear-groups --no-new-privs -- "$0" "$@"
fi

if [ -n "${PUID-}" ] && [ "$PUID" != "$(id -u)" ]; then
  say "PUID=$PUID is not obeyed: the container runs as uid $(id -u), and only root (user: root) can change"
fi

problems=0

# $1 what the configuration calls it, $2 the path
try() {
  blocked=
  folder=$(dirname "$2")
  while :; do
    if [ -d "$folder" ] && [ ! -x "$folder" ]; then blocked=$folder; fi
    case "$folder" in / | .) break ;; esac
    folder=$(dirname "$folder")
  done
  if [ -n "$blocked" ]; then
    refused "$1 $2" "the directory $blocked may not be entered" "$blocked"
  elif [ -e "$2" ] && [ ! -r "$2" ]; then
    refused "$1 $2" 'it may not be read' "$2"
  elif [ -d "$2" ] && [ ! -x "$2" ]; then
    refused "$1 $2" 'it may not be entered' "$2"
  fi
}

refused() {
  say "cannot read $1: $2 (mode $(stat -c '%a, owner %u:%g' "$3"); this process is uid $(id -u), gid $(id -g)). Change its mode or owner, or run the container as its owner."
  problems=$((problems + 1))
}

# The grammar is mosquitto.conf's: name, one space, value to the end of the line.
try_all_of() {
  try configuration "$1"
  if [ ! -f "$1" ] || [ ! -r "$1" ]; then return 0; fi
  while IFS= read -r line || [ -n "$line" ]; do
    line=$(printf '%s' "$line" | sed 's/\r$//; s/^ *//; s/[ \t]*$//')
    case "$line" in
    certfile\ * | keyfile\ * | cafile\ * | capath\ * | crlfile\ * | password_file\ * | acl_file\ * | psk_file\ *)
      try "${line%% *}" "$(printf '%s' "${line#* }" | sed 's/^ *//')"
      ;;
    include_dir\ *)
      folder_of_more=$(printf '%s' "${line#* }" | sed 's/^ *//')
      try include_dir "$folder_of_more"
      for more in "$folder_of_more"/*.conf; do
        if [ -e "$more" ]; then try 'included file' "$more"; fi
      done
      ;;
    esac
  done <"$1"
}

if [ "$1" = midge ]; then
  before=
  for argument in "$@"; do
    case "$before" in
    -c | --config-file)
      try configuration "$argument"
      if [ "$problems" -gt 0 ]; then exit "$EXIT_CONFIGURATION"; fi
      try_all_of "$argument"
      ;;
    esac
    before=$argument
  done
  if [ "$problems" -gt 0 ]; then exit "$EXIT_UNREADABLE"; fi
fi

exec "$@"
