#!/usr/bin/env bash
# Build the Horovod wheel once and keep it outside the checkout.
#
#   docker/build_horovod_wheel.sh PYTHON [CACHE_DIR]
#
# PYTHON      a Python with torch, cffi, cloudpickle, psutil, pyyaml, packaging, wheel installed
# CACHE_DIR   where wheels are kept (default: $METACON_CACHE or ~/.cache/metacon)
# HOROVOD_GPU=1 in the environment builds the NCCL variant (needs the CUDA toolkit and NCCL).
#
# Prints progress on stderr and, as its only line on stdout, the path of the wheel. The wheel is keyed by
# Horovod, Python, torch, variant and architecture. The build happens in a temporary folder and the wheel is
# moved into place at the end, so an interrupted build leaves nothing half written.
set -euo pipefail

HOROVOD_VERSION=0.28.1
python=$(command -v "${1:?usage: build_horovod_wheel.sh PYTHON [CACHE_DIR]}")
cache=${2:-${METACON_CACHE:-$HOME/.cache/metacon}}
variant=cpu
[ "${HOROVOD_GPU:-0}" = 1 ] && variant=nccl

say() { printf '[horovod] %s\n' "$*" >&2; }

key=$("$python" - "$HOROVOD_VERSION" "$variant" <<'PY'
import platform, sys
import torch
version, variant = sys.argv[1:]
print(f"horovod-{version}-py{sys.version_info.major}{sys.version_info.minor}-torch{torch.__version__}-{variant}-{platform.machine()}")
PY
)
target="$cache/wheels/$key"
mkdir -p "$target"

exec 9>"$target/.lock"
flock 9 # two clones setting up at once build it once

rm -rf "$target"/build.* # of a build that was killed
found=$(find "$target" -maxdepth 1 -name '*.whl' | head -n 1)
if [ -n "$found" ]; then
    say "reusing $found"
    echo "$found"
    exit 0
fi

work=$(mktemp -d "$target/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
say "building $key: 3 to 5 minutes, once for this machine"

"$python" -m pip download -q --no-deps --no-build-isolation --no-binary horovod \
    -d "$work" "horovod==$HOROVOD_VERSION" >&2
tar -xzf "$work/horovod-$HOROVOD_VERSION.tar.gz" -C "$work"
source="$work/horovod-$HOROVOD_VERSION"
# torch >= 2.1 needs C++17 and its headers use C++20; Horovod asks for C++14.
sed -i 's/CMAKE_CXX_STANDARD 14/CMAKE_CXX_STANDARD 20/' "$source/CMakeLists.txt" "$source/horovod/torch/CMakeLists.txt"
# Horovod takes its own folder for a regular expression: a "+" in it (torch2.12.1+cu130) puts the library elsewhere.
sed -i 's|string(REGEX REPLACE "${PROJECT_SOURCE_DIR}(/)?" ""|string(REPLACE "${PROJECT_SOURCE_DIR}/" ""|' "$source/cmake/Utilities.cmake"

export PATH="$(dirname "$python"):$PATH"
export HOROVOD_WITH_PYTORCH=1 HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_MXNET=1
export HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1
if [ "$variant" = nccl ]; then
    export HOROVOD_GPU_OPERATIONS=NCCL
else
    export HOROVOD_CPU_OPERATIONS=GLOO
fi
export MAKEFLAGS=${MAKEFLAGS:--j$(nproc)}

started=$SECONDS
"$(dirname "$0")/with_progress.sh" "building Horovod" \
    "$python" -m pip wheel --no-deps --no-build-isolation -w "$work/out" "$source" >&2 || {
    say "the build failed: see above. g++, cmake and make are needed."
    exit 1
}
built=$(find "$work/out" -name '*.whl')
mv "$built" "$target/"
say "built in $((SECONDS - started)) s"
echo "$target/$(basename "$built")"
