#!/bin/sh
# sample.sh SEALPOSTD SAMPLE - the daemon accepts the sample as it stands, given a certificate, and
# with everything in it that is commented out. Without the certificate it names file, line and key.
set -eu
sealpostd=$1
sample=$2
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=mail.example.org \
    -keyout "$directory/key.pem" -out "$directory/fullchain.pem" 2>/dev/null
sed "s,/etc/sealpost/tls,$directory," "$sample" >"$directory/plain.conf"
"$sealpostd" -t -c "$directory/plain.conf"

# A "#" directly before a word, a brace or deeper indentation hides configuration; before a blank and
# a word it begins a sentence.
sed -E 's/^( *)#([a-z_]+ |\}|$)/\1\2/; s/^#(    +)#?([a-z_]+ += )/\1\2/' "$directory/plain.conf" >"$directory/all.conf"
"$sealpostd" -t -c "$directory/all.conf"
grep -q '^route "example.org"' "$directory/all.conf"

sed "s,/etc/sealpost/tls,$directory/none," "$sample" >"$directory/without.conf"
if "$sealpostd" -t -c "$directory/without.conf" 2>"$directory/error"; then
    echo "accepted without its certificate" >&2
    exit 1
fi
grep -qE "^$directory/without.conf:[0-9]+: tls: certificate" "$directory/error"
