#!/usr/bin/env bash
# Upscales videos, after setting up whatever is missing for it.
#   scripts/run.sh [options] INPUT… [-o OUTPUT]   as kizuna upscale
#   scripts/run.sh                                a short clip, to see that it works
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$root/scripts/setup.sh" run
targets=(kizuna)
[[ ! -e /dev/nvidiactl ]] || targets+=(cuda)
build_release "${targets[@]}"
"$root/scripts/fetch-models.sh"
export KIZUNA_DATA_DIR=$root
kizuna=$root/build/release/kizuna

if (($#)); then
  exec "$kizuna" upscale "$@"
fi
"$root/scripts/fetch-clip.sh" --sample
"$kizuna" upscale -y "$root/media/sample.mkv" -o "$root/media/sample.4k.mkv"
printf 'the result: %s\n' "$root/media/sample.4k.mkv"
