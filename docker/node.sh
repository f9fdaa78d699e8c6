#!/bin/sh
# What a node's container runs: sshd, as the container's ordinary user, for the holder of one key. The host key is the
# container's own and goes with it.
set -eu
if [ -z "${SYSTEST_PUBLIC_KEY:-}" ]; then
    echo "A node lets in one key; give it the public half: docker run -e SYSTEST_PUBLIC_KEY=\"\$(cat key.pub)\" ..." >&2
    exit 1
fi
umask 077
mkdir -p "$HOME/.ssh"
echo "$SYSTEST_PUBLIC_KEY" >"$HOME/.ssh/authorized_keys"
[ -e "$HOME/.ssh/host_key" ] || ssh-keygen -q -t ed25519 -N '' -f "$HOME/.ssh/host_key"
exec /usr/sbin/sshd -D -e -f /opt/systest/sshd_config 2>&1
