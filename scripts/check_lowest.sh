#!/usr/bin/env bash
# Run the tests on the lowest versions of the direct dependencies that pyproject.toml allows.
#
#   scripts/check_lowest.sh .venv/bin [pytest arguments]
#
# The first argument is the bin folder of an environment with the development tools. Transitive dependencies have their
# newest versions, and old packages use some of their deprecated features, so deprecation warnings are not errors here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=$(realpath "$1")
shift

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}"  # uv does not read pip's settings
"$tools/uv" venv --quiet --python "$tools/python" "$folder/venv"
"$tools/uv" pip install --quiet --python "$folder/venv/bin/python" --resolution lowest-direct -e '.[dev]'
"$folder/venv/bin/python" -m pytest -q -n 2 -W default::DeprecationWarning -W default::PendingDeprecationWarning "$@"
