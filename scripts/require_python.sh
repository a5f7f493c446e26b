#!/bin/sh
# Reject a Python that is too old for this project, and name one that works: require_python.sh PYTHON [GOAL ...]
set -eu

python=$1
shift
least=$(sed -n 's/^requires-python *= *">= *\([0-9.]*\).*/\1/p' "$(dirname "$0")/../pyproject.toml")

new_enough() {
  "$1" -c "import sys; sys.exit(sys.version_info[:2] < tuple(int(part) for part in '$least'.split('.')))" 2>/dev/null
}

if new_enough "$python"; then
  exit 0
fi
found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true)
echo "make: Impasto needs Python $least or newer; $python is ${found:-not found}" >&2
minor=30
while [ "$minor" -ge "${least#*.}" ]; do
  if new_enough "python3.$minor"; then
    echo "make: run: make PYTHON=python3.$minor $*" >&2
    exit 1
  fi
  minor=$((minor - 1))
done
echo "make: none is on the PATH; install one and run: make PYTHON=/path/to/python3 $*" >&2
exit 1
