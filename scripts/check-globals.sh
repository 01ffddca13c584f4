#!/usr/bin/env bash
# No variable lives longer than a call: two jobs may run in one process.
#   scripts/check-globals.sh [build/release]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

build=${1:-$root/build/release}
# nvcc's objects are the module's own, which exports one name: meson links it so.
mapfile -t objects < <(find "$build" -path "$build/tests" -prune -o -name '*.o' ! -name '*_cu.o' -print)
((${#objects[@]})) || die "no object files in $build"
# .data.rel.ro holds constants with addresses in them: written by the loader, then read-only.
objdump -t "${objects[@]}" | awk '
  /file format/ { file = $1 }
  match($0, /[ \t]O?[ \t]*(\.data|\.bss|\.tdata|\.tbss|\*COM\*)[^ \t]*[ \t]/) {
    section = substr($0, RSTART, RLENGTH)
    if (section ~ /\.data\.rel\.ro/ || $0 ~ / d[ f]*[ \t]+\./) next
    print file " mutable variable " $NF
    bad = 1
  }
  END { exit bad }'
