#!/usr/bin/env bash
# No file over 800 lines, no function over 100, nothing marked as unfinished.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

mapfile -t files < <(project_files | grep -E '\.(c|h|cu|cuh|py|sh)$|^scripts/')
awk '
  function wrong(line, text) { printf "%s:%d: %s\n", FILENAME, line, text; bad = 1 }
  FNR == 1 { begin = 0 }
  FNR == 801 { wrong(FNR, "over 800 lines") }
  /(^|[^A-Za-z])(T[O]DO|F[I]XME|X[X]X)([^A-Za-z]|$)/ { wrong(FNR, "unfinished") }
  /^\{/ { begin = FNR }
  /^\}/ {
    if (begin && FNR - begin > 100) wrong(begin, "a function of " FNR - begin " lines")
    begin = 0
  }
  END { exit bad }' "${files[@]}"
