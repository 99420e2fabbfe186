#!/usr/bin/env bash
# Starts `pinion serve` on a fresh data directory and holds the official Svix SDKs against it.
#
# Usage: tests/sdk/run.sh [CLIENT...]
# Clients: python-v2 python-v1 python-v1.56 python-v1.22 node-v2 node-v1 (default: all).
# Environment: PINION_BIN (the binary), CARGO_TARGET_DIR, XDG_CACHE_HOME, PINION_SDK_STRICT.
# It builds nothing of ours and leaves nothing behind but the cache of installed SDKs.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/pinion-sdk"
start_deadline_s=20
stop_deadline_s=30

fail() {
  echo "run.sh: $*" >&2
  exit 1
}

find_binary() {
  local target="${CARGO_TARGET_DIR:-$root/target}" candidate
  for candidate in "${PINION_BIN:-}" "$target/release/pinion" "$target/debug/pinion"; do
    if [[ -n "$candidate" && -x "$candidate" ]]; then
      echo "$candidate"
      return
    fi
    # A path that was asked for by name must not be replaced by another.
    [[ -z "$candidate" || "$candidate" != "${PINION_BIN:-}" ]] || fail "PINION_BIN=$candidate is not executable"
  done
  fail "no pinion binary under $target: run 'cargo build' or set PINION_BIN"
}

# === installed SDKs, one directory per content of its lock file ===

# `run_client` is called where `set -e` does not hold, so every step here is chained by hand, and
# the mark of a whole installation is written last.

install_python() { # VERSION -> prints the directory of the venv
  local lock="$here/python/requirements-$1.txt" key dir
  key="$( (python3 --version && cat "$lock") | sha256sum | cut -c1-16)"
  dir="$cache/python-$1-$key"
  if [[ ! -f "$dir/complete" ]]; then
    rm -rf "$dir" && mkdir -p "$cache" && python3 -m venv "$dir" >&2 &&
      "$dir/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$lock" >&2 &&
      touch "$dir/complete" || return 1
  fi
  echo "$dir"
}

install_node() { # VERSION -> prints the directory that holds node_modules
  local source="$here/node/$1" key dir
  key="$(sha256sum <"$source/package-lock.json" | cut -c1-16)"
  dir="$cache/node-$1-$key"
  if [[ ! -f "$dir/complete" ]]; then
    rm -rf "$dir" && mkdir -p "$dir" && cp "$source/package.json" "$source/package-lock.json" "$dir/" &&
      (cd "$dir" && npm ci --silent --no-audit --no-fund --ignore-scripts) >&2 &&
      touch "$dir/complete" || return 1
  fi
  echo "$dir"
}

# === the server ===

free_ports() { # prints two distinct free loopback ports
  python3 - <<'PY'
import socket

held = [socket.socket() for _ in range(2)]
for one in held:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in held))
PY
}

server_pid=""
work=""

stop_server() {
  [[ -n "$server_pid" ]] || return 0
  local pid="$server_pid" waited=0 status=0
  server_pid=""
  kill -TERM "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do
    if ((waited++ >= stop_deadline_s * 10)); then
      echo "run.sh: the server did not stop within $stop_deadline_s s of SIGTERM" >&2
      kill -KILL "$pid" 2>/dev/null || true
      break
    fi
    sleep 0.1
  done
  wait "$pid" || status=$?
  return "$status"
}

clean_up() {
  local status=$?
  stop_server || true
  if [[ -n "$work" ]]; then
    if ((status != 0)) && [[ -f "$work/server.log" ]]; then
      echo "--- the server's last lines ---" >&2
      tail -n 40 "$work/server.log" >&2
    fi
    rm -rf "$work"
  fi
  exit "$status"
}

start_server() { # BINARY; sets server_url, root_key
  local ports listen metrics waited=0
  ports="$(free_ports)"
  read -r listen metrics <<<"$ports"
  server_url="http://127.0.0.1:$listen"
  "$1" serve --listen "127.0.0.1:$listen" --metrics-listen "127.0.0.1:$metrics" \
    --data-dir "$work/data" --allow-target 127.0.0.0/8 >"$work/server.log" 2>&1 &
  server_pid=$!
  until [[ "$(curl -s -o /dev/null -m 2 -w '%{http_code}' "$server_url/api/v1/health" || true)" == 204 ]]; do
    kill -0 "$server_pid" 2>/dev/null || fail "the server ended before it was healthy"
    ((waited++ < start_deadline_s * 10)) || fail "GET /api/v1/health was not 204 within $start_deadline_s s"
    sleep 0.1
  done
  [[ -s "$work/data/root.key" ]] || fail "no root key in $work/data/root.key"
  root_key="$(tr -d '[:space:]' <"$work/data/root.key")"
}

# === the clients ===

run_client() { # CLIENT
  local dir
  echo "=== $1 ==="
  case "$1" in
  python-v1 | python-v2)
    dir="$(install_python "${1#python-}")" || return 1
    PYTHONDONTWRITEBYTECODE=1 "$dir/bin/python" "$here/python/check.py" "$server_url" "$root_key"
    ;;
  python-v1.22 | python-v1.56)
    dir="$(install_python "${1#python-}")" || return 1
    PYTHONDONTWRITEBYTECODE=1 "$dir/bin/python" "$here/python/check_old.py" "$server_url" "$root_key"
    ;;
  node-v1 | node-v2)
    dir="$(install_node "${1#node-}")" || return 1
    node "$here/node/check.mjs" "$server_url" "$root_key" "$dir"
    ;;
  esac
}

main() {
  local clients=("$@") client binary failed=()
  [[ ${#clients[@]} -gt 0 ]] || clients=(python-v2 python-v1 python-v1.56 python-v1.22 node-v2 node-v1)
  for client in "${clients[@]}"; do
    [[ "$client" =~ ^((python|node)-v[12]|python-v1\.(22|56))$ ]] || fail "unknown client $client"
  done
  binary="$(find_binary)"
  work="$(mktemp -d)"
  trap clean_up EXIT
  trap 'exit 130' INT TERM
  start_server "$binary"
  for client in "${clients[@]}"; do
    run_client "$client" || failed+=("$client")
  done
  stop_server || fail "the server did not end cleanly after SIGTERM"
  [[ ${#failed[@]} -eq 0 ]] || fail "failed: ${failed[*]}"
  echo "all clients passed: ${clients[*]}"
}

main "$@"
