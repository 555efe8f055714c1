#!/usr/bin/env bash
# The main job in the words a person would type. Its own home, so that it never
# approves anything into somebody's real production.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PLATFORM_HOME=${DEMO_HOME:-.platform/demo}

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }
# What is shown can be typed: arguments with spaces are in quotes.
run() {
  local shown="" argument
  for argument; do
    case $argument in *[!A-Za-z0-9_@%+=:,./~-]*) argument="\"$argument\"" ;; esac
    shown+="${shown:+ }$argument"
  done
  say "$shown"
  "$@"
}

if [ $# -gt 0 ]; then
  run platform-ctl data ingest --git "$@"
else
  run platform-ctl data ingest --sample
fi
run platform-ctl pipeline run train-deploy || {
  code=$?
  [ $code -ne 1 ] || cat <<EOF

The gate refused the model, so no model was registered and nothing waits for an approval: the reasons are the
lines beside gate above. Few repositories, or one with an extraordinary week, leave too little to go by;
docs/how-to/use-your-own-repositories.md says what helps. To look closer (in this shell):
  export PLATFORM_HOME=$PLATFORM_HOME PATH=$PWD/.venv/bin:\$PATH
  platform-ctl run show latest
  platform-ctl data show
EOF
  exit $code
}
run platform-ctl approval list
# Nothing approves by itself: this line is the human's decision.
run platform-ctl approval approve latest --reason "demo: beats the naive baselines" --wait
run platform-ctl model predict weekly-commits@production
run platform-ctl release show weekly-commits
run platform-ctl service list

read -r url repo < <(platform-ctl model predict weekly-commits@production -o json | python -c '
import json, subprocess, sys
forecasts = json.load(sys.stdin)["predictions"]
listed = subprocess.check_output(["platform-ctl", "service", "list", "-o", "json"])
print(json.loads(listed)[0]["url"], forecasts[0]["repo"])')
body="{\"instances\": [{\"repo\": \"$repo\"}]}"
say "curl -s $url/v1/models/weekly-commits:predict -d '$body'"
if command -v curl >/dev/null; then
  curl -s "$url/v1/models/weekly-commits:predict" -d "$body" && echo
fi

cat <<EOF

The model is served at $url until you stop it. Where to look next (in this shell):
  export PLATFORM_HOME=$PLATFORM_HOME PATH=$PWD/.venv/bin:\$PATH
  platform-ctl run show latest                      what the last run did, and what it cost
  platform-ctl run report latest                    the same as one page to look at and pass on
  platform-ctl cache explain latest                 why each step was or was not repeated
  platform-ctl pipeline run train-deploy            again: only what the new champion changes is repeated
  platform-ctl model show weekly-commits --history  who moved which alias, when and why
  platform-ctl service stop weekly-commits          or make clean, which stops and removes everything
EOF
