#!/usr/bin/env bash
# Every header compiles alone, and twice in a row.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

status=0
while IFS= read -r header; do
  printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
    gcc -x c -std=c11 -D_GNU_SOURCE -I. -Isrc -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror \
      -Wno-unused-function -fsyntax-only - || { echo "$header does not stand alone" && status=1; }
done < <(find src cuda -name '*.h' -print | LC_ALL=C sort)
exit "$status"
