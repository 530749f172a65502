#!/usr/bin/env bash
# Run a command; while it works, say so every 20 seconds, so that no step of set-up is silent.
#
#   docker/with_progress.sh "what is going on" COMMAND…
set -euo pipefail

what=$1
shift
say() { printf '[set-up] %s\n' "$*" >&2; }

say "$what"
set -m # the command gets a process group of its own, so that an interrupt ends all of it
"$@" </dev/null &
child=$!
set +m
trap 'kill -- "-$child" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM
started=$SECONDS
while kill -0 "$child" 2>/dev/null; do
    sleep 1
    waited=$((SECONDS - started))
    if [ $((waited % 20)) = 0 ] && [ "$waited" -gt 0 ]; then say "still $what, $waited s"; fi
done
wait "$child"
