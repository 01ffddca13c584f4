#!/usr/bin/env bash
# The tool shellcheck finds nothing, and Python parses.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

mapfile -t files < <(project_files)
mapfile -t shell < <(grep -lE '^#!.*bash|^# shellcheck shell' "${files[@]}" | grep -Ev '\.(c|h|md|py)$')
mapfile -t python < <(printf '%s\n' "${files[@]}" | grep '\.py$')
shellcheck -S warning -x -P SCRIPTDIR "${shell[@]}"
python3 -c 'import ast, sys; [ast.parse(open(f).read(), f) for f in sys.argv[1:]]' "${python[@]}"
