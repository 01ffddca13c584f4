#!/usr/bin/env bash
# Draws before-after.png anew: drawing.svg at 640x360, compressed by x264, and enlarged by 4 with
# bicubic scaling, animevideov3 and anime-6b. Needs rsvg-convert and ffmpeg.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export KIZUNA_DATA_DIR=$root
cd "$work"
rsvg-convert -w 640 -h 360 "$here/drawing.svg" -o drawing.png
ffmpeg -v error -loop 1 -i drawing.png -frames:v 5 -vf scale=out_range=limited:out_color_matrix=bt709 \
  -color_range tv -colorspace bt709 -pix_fmt yuv420p -c:v libx264 -crf 23 drawing.mkv
for model in animevideov3 anime-6b; do
  "$root/build/release/kizuna" upscale drawing.mkv -m "$model" --frames 1 -e ffv1 -o "$model.mkv" --quiet
done
cut=format=yuv444p,crop=640:560:960:560
ffmpeg -v error -y -i drawing.mkv -i animevideov3.mkv -i anime-6b.mkv -filter_complex "
  [0]scale=2560:1440:flags=bicubic,${cut}[a]; [1]${cut}[b]; [2]${cut}[c];
  [a][b][c]hstack=3,scale=1200:-1:flags=lanczos:in_color_matrix=bt709,split[d][e];
  [d]palettegen=max_colors=255[p]; [e][p]paletteuse=dither=none" \
  -frames:v 1 "$here/before-after.png"
