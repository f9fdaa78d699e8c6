#!/bin/sh
# All tests of this repository: lint, types, unit tests, and the system tests in their quick form on real Kafka. What
# could not be run here is told at the end; with NOT_RUN_ALLOWED=FILE it is a failure, but for what the file lists.
set -eu
cd -- "$(dirname -- "$0")"
. ducktape/environment.sh
environment systest,dev

# What tests need of the system beside Python.
command -v git >/dev/null || apt_install git || :
# Where an init system runs, a package would start a service.
if [ "$(id -u)" = 0 ] && [ ! -d /run/systemd/system ]; then sh ducktape/provision.sh system || :; fi

SYSTEST_NOT_RUN=$(mktemp)
export SYSTEST_NOT_RUN
trap 'rm -f "$SYSTEST_NOT_RUN"' EXIT

failed=

# One that fails hinders no other: a first run on a new machine is to tell all that there is to tell.
step() {
    name=$1
    shift
    echo
    echo "== $name"
    "$@" || failed="$failed${failed:+, }$name"
}

step "lint" "$python" -m ruff check .
step "format" "$python" -m ruff format --check .
step "types" "$python" -m mypy
# Before tests of nodes, whose logins know nothing of this one's way to a registry.
step "Kafka" "$python" -m systest.distribution ensure
# Six at once also on two cores: they wait for most of their time, for limits to pass and for what happens elsewhere.
step "unit tests" "$python" -m pytest tests/unit --numprocesses 6
# Two rounds of the comparison are too few for a gate to fail by: speed is judged by longer runs, on machines left alone.
# Side by side as far as they have no figures to compare: they start and wait more than they compute.
step "system tests, quick form" "$python" -m systest run tests/ducktape/quick.yml --rounds 2 --nodes 24 --max-parallel 3
step "not run here" "$python" -m systest.not_run "$SYSTEST_NOT_RUN" ${NOT_RUN_ALLOWED:+--allowed "$NOT_RUN_ALLOWED"}

[ -z "$failed" ] || {
    say "Failed: $failed."
    exit 1
}
