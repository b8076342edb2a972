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
  .venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements.txt
  .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
  compile_largest
  echo "$fingerprint" >"$stamp"
}

# Every build starts processes that import these; compiling them each time takes longer than the
# import. Of the other packages' 270 MB of source most is never imported: Python compiles a module
# when it is imported first.
compile_largest() {
  local packages names
  packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  names=(torch torchvision sympy scipy pandas matplotlib networkx onnxscript)
  # Some packages contain invalid Python files: tests of parsers.
  .venv/bin/python -m compileall -q -j 0 "${names[@]/#/$packages/}" >/dev/null || true
}

# One or two more than two cores, where memory allows it: some tests wait for devices and timeouts.
count_test_workers() {
  local available
  available=$(awk '/^MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo 2>/dev/null || echo 0)
  if [ "$available" -ge 18 ]; then echo 4; elif [ "$available" -ge 12 ]; then echo 3; else echo 2; fi
}

# Lint, types and pytest with these arguments. The types are checked beside the tests, whose workers
# wait for devices, and for each other at the end; mypy prints after them.
test_beside_types() {
  ruff check .
  ruff format --check .
  local types checker code=0
  types=$(mktemp)
  # shellcheck disable=SC2064 # the name of this one
  trap "rm -f '$types'" EXIT
  mypy >"$types" 2>&1 &
  checker=$!
  OMP_WAIT_POLICY=passive python -m pytest -n "$(count_test_workers)" --dist loadfile \
    --no-loadscope-reorder "$@" || code=$?
  wait "$checker" || code=$?
  cat "$types"
  return "$code"
}

# The lock is the only place that pins uv.
uv_pin() { sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.txt; }

unset PYTHONDONTWRITEBYTECODE # else they would be compiled each time
setup
export PATH="$PWD/.venv/bin:$PATH"
