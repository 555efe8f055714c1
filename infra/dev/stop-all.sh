#!/usr/bin/env bash
# Stop the services and runs of every home under .platform. Says nothing when nothing runs.
#
#   infra/dev/stop-all.sh BIN     BIN: folder of platform-ctl and python (.venv/bin)
set -euo pipefail
bin=$(cd "${1:?usage: stop-all.sh BIN}" && pwd)
cd "$(dirname "$0")/../.."

# select_from FIELD STATES < json: FIELD of each record whose state is one of STATES.
select_from() {
  "$bin/python" -c '
import json, sys
field, states = sys.argv[1], set(sys.argv[2].split(","))
for record in json.load(sys.stdin):
    if record["state"] in states:
        sys.stdout.write(record[field] + "\n")
' "$@"
}

unread() { echo "stop-all: $PLATFORM_HOME cannot be asked; look for its processes with ps" >&2; }

# Homes lie in homes: .platform/demo, .platform/lab/home, .platform/demo/lab/home.
find .platform -maxdepth 4 -name platform.db 2>/dev/null | while read -r database; do
  PLATFORM_HOME=$(cd "$(dirname "$database")" && pwd)
  export PLATFORM_HOME
  "$bin/platform-ctl" run list --limit 1000 -o json | select_from id PENDING,RUNNING |
    while read -r run; do "$bin/platform-ctl" run cancel "$run"; done || unread
  "$bin/platform-ctl" service list -o json | select_from name running,degraded |
    while read -r service; do "$bin/platform-ctl" service stop "$service"; done || unread
done
