#!/usr/bin/env bash
# The main job in the words a person would type. Its own home, so that it never
# approves anything into somebody's real production.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PLATFORM_HOME=${DEMO_HOME:-.platform/demo}

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }
run() { say "$@"; "$@"; }

if [ $# -gt 0 ]; then
  run platform-ctl data ingest --git "$@"
else
  run platform-ctl data ingest --sample
fi
run platform-ctl pipeline run train-deploy
run platform-ctl approval list
# Nothing approves by itself: this line is the human's decision.
run platform-ctl approval approve latest --reason "demo: beats both naive baselines" --wait
run platform-ctl model predict weekly-commits
run platform-ctl release show weekly-commits
run platform-ctl service list
