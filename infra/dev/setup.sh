#!/usr/bin/env bash
# Make the virtual environment with exactly the versions in constraints.txt.
#
# uv installs; where it is missing it is put into the environment with pip, and
# pip does all of it where that fails. Packages that uv has once fetched are
# linked from its cache, so a second environment takes seconds.
#
# PyTorch comes as its CPU build: from a wheel folder that holds one
# (UV_FIND_LINKS, or pip's find-links), else on Linux from PyTorch's own index
# (TORCH_INDEX overrides). An index that does not answer within three seconds
# is left out; then PyPI's CUDA build is taken, which is larger and runs on the
# CPU too. macOS wheels on PyPI are CPU builds already.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${1:-.venv}
python=${PYTHON:-python3}
extras='.[ml,boosting,kubernetes,dev]'
torch_index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}

command -v "$python" >/dev/null || { echo "setup: $python not found; install Python 3.11 or newer" >&2; exit 3; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  { echo "setup: Python 3.11 or newer is needed, $python is $("$python" -V 2>&1)" >&2; exit 3; }

# True when the address answers within three seconds, name look-up included.
answers() {
  "$python" - "$1" <<'PY' 2>/dev/null
import os, sys, threading, urllib.request
threading.Timer(3, os._exit, [1]).start()
try:
    urllib.request.urlopen(sys.argv[1].rstrip("/") + "/torch/", timeout=3).close()
except Exception:
    os._exit(1)
os._exit(0)
PY
}

find_uv() {
  if command -v uv; then return; fi
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  if [ ! -x "$venv/bin/uv" ]; then
    echo "setup: uv is not on the PATH; installing it into $venv" >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt uv >&2 || return 0
  fi
  echo "$venv/bin/uv"
}

links=()
torch_is_here=
for folder in ${UV_FIND_LINKS:-$("$python" -m pip config get global.find-links 2>/dev/null || true)} ${PIP_FIND_LINKS:-}; do
  [ -d "$folder" ] || continue
  links+=(--find-links "$folder")
  if compgen -G "$folder/torch-*.whl" >/dev/null; then torch_is_here=1; fi
done

indexes=()
uv_options=()
if [ -z "$torch_is_here" ] && [ "$(uname -s)" = Linux ]; then
  if answers "$torch_index"; then
    indexes=(--extra-index-url "$torch_index")
    uv_options=(--index-strategy unsafe-best-match)
  else
    echo "setup: $torch_index does not answer; taking PyPI's build of PyTorch (3 GB with CUDA; it runs on the CPU)" >&2
  fi
fi

uv=$(find_uv)
echo "setup: installing into $venv (about two minutes the first time, seconds from the cache)" >&2
if [ -n "$uv" ]; then
  [ -x "$venv/bin/python" ] || "$uv" venv --quiet --python "$python" "$venv"
  install=("$uv" pip install --python "$venv/bin/python" --compile-bytecode
    "${links[@]}" "${indexes[@]}" "${uv_options[@]}" -c constraints.txt -e "$extras")
  if [ -t 2 ]; then
    "${install[@]}"
  else # the summary without the list of 280 packages
    "${install[@]}" 2> >(grep -v '^ [+~-] ' >&2)
  fi
else
  echo "setup: uv could not be installed; pip takes 6 to 13 minutes" >&2
  "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar on \
    "${links[@]}" "${indexes[@]}" -c constraints.txt -e "$extras"
fi
echo "setup: done" >&2
