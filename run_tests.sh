#!/bin/sh
# All tests of this repository: lint, types, unit tests, and the system tests in their quick form on real Kafka.
set -eu
cd -- "$(dirname -- "$0")"
. ducktape/environment.sh
environment systest,dev

step() {
    echo
    echo "== $1"
    shift
    "$@"
}

step "lint" "$python" -m ruff check .
step "format" "$python" -m ruff format --check .
step "types" "$python" -m mypy
# Six at once also on two cores: they wait for most of their time, for limits to pass and for what happens elsewhere.
step "unit tests" "$python" -m pytest tests/unit --numprocesses 6
# Two rounds of the comparison are too few for a gate to fail by: speed is judged by longer runs, on machines left alone.
step "system tests, quick form" "$python" -m systest run tests/ducktape/quick.yml --rounds 2
