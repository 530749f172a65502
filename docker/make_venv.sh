#!/usr/bin/env bash
# Make .venv with the packages of constraints.txt, or bring it up to date; from the checkout's root.
#
#   docker/make_venv.sh STAMP
#
# STAMP is written last. A .venv without it is the half-made one of an interrupted set-up: it is made anew, from the
# download caches of uv and pip, so little is fetched twice. METACON_PYTHON names another Python 3.11.
set -euo pipefail

stamp=${1:?usage: make_venv.sh STAMP}
here=$(dirname "$0")
python=.venv/bin/python
say() { printf '[set-up] %s\n' "$*" >&2; }

exec 9<constraints.txt # a lock that lasts as long as any process started here
flock -n 9 || { say "another set-up works on this checkout: waiting for it"; flock 9; }
[ "$stamp" -nt constraints.txt ] && [ "$stamp" -nt "$0" ] && exit 0

if [ -d .venv ] && [ ! -e "$stamp" ]; then
    say ".venv is not whole, or not of this place: making it anew"
    rm -rf .venv
fi
rm -f "$stamp" # from here on .venv is half-made
[ -x "$python" ] || "$here/with_progress.sh" "making .venv" "${METACON_PYTHON:-python3.11}" -m venv .venv
mkdir -p "$(dirname "$stamp")"

if "$here/with_progress.sh" "installing uv" "$python" -m pip install -q -c constraints.txt uv; then
    # uv's cache on another disk than the checkout is fine, only slower
    "$here/with_progress.sh" "installing packages: some 600 MB to fetch, 6 GB on disk" \
        .venv/bin/uv pip install --system-certs --python "$python" --compile-bytecode -r constraints.txt
else
    say "uv cannot be had here: installing by pip, which takes longer"
    "$here/with_progress.sh" "installing packages" "$python" -m pip install -r constraints.txt
fi
touch "$stamp"
