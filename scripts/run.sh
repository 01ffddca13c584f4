#!/usr/bin/env bash
# Upscales videos, after setting up whatever is missing for it.
#   scripts/run.sh [options] INPUT… [-o OUTPUT]   as kizuna upscale
#   scripts/run.sh                                sample/clip.mkv, to see that it works
# Once the packages are installed it needs no network, but for the weights that --model or --preset ask for.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# model_of ARGUMENT…: the network that kizuna's arguments name; nothing where they don't.
model_of() {
  local model='' preset=''
  while (($#)) && [[ $1 != -- ]]; do
    case $1 in
      -m | -model | --model) model=${2-} ;;
      -model=* | --model=*) model=${1#*=} ;;
      -p | -preset | --preset) preset=${2-} ;;
      -preset=* | --preset=*) preset=${1#*=} ;;
    esac
    shift
  done
  [[ $preset == */* || $preset == *.json ]] || preset=$root/presets/$preset.json
  [[ -n $model || ! -f $preset ]] || model=$(sed -n 's/.*"model" *: *"\([^"]*\)".*/\1/p' "$preset")
  printf '%s\n' "$model"
}

"$root/scripts/setup.sh" run
targets=(kizuna)
[[ ! -e /dev/nvidiactl ]] || targets+=(cuda)
build_release "${targets[@]}"
# Networks of our own have no .param file, and are inside the program.
if grep -qs '"param"' "$root/models/$(model_of "$@").json"; then
  "$root/scripts/fetch-models.sh"
fi
export KIZUNA_DATA_DIR=$root
kizuna=$root/build/release/kizuna

if (($#)); then
  exec "$kizuna" upscale "$@"
fi
mkdir -p "$root/media"
"$kizuna" upscale -y "$root/sample/clip.mkv" -o "$root/media/clip.4k.mkv"
printf 'the result: %s\n' "$root/media/clip.4k.mkv"
