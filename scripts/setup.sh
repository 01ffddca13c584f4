#!/usr/bin/env bash
# Installs what building and running (run), testing (test) or measuring (compare) needs.
#   scripts/setup.sh run|test|compare
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

packages=(
  gcc libc6-dev meson ninja-build pkg-config
  libavformat-dev libavcodec-dev libavfilter-dev libavutil-dev libdnnl-dev libcjson-dev nettle-dev
  libsqlite3-dev
)
case ${1:-run} in
  run) ;;
  test) packages+=(g++ ffmpeg mkvtoolnix python3 git clang clang-format shellcheck valgrind libc6-dbg
    libffmpeg-nvenc-dev libx265-dev) ;;
  compare) packages+=(ffmpeg python3-venv ca-certificates) ;;
  *) die "'$1' is none of run, test, compare" ;;
esac
need_packages "${packages[@]}"
