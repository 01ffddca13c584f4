#!/usr/bin/env bash
# Whatever the project's object files export is called kz_…
#   scripts/check-symbols.sh [build/release]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

build=${1:-$root/build/release}
# nvcc's objects are the module's own, which exports one name: meson links it so.
mapfile -t objects < <(find "$build" -path "$build/tests" -prune -o -name '*.o' ! -name '*_cu.o' -print)
((${#objects[@]})) || die "no object files in $build"
nm -A -g --defined-only "${objects[@]}" |
  awk '$NF !~ /^kz_/ && $NF != "main" { print $1 " exports " $NF; bad = 1 } END { exit bad }'
