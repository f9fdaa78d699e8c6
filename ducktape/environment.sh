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

make_venv() {
    rm -rf .venv
    if "$1" -m venv .venv >/dev/null 2>&1; then return; fi
    # Debian ships Python without the module that venv needs.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "Installing python3-venv..."
        rm -rf .venv
        if apt-get install -qq -y python3-venv >/dev/null 2>&1 && "$1" -m venv .venv >/dev/null; then return; fi
    fi
    rm -rf .venv
    say "$1 can't make a virtual environment; install its venv module (Debian: apt-get install python3-venv)."
    exit 1
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
    say "Installing what this needs into .venv (Python $("$python" -V | cut -d' ' -f2))..."
    if ! "$python" -m pip install --quiet --disable-pip-version-check --editable ".[$1]" >&2; then
        say "The Python packages could not be installed; see above. Is the package index reachable?"
        exit 1
    fi
    echo "$wanted" >".venv/installed-$1"
}
