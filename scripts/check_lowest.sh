#!/usr/bin/env bash
# Run the tests on the lowest versions of the direct dependencies that pyproject.toml allows.
#
#   scripts/check_lowest.sh .venv/bin [pytest arguments]
#
# The first argument is the bin folder of an environment with the development tools. Transitive dependencies have their
# newest versions, and old packages use some of their deprecated features, so deprecation warnings are not errors here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=$(realpath "${1:?usage: scripts/check_lowest.sh BIN_FOLDER [pytest arguments]}")
shift
[ -x "$tools/uv" ] || {
  echo "check_lowest: $tools has no uv: run make lint once, or name the bin folder of a different environment" >&2
  exit 1
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python="$folder/venv/bin/python"
export UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}"  # uv does not read pip's settings
"$tools/uv" venv --quiet --python "$tools/python" "$folder/venv"
"$tools/uv" pip install --quiet --python "$python" --resolution lowest-direct -e '.[dev]' || {
  echo "check_lowest: the lowest versions cannot be installed together: raise the bound named above in pyproject.toml" >&2
  exit 1
}
echo "check_lowest: the tests run with"
"$tools/uv" pip freeze --quiet --python "$python" | paste -sd ' ' | fold -s -w 110
"$python" -m pytest -q -n 2 --dist worksteal -W default::DeprecationWarning -W default::PendingDeprecationWarning \
  "$@" || {
  echo "check_lowest: the tests failed: if they pass with newer versions, raise the bound of the package that" \
    "causes the failure in pyproject.toml" >&2
  exit 1
}
