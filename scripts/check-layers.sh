#!/usr/bin/env bash
# A folder of src/ is a layer, and cuda/ is one: it includes itself and those below it, and a library is seen by one
# layer only.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

{ find src -name '*.[ch]' -print; find cuda -type f -print | grep -E '\.(c|h|cu|cuh|cpp|hpp)$'; } | LC_ALL=C sort | xargs awk '
  BEGIN {
    below["base"] = " "
    below["pixel"] = " base "
    below["model"] = " base pixel "
    below["backend"] = " base pixel model "
    below["cuda"] = " base pixel model backend "
    below["upscale"] = " base pixel model backend "
    below["media"] = " base pixel "
    below["pipeline"] = " base pixel model backend upscale media "
    below["job"] = below["pipeline"] "pipeline "
    below["cmd"] = below["job"] "job "
    only["libav"] = only["libsw"] = " media "
    only["dnnl"] = only["oneapi"] = " backend "
    only["cjson"] = " base model job cmd "
    only["cud"] = " cuda "
    only["nettle"] = " base "
    only["sqlite3"] = " job "
  }
  function wrong(text) { printf "%s:%d: %s\n", FILENAME, FNR, text; bad = 1 }
  FNR == 1 {
    split(FILENAME, part, "/")
    layer = part[1] == "cuda" ? "cuda" : part[2]
    if (!(layer in below)) wrong("no layer is called " layer)
  }
  /^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, quoted, "\"")
    if (split(quoted[2], part, "/") < 2)
      wrong("\"" quoted[2] "\" does not name its folder")
    else if (part[1] != layer && !index(below[layer], " " part[1] " "))
      wrong(layer " may not include " part[1])
  }
  /^[ \t]*#[ \t]*include[ \t]*</ {
    split($0, angled, /[<>]/)
    for (library in only)
      if (index(angled[2], library) == 1 && !index(only[library], " " layer " "))
        wrong(layer " may not see " angled[2])
  }
  END { exit bad }'
