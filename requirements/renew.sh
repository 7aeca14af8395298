#!/usr/bin/env bash
# Writes the lock files anew, with every hash: needs uv (pip install uv). Look at the difference,
# run the suite, commit. ci.lock: what CI installs. action.lock: what the action may install.
# build.lock: what builds a wheel.
set -euo pipefail
cd "$(dirname "$0")/.."
lock() { uv pip compile --universal --python-version 3.10 --generate-hashes --no-header -q "$@"; }
lock pyproject.toml requirements/build.in --extra dev -o requirements/ci.lock "${@}"
lock pyproject.toml -o requirements/action.lock "${@}"
lock requirements/build.in -o requirements/build.lock "${@}"
sed -i '/^    #   -c /d' requirements/*.lock # a constraint of this machine is no package's reason
