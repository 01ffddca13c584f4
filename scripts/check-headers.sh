#!/usr/bin/env bash
# Every header compiles alone, and twice in a row.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

# Headers of cuda/cudnn that show cuDNN's own need those to be installed.
skipped=/none/
printf '#include <cudnn_graph.h>\n' | gcc -x c -fsyntax-only - 2>/dev/null || skipped=cuda/cudnn/

status=0
while IFS= read -r header; do
  [[ $header != "$skipped"* ]] || continue
  printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
    gcc -x c -std=c11 -D_GNU_SOURCE -I. -Isrc -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror \
      -Wno-unused-function -fsyntax-only - || { echo "$header does not stand alone" && status=1; }
done < <(find src cuda -name '*.h' -print | LC_ALL=C sort)
exit "$status"
