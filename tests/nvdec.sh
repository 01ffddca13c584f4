#!/usr/bin/env bash
# Decoding by a GPU, with the CUDA back end in host memory (cuda/twin) and in the place of NVIDIA's
# driver the one of tests/nvdec: what comes out is what software decoding makes. Prints TAP.
#   tests/nvdec.sh build/release/kizuna build/release/tests
set -uo pipefail
source "$(dirname "$0")/twin.sh"

# film NAME PIXELS ENCODER…: 28 frames of 56x40, which no codec's blocks divide, in four groups of pictures; what they
# decode to lies in NAME.nv12.
film() {
  local name=$1 pixels=$2 truth=nv12
  [[ $pixels == *10le ]] && truth=p010le
  ffmpeg -v error -f lavfi -i testsrc2=size=56x40:rate=25 -frames:v 28 -pix_fmt "$pixels" "${@:3}" "$name.mkv" &&
    ffmpeg -v error -i "$name.mkv" -vf scale=in_range=full:out_range=full -f rawvideo -pix_fmt "$truth" \
      -fps_mode passthrough "$name.nv12"
}
film h264 yuv420p -c:v libx264 -x264-params keyint=9:scenecut=0:bframes=3:log=-1 || exit 1
film hevc yuv420p10le -c:v libx265 -x265-params keyint=9:open-gop=0:bframes=3:log-level=none || exit 1
film full yuvj420p -c:v libx264 -x264-params keyint=9:scenecut=0:log=-1 || exit 1
film other yuv444p -c:v libx264 -x264-params log=-1 || exit 1
film deep yuv420p10le -c:v libx264 -x264-params keyint=9:log=-1 || exit 1

# Software decoding keeps a frame back for each thread, and the trial takes as much longer.
cpus=$(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0))[:2], sep=",")')
job=(-y -d cuda -m ./copy.param -s 2 -e ffv1 --progress off)
# upscaled FILM OUTPUT ARGUMENTS…
upscaled() {
  taskset -c "$cpus" "$kizuna" upscale "$1.mkv" "${job[@]}" -o "$2" "${@:3}" 2>run.log || { cat run.log; return 1; }
}
# decoded FILM ARGUMENTS…: by the GPU.
decoded() {
  LD_LIBRARY_PATH=$modules/nvdec PRETEND_TRUTH=$1.nv12 PRETEND_SIZE=56x40 upscaled "$1" gpu.mkv "${@:2}"
}
# alike FILM ARGUMENTS…: gpu.mkv is as software makes it, which is asked once.
alike() {
  local cpu=cpu-$*.mkv
  [[ -e $cpu ]] || upscaled "$1" "$cpu" "${@:2}" || return 1
  cmp gpu.mkv "$cpu"
}
# equal FILM LINE ARGUMENTS…: the same as by software, with that line.
equal() {
  decoded "$1" "${@:3}" || return 1
  grep decode run.log
  [[ $(grep -cE "^decode  $2\$" run.log) == 1 && $(grep -cE 'still (mapped|pinned)' run.log) == 0 ]] && alike "$1" "${@:3}"
}
# differs FILM: what was computed isn't what the host has.
differs() {
  PRETEND_SPOIL=1 decoded "$1" --reuse off --no-resume && ! alike "$1" --reuse off --no-resume
}
gpu='by NVDEC, which gave the same 8 frames as software'
check "H.264" equal h264 "h264 $gpu"
check "HEVC with 10 bits" equal hevc "hevc $gpu"
check "full range" equal full "h264 $gpu"
check "without segments" equal h264 "h264 $gpu" --no-resume
check "two pictures under way" equal h264 "h264 $gpu" --reuse off
check "through a filter" equal h264 "h264 $gpu" --vf hflip
check "a part of the film" equal h264 "h264 $gpu" --start 0.3 --duration 0.7
check "the device's samples are what is computed (8 bits)" differs h264
check "the device's samples are what is computed (10 bits)" differs hevc

# ---- software instead ----
missing() {
  upscaled h264 gpu.mkv && grep "^decode  h264 in software (NVDEC: libav can't load the NVIDIA driver's libraries)$" run.log
}
check "no driver" missing
check "pictures that NVDEC isn't used for" equal other "h264 in software \(NVDEC: not used for h264 with yuv444p\)"
check "H.264 with 10 bits" equal deep "h264 in software \(NVDEC: .*\(libav has no NVDEC for h264 with yuv420p10le\)\)"
PRETEND_LACKS=1 check "a GPU that can't decode it" equal h264 "h264 in software \(NVDEC: .*\)"
for n in 0 3; do
  PRETEND_WRONG=$n check "a wrong frame $n" equal h264 "h264 in software \(NVDEC: it gives other frames than software\)"
done
for n in 0 5; do
  PRETEND_FAIL=$n check "a failure at frame $n" equal h264 "h264 in software \(NVDEC: .*\)"
done
PRETEND_NO_COPY=0 check "copies that fail" equal h264 "h264 in software \(NVDEC: .*\)"
strict() {
  decoded h264 --strict && ! grep '^decode' run.log
}
check "--strict decodes in software" strict

# ---- software goes on ----
taken_over() {
  PRETEND_FAIL=$1 decoded "${@:2}" || return 1
  cat run.log
  [[ $(grep -c 'NVDEC failed: .*: software decodes from here on' run.log) == 1 ]] && alike "${@:2}"
}
for n in 16 19 27; do
  check "a failure at frame $n loses nothing" taken_over "$n" h264
done
taken_copy() {
  PRETEND_NO_COPY=41 taken_over -1 h264
}
check "a copy that fails loses nothing" taken_copy
check "HEVC's, too" taken_over 20 hevc
check "nor without segments" taken_over 20 h264 --no-resume
check "nor through a filter" taken_over 20 h264 --vf hflip

# ---- a run that goes on ----
film scenes yuv420p -vf "setpts=N/5/TB,fps=5,negate=enable='gte(n,20)'" -c:v libx264 -x264-params keyint=10:log=-1
goes_on() {
  LD_LIBRARY_PATH=$modules/nvdec PRETEND_TRUTH=scenes.nv12 PRETEND_SIZE=56x40 taskset -c "$cpus" "$kizuna" upscale scenes.mkv "${job[@]}" \
    -o gpu.mkv 2>first.log &
  local run=$!
  until grep -qs ' segment ' .gpu.mkv.kizuna/journal; do
    kill -0 $run || return 1
    sleep 0.01
  done
  kill -KILL $run
  wait $run 2>/dev/null
  decoded scenes || return 1
  cat first.log run.log
  grep -q ' by NVDEC' first.log && grep -q '^resume  [1-9]' run.log && alike scenes
}
check "a run that goes on" goes_on

# ---- NVENC ----
check "NVENC takes 10 bits, and says what it lacks" refuses 1 "encoder hevc_nvenc: no NVIDIA driver" \
  h264.mkv "${job[@]:0:3}" -m ./copy.param -s 2 --progress off -e hevc_nvenc -o nvenc.mkv
check "and with a quality" refuses 1 "encoder hevc_nvenc: no NVIDIA driver" \
  h264.mkv "${job[@]:0:3}" -m ./copy.param -s 2 --progress off -e hevc_nvenc --crf 22.5 --encoder-preset p6 -o nvenc.mkv
nvenc_line() {
  "$kizuna" upscale h264.mkv -d cuda -m ./copy.param -s 2 --progress off -e hevc_nvenc -o nvenc.mkv 2>run.log
  grep '^output  nvenc.mkv: hevc_nvenc crf 18, 112x80 yuv420p10le' run.log
}
check "its quality is told" nvenc_line

finish
