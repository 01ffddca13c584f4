#!/usr/bin/env bash
# Makes held.webp anew: the first shot of sample/clip.mkv, most of which holds still, through x264 (CRF 28) and
# enlarged by 2 with bicubic scaling, kizuna-m and kizuna-m-clean. Below, what changes from each frame to the next,
# eight times as strong on grey. Needs ffmpeg.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export KIZUNA_DATA_DIR=$root
cd "$work"
ffmpeg -v error -i "$root/sample/clip.mkv" -map v -frames:v 24 -c:v libx264 -crf 28 -pix_fmt yuv420p source.mkv
for model in kizuna-m kizuna-m-clean; do
  "$root/build/release/kizuna" upscale source.mkv -m "$model" -s 2 -e ffv1 -o "$model.mkv" --quiet
done
cut=format=yuv444p,crop=400:320:400:220
# luma alone: chroma is scaled bicubically whatever the network
change="tblend=c0_expr='clip((A-B)*8+128,0,255)':c1_expr=128:c2_expr=128"
ffmpeg -v error -y -i source.mkv -i kizuna-m.mkv -i kizuna-m-clean.mkv -filter_complex "
  [0]scale=1280:720:flags=bicubic,${cut},split[a][x]; [x]${change}[u];
  [1]${cut},split[b][y]; [y]${change}[v]; [2]${cut},split[c][z]; [z]${change}[w];
  [a][b][c]hstack=3[above]; [u][v][w]hstack=3[below]; [above][below]vstack" \
  -c:v libwebp_anim -loop 0 -quality 75 "$here/held.webp"
