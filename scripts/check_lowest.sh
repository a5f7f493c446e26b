#!/usr/bin/env bash
# Run the tests on the lowest versions of the direct dependencies that pyproject.toml allows.
#
#   scripts/check_lowest.sh .venv/bin [arguments of pytest]
#
# The first argument has the development tools. Dependencies of dependencies are the newest ones, and old packages use
# some of them in ways that are deprecated by now: those warnings are no errors here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=$(realpath "$1")
shift

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}"  # uv reads no settings of pip
"$tools/uv" venv --quiet --python "$tools/python" "$folder/venv"
"$tools/uv" pip install --quiet --python "$folder/venv/bin/python" --resolution lowest-direct -e '.[dev]'
"$folder/venv/bin/python" -m pytest -q -W default::DeprecationWarning -W default::PendingDeprecationWarning "$@"
