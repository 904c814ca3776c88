#!/bin/sh
# test_daemon.sh SEALPOSTD - a second daemon on the same state fails with words, takes nothing from
# the first and leaves nothing behind (a leak is seen where the build looks for leaks); so does one
# that has no resolver. It needs no port: there is no listener.
set -eu
sealpostd=$1
directory=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$directory"' EXIT

configure() { # configure NAME WORKERS [LINE]
    cat >"$directory/$1.conf" <<EOF
hostname = "mail.example.org"
run_as = ""
state_directory = "$directory/state"
control_socket = "$directory/control"
workers = $2
${3:-}
EOF
}

wait_for() { # wait_for WORDS: in the first daemon's log, ten seconds at most
    tries=0
    until grep -qs -e "$1" "$directory/log"; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || { echo "never logged: $1" >&2; cat "$directory/log" >&2; exit 1; }
        sleep 0.1
    done
}

fails() { # fails NAME WORDS
    status=0
    "$sealpostd" -c "$directory/$1.conf" >"$directory/$1.log" 2>&1 || status=$?
    if [ "$status" != 1 ] || ! grep -q -e "$2" "$directory/$1.log" ||
        grep -q "Sanitizer" "$directory/$1.log"; then
        echo "$1: ended with $status; wanted 1, \"$2\" and no more:" >&2
        cat "$directory/$1.log" >&2
        exit 1
    fi
}

configure first 0
"$sealpostd" -c "$directory/first.conf" >"$directory/log" 2>&1 &
pid=$!
wait_for event=ready
fails first "event=start error="
[ -S "$directory/control" ] || { echo "the second daemon took the first one's socket" >&2; exit 1; }

# What is configured counts for a reload: as it was, and another number.
kill -HUP "$pid"
wait_for event=reloaded
configure first 7
kill -HUP "$pid"
wait_for 'event=reload error=workers'

kill "$pid"
status=0
wait "$pid" || status=$?
pid=
if [ "$status" != 0 ] || grep -q Sanitizer "$directory/log"; then
    echo "the first daemon ended with $status" >&2
    cat "$directory/log" >&2
    exit 1
fi

echo "no trust anchor" >"$directory/none"
configure deaf 2 "dns { trust_anchor = \"$directory/none\" }"
fails deaf event=resolver
