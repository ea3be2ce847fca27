#!/bin/bash
# Asks Picket itself whether it is ready (the database answers; events are accepted without it, too): exit 0 when /health/ready answers 200. Needs nothing but bash.
set -u
exec 3<>"/dev/tcp/127.0.0.1/${PORT:-8080}" || exit 1
printf 'GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
IFS= read -r -t 4 status <&3 || exit 1
[[ $status == 'HTTP/1.1 200 '* ]] || { echo "$status"; exit 1; }
