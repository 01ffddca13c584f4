#!/usr/bin/env bash
# Draws before-after.png anew: drawing.svg at 640x360, compressed by x264, and enlarged by 4 with bicubic
# scaling and with four networks, beside the drawing itself. Needs rsvg-convert and ffmpeg.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export KIZUNA_DATA_DIR=$root
cd "$work"
rsvg-convert -w 640 -h 360 "$here/drawing.svg" -o drawing.png
rsvg-convert -w 2560 -h 1440 "$here/drawing.svg" -o whole.png
ffmpeg -v error -loop 1 -i drawing.png -frames:v 5 -vf scale=out_range=limited:out_color_matrix=bt709 \
  -color_range tv -colorspace bt709 -pix_fmt yuv420p -c:v libx264 -crf 23 drawing.mkv
for model in kizuna-s-clean kizuna-m-clean animevideov3 anime-6b; do
  "$root/build/release/kizuna" upscale drawing.mkv -m "$model" --frames 1 -e ffv1 -o "$model.mkv" --quiet
done
cut=format=yuv444p,crop=640:560:960:560
ffmpeg -v error -y -i drawing.mkv -i kizuna-s-clean.mkv -i kizuna-m-clean.mkv -i whole.png -i animevideov3.mkv \
  -i anime-6b.mkv -filter_complex "
  [0]scale=2560:1440:flags=bicubic,${cut}[a]; [1]${cut}[b]; [2]${cut}[c];
  [3]scale=out_range=limited:out_color_matrix=bt709,${cut}[d]; [4]${cut}[e]; [5]${cut}[f];
  [a][b][c]hstack=3[above]; [d][e][f]hstack=3[below];
  [above][below]vstack,scale=1200:-1:flags=lanczos:in_color_matrix=bt709,split[g][h];
  [g]palettegen=max_colors=255[p]; [h][p]paletteuse=dither=none" \
  -frames:v 1 "$here/before-after.png"
