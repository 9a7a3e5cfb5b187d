#!/usr/bin/env bash
# Stops the broker that start.sh started on this data directory: politely, then after 20 seconds for good.
set -euo pipefail
data=${1:?usage: stop.sh <data-dir>}
pid=$(cat "$data/broker.pid" 2>/dev/null) || { echo "no broker runs on $data" >&2; exit 0; }
kill -TERM "$pid" 2>/dev/null || true
for _ in $(seq 200); do
  kill -0 "$pid" 2>/dev/null || break
  sleep 0.1
done
kill -KILL "$pid" 2>/dev/null || true
rm -f "$data/broker.pid"
