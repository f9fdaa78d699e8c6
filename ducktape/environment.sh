# Sourced by run_ducktape.sh and run_tests.sh, from the repository's root: makes .venv with what a run needs, or
# reuses it. `environment EXTRAS` sets $python to its interpreter.
# shellcheck shell=sh

say() { echo "$*" >&2; }

# The first Python that is new enough: $PYTHON, or one by its usual names.
find_python() {
    for name in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10 python; do
        [ -n "$name" ] || continue
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    say "Python 3.10 or newer is needed and was not found; install it, or set PYTHON to its path."
    exit 1
}

# As root on Debian or Ubuntu: packages of the system. Fails anywhere else.
apt_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    say "Installing $*..."
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "$@" >/dev/null 2>&1 && return
    # A list of packages that is old names files which are gone.
    apt-get update -qq >/dev/null 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "$@" >/dev/null 2>&1
}

make_venv() {
    rm -rf .venv
    if "$1" -m venv .venv >/dev/null 2>&1; then return; fi
    # Debian ships Python without the module that venv needs.
    rm -rf .venv
    if apt_install python3-venv && "$1" -m venv .venv >/dev/null; then return; fi
    rm -rf .venv
    say "$1 can't make a virtual environment; install its venv module (Debian: apt-get install python3-venv)."
    exit 1
}

# ducktape pins a psutil so old that it has no wheel for Pythons of today.
can_compile() {
    command -v cc >/dev/null &&
        "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
}

environment() {
    python=.venv/bin/python
    # A venv is tied to its place and its Python, and is complete for the requirements it was made from.
    wanted=$(pwd; cat setup.cfg pyproject.toml)
    for made in "$1" systest,dev; do
        if "$python" -c '' 2>/dev/null && [ "$(cat ".venv/installed-$made" 2>/dev/null)" = "$wanted" ]; then return; fi
    done
    base=$(find_python) || exit 1
    "$python" -c '' 2>/dev/null && [ "$(head -n 1 .venv/place 2>/dev/null)" = "$(pwd)" ] || make_venv "$base"
    pwd >.venv/place
    can_compile || apt_install gcc libc6-dev python3-dev || :
    say "Installing what this needs into .venv (Python $("$python" -V | cut -d' ' -f2))..."
    if ! "$python" -m pip install --quiet --disable-pip-version-check --editable ".[$1]" >&2; then
        if can_compile; then
            say "The Python packages could not be installed; see above. Is the package index reachable?"
        else
            say "The Python packages could not be installed; see above. psutil has to be compiled: install a C compiler and" \
                "Python's headers (Debian: apt-get install gcc python3-dev)."
        fi
        exit 1
    fi
    echo "$wanted" >".venv/installed-$1"
}
