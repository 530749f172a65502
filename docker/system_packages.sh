#!/usr/bin/env bash
# Look for what has to come from the system: Python 3.11, Java 17 or newer, g++, cmake, make, libgomp.
#
# What is missing is installed where this runs as root with apt; elsewhere it is named, with the command that installs
# it, and the exit status is 2. METACON_PYTHON names another Python 3.11; JAVA_HOME another Java.
set -euo pipefail

here=$(dirname "$0")
python=${METACON_PYTHON:-python3.11}
say() { printf '[set-up] %s\n' "$*" >&2; }

java_version() { # 17 of `openjdk version "17.0.15"`, 8 of "1.8.0_402"; nothing where there is no Java
    "${JAVA_HOME:+$JAVA_HOME/bin/}java" -version 2>&1 | sed -n 's/.*version "\(1\.\)\{0,1\}\([0-9]*\).*/\2/p' | head -n 1
}

has_openmp() { # lightgbm needs GNU's OpenMP library
    { PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null || true; } | grep -q 'libgomp\.so\.1'
}

find_missing() { # what is missing, into `missing` for people and `packages` for apt
    missing=() packages=()
    if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        missing+=("Python 3.11") packages+=(python3.11 python3.11-venv python3.11-dev)
    else
        "$python" -c 'import ensurepip, venv' 2>/dev/null || { missing+=("Python's venv"); packages+=(python3.11-venv); }
        "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
            { missing+=("Python's headers"); packages+=(python3.11-dev); }
    fi
    local version
    version=$(java_version || true)
    if [ "${version:-0}" -lt 17 ]; then
        missing+=("Java 17 or newer${version:+ (this is $version)}") packages+=(openjdk-17-jre-headless)
    fi
    local tool
    for tool in g++ cmake make; do
        command -v "$tool" >/dev/null || { missing+=("$tool"); packages+=("$tool"); }
    done
    has_openmp || { missing+=("libgomp"); packages+=(libgomp1); }
}

join() { local IFS=,; echo "$*" | sed 's/,/, /g'; }

find_missing
[ ${#missing[@]} = 0 ] && exit 0
say "missing: $(join "${missing[@]}")"
if [ -n "${JAVA_HOME:-}" ] && [ "$(java_version || true)" != "$(JAVA_HOME='' java_version || true)" ]; then
    say "JAVA_HOME is $JAVA_HOME; set it to a Java 17, or unset it"
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    "$here/with_progress.sh" "reading apt's package lists" apt-get update -qq
    "$here/with_progress.sh" "installing ${packages[*]}" \
        apt-get install -y -qq --no-install-recommends "${packages[@]}" || true
    find_missing
    [ ${#missing[@]} = 0 ] && exit 0
    say "still missing: $(join "${missing[@]}")"
fi
say "install with: sudo apt-get update && sudo apt-get install -y ${packages[*]}"
say "(on a system without apt, the packages of the same purpose; then run make again)"
exit 2
