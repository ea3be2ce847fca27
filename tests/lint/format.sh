#!/bin/sh
# Checks that the C files given lie as .clang-format says. Only with clang-format 14, which that file was made for: others differ in detail.
set -eu
want=14
have=$(clang-format --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p')
if [ "${have:-none}" != "$want" ]; then
    echo "format: skipped, because clang-format here is ${have:-missing} and the check needs $want (Debian 12's)"
    exit 0
fi
clang-format --dry-run -Werror "$@"
echo "format: $# files as they should be"
