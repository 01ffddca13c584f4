#!/usr/bin/env bash
# C files as .clang-format has them; every text file with spaces, no blanks at line ends and a last
# newline.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

mapfile -t files < <(project_files)
mapfile -t texts < <(grep -LIZz . /dev/null; printf '%s\0' "${files[@]}" | xargs -0 grep -Il '')
mapfile -t sources < <(printf '%s\n' "${files[@]}" | grep -E '^(src|tests|cuda)/.*\.(c|h|cu|cuh)$')

status=0
clang-format --dry-run -Werror "${sources[@]}" || status=1
grep -nP '\t' "${texts[@]}" | sed 's/$/   <- tab/' && status=1
grep -nP '[ \t]$' "${texts[@]}" | sed 's/$/   <- blank at the end/' && status=1
grep -lP '\r$' "${texts[@]}" | sed 's/$/: carriage returns/' && status=1
for file in "${texts[@]}"; do
  [[ -z $(tail -c 1 "$file") ]] || { echo "$file: no newline at the end" && status=1; }
done
exit "$status"
