#!/bin/sh
# Gives a node what system tests need there: one script for every kind of node, and quick where all is there already.
#
#   provision.sh system           Debian or Ubuntu: installs system packages; as root, or by sudo if that asks nothing
#   provision.sh compiler         likewise what compiles the producer's faster transport; does without where it can't
#   provision.sh harness PACKAGE  as the user that tests run as: installs PACKAGE[node], a wheel or packed sources, into
#                                 ~/.systest/venv, and fetches Kafka, so that a run needs no network
#   provision.sh can-compile PYTHON  exit status 0 if a C extension can be compiled for it
#
# On failure the last line on stderr says in one sentence what to do.
set -eu

usage="usage: provision.sh system | compiler | harness PACKAGE | can-compile PYTHON"

say() { echo "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# The first Python that is new enough, and can make a virtual environment.
find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

# The packages of what is not there.
missing() {
    find_python >/dev/null || printf '%s ' python3 python3-venv
    for command_and_package in ps:procps ip:iproute2 timeout:coreutils setsid:util-linux flock:util-linux; do
        command -v "${command_and_package%:*}" >/dev/null || printf '%s ' "${command_and_package#*:}"
    done
    [ -x /usr/sbin/sshd ] || command -v sshd >/dev/null || printf '%s ' openssh-server
}

# Prefix for a command that only root may run; fails where that can't be.
as_root() {
    [ "$(id -u)" = 0 ] || { sudo -n true 2>/dev/null && echo sudo; }
}

install() {
    say "Installing $*..."
    # A list of packages that is old names files which are gone.
    # shellcheck disable=SC2086 # $root is a word or none
    {
        $root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null 2>&1 || {
            $root apt-get update -qq &&
                $root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
        }
    }
}

system() {
    packages=$(missing)
    [ -n "$packages" ] || return 0
    root=$(as_root) ||
        fail "Packages are missing here and only root can install them; run as root: apt-get install $packages"
    command -v apt-get >/dev/null || fail "There is no apt-get here; install what these packages of Debian hold: $packages"
    # shellcheck disable=SC2086 # each is a word
    install $packages || fail "The packages could not be installed: $packages; see above."
    find_python >/dev/null || fail "Python 3.10 or newer is needed, and this system's is $(python3 -V 2>&1 | cut -d' ' -f2)."
}

# Whether a C extension can be compiled for this Python: what it takes is tried.
can_compile() {
    {
        compiler=$("$1" -c 'import os, sysconfig; print(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")')
        headers=$("$1" -c 'import sysconfig; print(sysconfig.get_path("include"))')
        # shellcheck disable=SC2086 # it may have arguments
        echo '#include <Python.h>' | $compiler "-I$headers" -x c -c -o /dev/null -
    } >/dev/null 2>&1
}

compiler() {
    base=$(find_python) || return 0
    if can_compile "$base" || ! command -v apt-get >/dev/null || ! root=$(as_root); then return 0; fi
    install gcc libc6-dev python3-dev || say "No C compiler could be installed; the producer's pure transport will run here."
}

# Changes with what a wheel or packed sources hold, and not with the time at which they were made.
fingerprint() {
    "$1" -c 'import hashlib, sys, tarfile, zipfile
path = sys.argv[1]
if zipfile.is_zipfile(path):
    files = [(one.filename, one.CRC) for one in zipfile.ZipFile(path).infolist()]
else:
    archive = tarfile.open(path)
    files = [(one.name, hashlib.sha256(archive.extractfile(one).read()).hexdigest()) for one in archive if one.isfile()]
print(hashlib.sha256(repr(sorted(files)).encode()).hexdigest())' "$2"
}

make_venv() {
    rm -rf "$venv"
    base=$(find_python) || fail "Python 3.10 or newer with its venv module was not found; run first: provision.sh system"
    "$base" -m venv "$venv" >&2 || fail "$base can't make a virtual environment in $venv; see above."
}

install_package() {
    say "Installing $(basename "$1")[node] into $venv..."
    rm -f "$venv/harness"
    built=$(mktemp -d)
    pip="$venv/bin/python -m pip --quiet --disable-pip-version-check"
    # pip's cache would take sources in a file of the same name for the same sources, and the version tells no harness
    # from another.
    {
        $pip wheel --no-cache-dir --no-deps --wheel-dir "$built" "$1" &&
            for wheel in "$built"/*.whl; do $pip install "${wheel}[node]" && $pip install --no-deps --force-reinstall "$wheel"; done
    } >&2 || {
        rm -rf "$built"
        fail "The Python packages could not be installed; see above. Is the package index reachable?"
    }
    rm -rf "$built"
    echo "$2" >"$venv/harness"
}

harness() {
    [ -f "$1" ] || fail "There is no package $1."
    home=$HOME/.systest
    venv=$home/venv
    # Tests link a node's to the one that they run in, which would be lost under them.
    [ ! -L "$venv" ] || fail "$venv is a link to another environment, which is not for nodes; remove it."
    mkdir -p "$home"
    # Accounts that share their home directory take turns.
    exec 9>"$home/lock"
    flock 9
    # Stays away if anything from here on fails.
    rm -f "$home/ready"
    "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || make_venv
    found=$(fingerprint "$venv/bin/python" "$1")
    # With a compiler that came later, sources become another package.
    if can_compile "$venv/bin/python"; then found="$found compiled"; fi
    [ "$(cat "$venv/harness" 2>/dev/null)" = "$found" ] || install_package "$1" "$found"
    "$venv/bin/python" -m systest.distribution compiler >/dev/null
    "$venv/bin/python" -m systest.distribution ensure >/dev/null
    "$venv/bin/python" -m systest.transport
    # Without the compiled transport a node is looked at again by the next provision: it may have a compiler by then.
    if "$venv/bin/python" -c 'import producer._librdkafka' 2>/dev/null; then
        "$venv/bin/python" -m systest.clusters.harness >"$home/ready"
    fi
}

case "${1:-} $#" in
"system 1") system ;;
"compiler 1") compiler ;;
"harness 2") harness "$2" ;;
"can-compile 2") can_compile "$2" ;;
*) fail "$usage" ;;
esac
