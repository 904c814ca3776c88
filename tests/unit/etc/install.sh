#!/bin/sh
# install.sh CMAKE SOURCE BUILD - "cmake --install" puts everything below the prefix and nothing
# elsewhere; etc/install does the same, and the configuration where the daemon reads it.
set -eu
umask 077
cmake=$1
source=$2
build=$3
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

cat >"$directory/want" <<'EOF'
./bin/sealpostctl
./lib/systemd/system/sealpost.service
./lib/sysusers.d/sealpost.conf
./sbin/sealpostd
./share/bash-completion/completions/sealpostctl
./share/doc/sealpost/sealpost.conf
./share/man/man5/sealpost.conf.5
./share/man/man8/sealpostctl.8
./share/man/man8/sealpostd.8
EOF

check() { # check ROOT PREFIX: all of it and no more below ROOT, as for PREFIX
    (cd "$1" && find . -type f | LC_ALL=C sort) >"$directory/got"
    diff "$directory/want" "$directory/got" >&2
    cmp "$source/etc/sealpost.conf" "$1/share/doc/sealpost/sealpost.conf"
    grep -qx "ExecStart=$2/sbin/sealpostd" "$1/lib/systemd/system/sealpost.service"
    grep -qx "ExecReload=$2/sbin/sealpostd -t" "$1/lib/systemd/system/sealpost.service"
    # All of the unit is there, but for the path.
    sed "s,$2/sbin/sealpostd,/usr/sbin/sealpostd," "$1/lib/systemd/system/sealpost.service" |
        cmp - "$source/etc/systemd/sealpost.service"
    [ -x "$1/sbin/sealpostd" ] && [ -x "$1/bin/sealpostctl" ]
}

"$cmake" --install "$build" --prefix "$directory/prefix" >/dev/null
check "$directory/prefix" "$directory/prefix"

export DESTDIR="$directory/root"
"$cmake" --install "$build" --prefix /usr >/dev/null
check "$directory/root/usr" /usr
[ "$(ls "$directory/root")" = usr ]

mkdir -p "$directory/root/etc/sealpost"
echo "mine" >"$directory/root/etc/sealpost/sealpost.conf"
BUILD=$build "$source/etc/install" >/dev/null
check "$directory/root/usr/local" /usr/local
[ "$(cat "$directory/root/etc/sealpost/sealpost.conf")" = mine ]
rm "$directory/root/etc/sealpost/sealpost.conf"
BUILD=$build PREFIX=/opt "$source/etc/install" >/dev/null
check "$directory/root/opt" /opt
[ -z "$(find "$directory/root/opt" -type d ! -perm 755)" ]
cmp "$source/etc/sealpost.conf" "$directory/root/etc/sealpost/sealpost.conf"
