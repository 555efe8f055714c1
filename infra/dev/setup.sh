#!/usr/bin/env bash
# Make the virtual environment with exactly the versions in constraints.txt.
#
# uv is used when it is there, pip when not. PyTorch comes as its CPU build:
# from a local wheel folder when pip is configured with one (find-links), else
# on Linux from PyTorch's own CPU index (TORCH_INDEX overrides; macOS wheels on
# PyPI are CPU builds already).
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${1:-.venv}
python=${PYTHON:-python3}

command -v "$python" >/dev/null || { echo "setup: $python not found; install Python 3.11 or newer" >&2; exit 3; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  { echo "setup: Python 3.11 or newer is needed, $python is $("$python" -V 2>&1)" >&2; exit 3; }

wheels=${UV_FIND_LINKS:-$("$python" -m pip config get global.find-links 2>/dev/null || true)}
torch_index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
extra=()
if [ -n "$wheels" ]; then
  extra=(--find-links "$wheels")
elif [ "$(uname -s)" = Linux ]; then
  extra=(--extra-index-url "$torch_index")
fi

echo "setup: installing into $venv (a few minutes the first time)"
if command -v uv >/dev/null; then
  [ -x "$venv/bin/python" ] || uv venv --quiet --python "$python" "$venv"
  [ -z "$wheels" ] && [ "$(uname -s)" = Linux ] && extra+=(--index-strategy unsafe-best-match)
  uv pip install --quiet --python "$venv/bin/python" --compile-bytecode \
    "${extra[@]}" -c constraints.txt -e '.[ml,dev]'
else
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    "${extra[@]}" -c constraints.txt -e '.[ml,dev]'
fi
echo "setup: done"
