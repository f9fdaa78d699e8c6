#!/bin/sh
# Gives a node what system tests need there: one script for every kind of node, and quick where all is there already.
#
#   provision.sh system           Debian or Ubuntu: installs system packages; as root, or by sudo if that asks nothing
#   provision.sh harness WHEEL    as the user that tests run as: installs WHEEL[node] into ~/.systest/venv, and
#                                 fetches Kafka, so that a run needs no network
#
# On failure the last line on stderr says in one sentence what to do.
set -eu

usage="usage: provision.sh system | harness WHEEL"

say() { echo "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# The first Python that is new enough, and can make a virtual environment.
find_python() {
    for name in python3 python3.13 python3.12 python3.11 python3.10; do
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

system() {
    packages=$(missing)
    [ -n "$packages" ] || return 0
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif sudo -n true 2>/dev/null; then
        as_root=sudo
    else
        fail "Packages are missing here and only root can install them; run as root: apt-get install $packages"
    fi
    command -v apt-get >/dev/null || fail "There is no apt-get here; install what these packages of Debian hold: $packages"
    say "Installing $packages..."
    # A list of packages that is old names files which are gone.
    # shellcheck disable=SC2086 # each is a word
    install="$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends"
    # shellcheck disable=SC2086
    $install $packages >/dev/null 2>&1 || {
        $as_root apt-get update -qq && $install $packages >/dev/null
    } || fail "The packages could not be installed: $packages; see above."
    find_python >/dev/null || fail "Python 3.10 or newer is needed, and this system's is $(python3 -V 2>&1 | cut -d' ' -f2)."
}

# Changes with the content of a wheel, and not with the time at which it was made.
fingerprint() {
    "$1" -c 'import hashlib, sys, zipfile
files = sorted((one.filename, one.CRC) for one in zipfile.ZipFile(sys.argv[1]).infolist())
print(hashlib.sha256(repr(files).encode()).hexdigest())' "$2"
}

make_venv() {
    rm -rf "$venv"
    base=$(find_python) || fail "Python 3.10 or newer with its venv module was not found; run first: provision.sh system"
    "$base" -m venv "$venv" >&2 || fail "$base can't make a virtual environment in $venv; see above."
}

install_wheel() {
    say "Installing $(basename "$1")[node] into $venv..."
    rm -f "$venv/harness"
    pip="$venv/bin/python -m pip install --quiet --disable-pip-version-check"
    # The version alone does not tell one harness from another.
    { $pip "$1[node]" && $pip --no-deps --force-reinstall "$1"; } >&2 ||
        fail "The Python packages could not be installed; see above. Is the package index reachable?"
    echo "$2" >"$venv/harness"
}

harness() {
    [ -f "$1" ] || fail "There is no wheel $1."
    home=$HOME/.systest
    venv=$home/venv
    mkdir -p "$home"
    # Accounts that share their home directory take turns.
    exec 9>"$home/lock"
    flock 9
    # Stays away if anything from here on fails.
    rm -f "$home/ready"
    "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || make_venv
    found=$(fingerprint "$venv/bin/python" "$1")
    [ "$(cat "$venv/harness" 2>/dev/null)" = "$found" ] || install_wheel "$1" "$found"
    "$venv/bin/python" -m systest.distribution compiler >/dev/null
    "$venv/bin/python" -m systest.distribution ensure >/dev/null
    "$venv/bin/python" -m systest.clusters.harness >"$home/ready"
}

case "${1:-} $#" in
"system 1") system ;;
"harness 2") harness "$2" ;;
*) fail "$usage" ;;
esac
