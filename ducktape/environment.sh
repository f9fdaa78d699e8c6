# Sourced by run_ducktape.sh and run_tests.sh, from the repository's root: makes .venv with what a run needs, or
# reuses it. `environment EXTRAS` sets $python to its interpreter.
# shellcheck shell=sh

say() { echo "$*" >&2; }

# The first Python that is new enough: $PYTHON, or one by its usual names.
find_python() {
    for name in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do
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

can_compile() { sh ducktape/provision.sh can-compile "$python"; }

# What .venv depends on, as one number: its place, and all that decides what is installed and compiled.
state() {
    {
        pwd
        echo "${PRODUCER_BUILD:-} ${CC:-} ${CFLAGS:-}"
        for name in cc gcc clang; do command -v "$name" || :; done
        cat setup.cfg pyproject.toml setup.py producer/*.pyx producer/*.h || :
    } 2>/dev/null | cksum
}

pip_install() { "$python" -m pip install --quiet --disable-pip-version-check "$@" >&2; }

# ducktape pins some of what it needs to versions so old that they have no wheel for newer Pythons: those of these that
# can't be compiled here.
pins_in_the_way() {
    can_compile || echo psutil
    # It takes more than a compiler: CMake, and the sources of other libraries.
    "$python" -c 'import sys; sys.exit(sys.version_info >= (3, 14))' || echo pyzmq
}

# Gives ducktape all that it asks for, but newer versions of $2, a pattern.
install_past_pins() {
    pip_install --no-deps "$(sed -n 's/^ *\(ducktape *[<>=].*\)/\1/p' setup.cfg)" || return 1
    "$python" -c 'import importlib.metadata; print(*importlib.metadata.requires("ducktape"), sep="\n")' |
        sed -E -e '/extra ==/d' -e "s/^($2)[<>=~!].*/\1/" >.venv/required-by-ducktape
    pip_install --no-warn-conflicts --requirement .venv/required-by-ducktape \
        --editable ".[$(echo "$1" | sed 's/systest/node/')]"
}

# Free space where a folder is, in KiB; 0 if it can't be written.
free_kib() {
    if [ -w "$1" ]; then df -Pk "$1" | awk 'NR == 2 { print $4 }'; else echo 0; fi
}

# Caches and temporary files go to this folder where their usual places can't be written, or have less room than a run
# needs (`systest.disk` has the same limit, and a sentence for where this folder has no more).
find_room() {
    elsewhere=$(pwd)/.scratch needed_kib=2097152
    if [ ! -w . ]; then
        say "$(pwd) can't be written, and the environment and the results go there; clone to a folder of your own."
        exit 1
    fi
    caches=${XDG_CACHE_HOME:-${HOME:-}/.cache}
    if ! { mkdir -p "$caches" && [ -w "$caches" ]; } 2>/dev/null; then
        say "$caches can't be written, so caches go to $elsewhere/cache."
        export XDG_CACHE_HOME="$elsewhere/cache" PIP_CACHE_DIR="${PIP_CACHE_DIR:-$elsewhere/cache/pip}"
    fi
    if [ "$(free_kib "${TMPDIR:-/tmp}")" -lt $needed_kib ] && [ "$(free_kib .)" -ge $needed_kib ]; then
        say "${TMPDIR:-/tmp} has no 2 GiB free, so temporary files go to $elsewhere/tmp."
        export TMPDIR="$elsewhere/tmp"
        mkdir -p "$TMPDIR"
    fi
}

environment() {
    find_room
    python=.venv/bin/python
    # A run is some hundred processes, and each would compile this repository's modules anew.
    unset PYTHONDONTWRITEBYTECODE
    # A venv is tied to its place and its Python, and is complete for the state it was made from.
    for made in "$1" systest,dev; do
        if "$python" -c '' 2>/dev/null && [ "$(cat ".venv/installed-$made" 2>/dev/null)" = "$(state)" ]; then
            "$python" -m systest.transport || exit 1
            return
        fi
    done
    base=$(find_python) || exit 1
    "$python" -c '' 2>/dev/null && [ "$(head -n 1 .venv/place 2>/dev/null)" = "$(pwd)" ] || make_venv "$base"
    pwd >.venv/place
    rm -f .venv/installed-*
    can_compile || apt_install gcc libc6-dev python3-dev || :
    say "Installing what this needs into .venv (Python $("$python" -V | cut -d' ' -f2))..."
    pins=$(pins_in_the_way | paste -sd ' ' -)
    if [ -z "$pins" ]; then
        pip_install --editable ".[$1]"
    else
        say "What ducktape pins can't be installed here, so it runs with newer versions of: $pins."
        install_past_pins "$1" "$(echo "$pins" | tr ' ' '|')"
    fi || {
        say "The Python packages could not be installed; see above. Is the package index reachable?"
        exit 1
    }
    state >".venv/installed-$1"
    "$python" -m systest.transport || exit 1
}
