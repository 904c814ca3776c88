#!/bin/sh
# Every C file is as clang-format 14 writes it.
set -eu
cd "$(dirname "$0")/../.."
git ls-files '*.c' '*.h' | xargs clang-format-14 --dry-run --Werror
echo "formatted"
