#!/usr/bin/env bash
# Short films out of sample/clip.mkv on which gpu-check.sh tries a GPU's decoder: NAME.mkv, and in NAME.md5 each
# picture's md5 as software decodes it. FOLDER/list has a line for each: its name, and whether NVDEC must give the
# same pictures, may also refuse them (either), or must not be asked (refused).
#   scripts/gpu-check/streams.sh FOLDER [SIZE]    SIZE of the two large ones: 1920x1080
# Needs ffmpeg with libx264 and libx265.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
(($# == 1)) || [[ $# == 2 && $2 == tiny ]] || die "called as: streams.sh FOLDER [tiny]"

# NVDEC takes HEVC from 144x144 on.
folder=$1 tiny=$(($# - 1)) large=1920x1080 small=432x240 odd=434x242 least=64x64
((!tiny)) || large=96x64 small=72x40 odd=74x42 least=32x32
mkdir -p "$folder"
rm -f "$folder"/*.{mkv,md5,nv12} "$folder/list"

# stream NAME WHAT SIZE PIXELS ENCODER [PARAMETERS]: 24 pictures with a cut among them. Noise, so that there is
# something to code in flat areas.
stream() {
  local name=$1 what=$2 size=$3 pixels=$4 encoder=$5
  local quiet=log=-1 film=$folder/$1.mkv
  [[ $encoder != libx265 ]] || quiet="log-level=none"
  ffmpeg -nostdin -v error -i "$root/sample/clip.mkv" -an -pix_fmt "$pixels" -c:v "$encoder" -crf 24 \
    -vf "trim=start_frame=16:end_frame=40,setpts=PTS-STARTPTS,scale=$size:flags=bicubic,noise=alls=4:allf=t" \
    "-${encoder#lib}-params" "$quiet${6:+:$6}" "$film" || die "$name could not be encoded"
  ffmpeg -nostdin -v error -i "$film" -map 0:v -fps_mode passthrough -f framemd5 - |
    sed '/^#/d; s/.* //' >"$folder/$name.md5" || die "$name could not be decoded"
  size=$(ffprobe -v error -select_streams v -show_entries stream=width,height -of csv=p=0:s=x "$film")
  echo "$name $what $size" >>"$folder/list"
  ((!tiny)) || ffmpeg -nostdin -v error -i "$film" -vf scale=in_range=full:out_range=full -f rawvideo \
    -pix_fmt "$([[ $pixels == *10le ]] && echo p010le || echo nv12)" -fps_mode passthrough "$folder/$name.nv12"
}

stream h264 same "$large" yuv420p libx264 keyint=12
stream hevc10 same "$large" yuv420p10le libx265 keyint=12
stream h264-refs same "$small" yuv420p libx264 ref=16:bframes=8
stream h264-crop same "$small" yuv420p libx264 keyint=12:crop-rect=0,0,12,10
stream hevc-odd same "$odd" yuv420p libx265 keyint=12
stream h264-fields either "$small" yuv420p libx264 tff=1
stream h264-10 either "$small" yuv420p10le libx264
stream hevc-small either "$least" yuv420p libx265
stream h264-cut refused "$small" yuv420p libx264 crop-rect=8,4,0,0
stream h264-422 refused "$small" yuv422p libx264
