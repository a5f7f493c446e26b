#!/usr/bin/env bash
# Build the wheel and the sdist, paint with the wheel in an empty environment, and run the tests of the sdist.
#
#   scripts/check_dist.sh .venv/bin [pytest arguments]
#
# The first argument is the bin folder of an environment with the development tools; the tests run in it, with the
# source of the sdist.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=$(realpath "$1")
shift

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$tools/uv" build --quiet --out-dir "$folder/dist" --python "$tools/python"
ls -l "$folder/dist"

"$tools/python" -m venv "$folder/empty"
"$folder/empty/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt "$folder"/dist/*.whl
(cd "$folder" && env -u PYTHONPATH "$folder/empty/bin/impasto" demo --size 64 --output "$folder/demo")
test -n "$(ls "$folder/demo")"
rm -rf "$folder/empty"

mkdir "$folder/sdist"
tar -xzf "$folder"/dist/*.tar.gz -C "$folder/sdist" --strip-components 1
cd "$folder/sdist"
PYTHONPATH=$PWD/src "$tools/python" -m pytest -q -n 2 --dist worksteal "$@"
