#!/bin/sh
# clang-tidy 14 over every product file, one file a run, two at a time. Needs a build directory of clang's with its
# compile_commands.json. What it finds goes to standard output.
#   tests/lint/tidy.sh BUILD [FILE ...]
set -eu
cd "$(dirname "$0")/../.."
build=$1
shift
[ -f "$build/compile_commands.json" ] || { echo "$build is no build directory" >&2; exit 2; }
# shellcheck disable=SC2046 # our names have no blanks
[ $# -gt 0 ] || set -- $(git ls-files 'mail/*.c' 'queue/*.c' 'bounce/*.c' 'gateway/*.c')
# Standard error only counts the warnings that were switched off.
printf '%s\n' "$@" | xargs -n 1 -P 2 clang-tidy-14 --quiet --warnings-as-errors='*' -p "$build" 2>/dev/null
