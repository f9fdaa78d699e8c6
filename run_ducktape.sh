#!/bin/sh
# Compares producers on a real Kafka that it starts itself; needs only Python >= 3.10. See --help.
set -eu
cd -- "$(dirname -- "$0")"
. ducktape/environment.sh
case "${1:-}" in
    safety) environment systest,dev ;;
    *) environment systest ;;
esac
case "${1:-}" in
    nightly | safety | bare-root) exec "$python" -m systest "$@" ;;
    *) exec "$python" -m systest run "$@" ;;
esac
