#!/bin/sh
# cppcheck over every product file; cppcheck.cfg tells it what sys/queue.h is.
set -eu
cd "$(dirname "$0")/../.."
cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,portability \
    --suppress=missingIncludeSystem --library=posix,gnu --library=tests/lint/cppcheck.cfg \
    -I . -DNODISCARD= mail queue bounce gateway
