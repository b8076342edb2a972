# Sourced by the other scripts: a private environment in .venv, made once and reused.
# Needs Python 3.11 or newer; nothing else, and no root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

setup() {
  local python=${PYTHON:-python3} stamp=.venv/.stamp fingerprint
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "kit needs Python 3.11 or newer; $("$python" --version 2>&1) is too old. Set PYTHON=/path/to/python3.11" >&2
    exit 8
  }
  fingerprint=$(cat requirements.txt pyproject.toml | sha256sum)
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$fingerprint" ] && return
  echo "setting up .venv (some gigabytes, once)" >&2
  [ -x .venv/bin/python ] || "$python" -m venv .venv || {
    echo "cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2
    exit 8
  }
  .venv/bin/python -m pip install --quiet --disable-pip-version-check "$(uv_pin)"
  # Every build starts processes that import torch; compiling it each time takes longer than
  # the import, and would be done where PYTHONDONTWRITEBYTECODE is set.
  .venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python \
    --require-hashes -r requirements.txt
  .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
  echo "$fingerprint" >"$stamp"
}

# One more than two cores, where memory allows it: some tests wait for devices and timeouts.
count_test_workers() {
  local available
  available=$(awk '/^MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo 2>/dev/null || echo 0)
  if [ "$available" -ge 12 ]; then echo 3; else echo 2; fi
}

# The lock is the only place that pins uv.
uv_pin() { sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.txt; }

unset PYTHONDONTWRITEBYTECODE # for the same reason
setup
export PATH="$PWD/.venv/bin:$PATH"
