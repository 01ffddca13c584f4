#!/usr/bin/env bash
# Every header compiles alone, and twice in a row.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root/src"

status=0
while IFS= read -r header; do
  printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
    gcc -x c -std=c11 -D_GNU_SOURCE -I. -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror \
      -Wno-unused-function -fsyntax-only - || { echo "src/$header does not stand alone" && status=1; }
done < <(find . -name '*.h' -printf '%P\n' | LC_ALL=C sort)
exit "$status"
