#!/usr/bin/env bash
# Encoding by a GPU, where nothing is said of the encoder: the CUDA back end in host memory (cuda/twin) and in the
# place of NVIDIA's driver the one of tests/nvdec, which encodes without loss. Prints TAP.
#   tests/nvenc.sh build/release/kizuna build/release/tests
set -uo pipefail
source "$(dirname "$0")/twin.sh"
driver=$modules/nvdec
[[ -e $driver/libnvidia-encode.so.1 ]] || { echo "1..0 # skip the driver isn't built"; exit 0; }

# film NAME PIXELS [FILTERS [TAGS]]: 13 frames, or $frames.
film() {
  ffmpeg -v error -f lavfi -i "testsrc2=size=48x32:rate=25${3:-}" -frames:v "${frames:-13}" -pix_fmt "$2" -c:v libx264 \
    -x264-params "log=-1${4:-}" "$1.mkv"
}
film film yuv420p || exit 1
film wide yuv444p || exit 1
film half yuv422p || exit 1
ffmpeg -v error -i film.mkv -pix_fmt gray -c:v ffv1 grey.mkv || exit 1
film hdr yuv420p10le "" :transfer=smpte2084:colorprim=bt2020 || exit 1
film sited yuv420p "" :chromaloc=2 || exit 1
ffmpeg -v error -i wide.mkv -c:v ffv1 -chroma_sample_location topleft indifferent.mkv || exit 1
film uneven yuv420p ",select='not(mod(n\\,3))+gt(n\\,20)'" || exit 1
frames=60 film scenes yuv420p ",setpts=N/5/TB,fps=5,negate=enable='gte(n,20)'" || exit 1

job=(-y -m ./copy.param -s 2 --progress off)
# NVENC has to make do with the network's own CUDA context.
export LD_LIBRARY_PATH=$driver PRETEND_NO_CONTEXT=1 PRETEND_NVENC_LOG=$work/encoders.log
# upscaled FILM OUTPUT ARGUMENTS…: on CUDA; encoders.log tells how each of NVENC's encoders was set.
upscaled() {
  rm -f encoders.log
  "$kizuna" upscale "$1.mkv" "${job[@]}" -d cuda -o "$2" "${@:3}" 2>run.log || { cat run.log; return 1; }
}
# says LINE: the run has exactly one line about the encoder, and it is this.
says() {
  cat run.log
  [[ $(grep -c '^encoder' run.log) == 1 ]] && grep -qxF "encoder $1" run.log
}
used() {
  cat encoders.log
  [[ -s encoders.log && $(grep -cvx "p4 mode 1 quality $1 rate 0" encoders.log) == 0 ]]
}
pictures() {
  ffmpeg -v error -i "$1" -map 0:v -f framehash -pix_fmt "$2" -fps_mode passthrough - | grep -v '^#'
}
nvenc='hevc_nvenc: this GPU has NVENC'

# ---- NVENC where nothing is said ----
# equal FILM ENDING PIXELS ARGUMENTS…: NVENC gets the pictures that libx265 gets, with their times.
equal() {
  upscaled "$1" "gpu.$2" "${@:4}" && says "$nvenc" && used 18 || return 1
  ! grep warning run.log && grep -qx "output  gpu.$2: hevc_nvenc crf 18, 96x64 $3" run.log || return 1
  upscaled "$1" "cpu.$2" "${@:4}" -e libx265 --x265-params lossless=1 || return 1
  diff <(pictures "gpu.$2" "$3") <(pictures "cpu.$2" "$3")
}
check "NVENC where nothing is said" equal film mkv yuv420p10le
check "4:4:4" equal wide mkv yuv444p10le
check "4:4:4, whose chroma lies with luma whatever is said" equal indifferent mkv yuv444p10le
check "without segments" equal film mp4 yuv420p10le --no-resume
check "MPEG-TS" equal film ts yuv420p10le --no-resume
check "a variable rate" equal uneven mkv yuv420p10le --no-resume
# Packet n is decoded when picture n - 2 is shown.
decodes_in_time() {
  upscaled "$1" times.mp4 --no-resume || return 1
  ffprobe -v error -show_entries packet=pts,dts -of csv=p=0 times.mp4 >times.csv
  cat times.csv
  python3 -c '
rows = [[int(value) for value in line.split(",")[:2]] for line in open("times.csv")]
shown, decoded = zip(*rows)
assert len(rows) == 13 and list(shown) != sorted(shown)
assert list(decoded[2:]) == sorted(shown)[:-2] and decoded[0] < decoded[1] < decoded[2]'
}
check "packets are decoded before they are shown" decodes_in_time film
check "with a variable rate, too" decodes_in_time uneven
as_asked() {
  upscaled film one.mkv || return 1
  (unset PRETEND_NO_CONTEXT && upscaled film two.mkv -e hevc_nvenc) && used 18 || return 1
  ! grep '^encoder' run.log && cmp one.mkv two.mkv
}
check "it is what -e hevc_nvenc gives, which needs no line" as_asked
quality() {
  upscaled film q.mkv "$@" && says "$nvenc" && used 22.5
}
echo '{"options": {"crf": 22.5}}' >quality.json
check "with another quality" quality -q 22.5
check "or a preset's" quality -p ./quality.json
auto() {
  upscaled film a.mkv -e auto && says "$nvenc"
}
check "--encoder auto is nothing said" auto

# ---- libx265 instead ----
# instead WHY FILM ARGUMENTS…: libx265, and NVENC wasn't even set up.
instead() {
  upscaled "$2" x265.mkv "${@:3}" && says "libx265: $1" && grep '^output  x265.mkv: libx265 ' run.log || return 1
  [[ ! -s encoders.log ]]
}
for told in unsupported none; do
  PRETEND_NVENC=$told check "a GPU without NVENC ($told)" instead "this GPU has no NVENC" film
done
PRETEND_NVENC=memory check "no memory or session left" instead "NVENC opens no session: out of memory" film
PRETEND_NVENC=key check "no session for this client" instead "NVENC opens no session: incompatible client key" film
for told in narrow shallow; do
  PRETEND_NVENC=$told check "a format that it doesn't take ($told)" \
    instead "this GPU's NVENC doesn't take 96x64 yuv420p10le" film
done
PRETEND_NVENC=old check "an old driver" \
  instead "hevc_nvenc: Driver does not support the required nvenc API version. Required: 11.1 Found: 8.0" film
mkdir part && cp "$driver"/libcuda.so.1 "$driver"/libnvcuvid.so.1 part
LD_LIBRARY_PATH=$work/part check "a driver without its NVENC library" \
  instead "hevc_nvenc: Cannot load libnvidia-encode.so.1" film
LD_LIBRARY_PATH='' check "no driver" instead "no NVIDIA driver" film
own='parameters or a speed of its own are set'
check "--x265-params" instead "$own" film --x265-params aq-mode=2
check "--encoder-preset" instead "$own" film --encoder-preset medium
check "a preset with a speed of x265's" instead "$own" film -p fast -m ./copy.param
check "HDR" instead "NVENC doesn't keep HDR's metadata" hdr
check "chroma that lies elsewhere" instead "NVENC doesn't keep where chroma lies" sited
check "4:2:2" instead "hevc_nvenc doesn't take yuv422p10le" half
check "grey" instead "hevc_nvenc doesn't take gray10le" grey
check "12 bits" instead "hevc_nvenc doesn't take yuv420p12le" film --pix-fmt yuv420p12le
as_without() {
  PRETEND_NVENC=none upscaled film one.mkv && upscaled film two.mkv -e libx265 && cmp one.mkv two.mkv
}
check "its file is the one of -e libx265" as_without

# ---- nothing to choose ----
# silent ARGUMENTS…: no line, and no encoder of NVENC's.
silent() {
  rm -f encoders.log
  "$kizuna" upscale film.mkv "${job[@]}" "$@" 2>run.log || { cat run.log; return 1; }
  cat run.log
  ! grep '^encoder' run.log && [[ ! -s encoders.log ]]
}
check "-e libx265 is obeyed" silent -d cuda -o e.mkv -e libx265
check "y4m" silent -d cuda -o e.y4m
check "the CPU has libx265 without a word" silent -d cpu -o e.mkv
no_library() {
  LD_DEBUG=libs silent "$@" && ! grep -q nvidia-encode run.log
}
check "and doesn't look for NVENC" no_library -d cpu -o e.mkv --quiet

# ---- plans and benchmarks ----
plans() {
  "$kizuna" plan film.mkv "${job[@]}" -d cuda >plan.log 2>&1
  cat plan.log
  grep -qx "encoder  $1" plan.log && grep -q "^output   film.4k.mkv: ${1%%:*} .*crf 18, " plan.log
}
check "the plan chooses alike" plans "$nvenc"
PRETEND_NVENC=none check "without NVENC, too" plans "libx265: this GPU has no NVENC"
benches() {
  "$kizuna" bench -m ./copy.param -s 2 --frames 8 --stages film.mkv --device cuda >bench.log 2>&1 && cat bench.log &&
    grep -qx "encoder  $nvenc" bench.log && used 18
}
check "a benchmark, too" benches

# A watched folder's log tells it once.
watches() {
  mkdir -p in && cp film.mkv in && rm -f watch.log jobs.db
  "$kizuna" watch in --output out --settle 0 --store jobs.db -d cuda -m ./copy.param -s 2 2>watch.log &
  local run=$!
  until grep -qE ' (done|failed): ' watch.log; do
    kill -0 $run || return 1
    sleep 0.1
  done
  kill $run
  wait $run
  cat watch.log
  [[ $(grep -c ' encoder: ' watch.log) == 1 ]] && grep -q "^kizuna: job 1 encoder: .*film.mkv: $nvenc$" watch.log
}
check "a watched folder, too" watches

# ---- failures in the middle, and runs that go on ----
upscaled scenes whole.mkv || exit 1
fails_once() {
  rm -f part.mkv
  ! PRETEND_NVENC_FAIL=4600 upscaled scenes part.mkv >failed.log || return 1
  cat failed.log
  [[ $(grep -c '^kizuna: error: ' failed.log) == 1 && ! -e part.mkv ]] &&
    grep -q '^kizuna: error: encoder hevc_nvenc: .*EncodePicture failed!: generic error' failed.log
}
fails() {
  fails_once && upscaled scenes part.mkv && cat run.log &&
    grep -q '^resume  1 segments are ready, 20 frames' run.log && says "$nvenc" && cmp part.mkv whole.mkv
}
check "a failure in mid-film loses nothing" fails
# It was free before the run, and isn't when that begins.
taken() {
  rm -f part.mkv
  ! PRETEND_NVENC=taken upscaled film part.mkv >taken.log || return 1
  cat taken.log
  [[ $(grep -c '^kizuna: error: ' taken.log) == 1 ]] && grep -q \
    '^kizuna: error: encoder hevc_nvenc: .*OpenEncodeSessionEx failed: out of memory' taken.log || return 1
  upscaled film part.mkv && says "$nvenc"
}
check "a session that another one takes is told" taken
gone() {
  fails_once || return 1
  PRETEND_NVENC=memory upscaled scenes part.mkv >gone.log
  cat gone.log
  grep -q "^kizuna: error: part.mkv: an unfinished run of it differs: encoder was hevc_nvenc, is libx265: NVENC opens\
 no session: out of memory; --restart begins anew$" gone.log || return 1
  PRETEND_NVENC=memory upscaled scenes part.mkv --restart && says "libx265: NVENC opens no session: out of memory"
}
check "what NVENC began isn't ended by another" gone
# The power goes off when half of what libx265 makes is written.
killed() {
  local -x LD_PRELOAD=$modules/libfault.so KZ_FAULT_COUNT=$work/written PRETEND_NVENC=none
  upscaled scenes y.mkv || return 1
  ! KZ_FAULT=kill KZ_FAULT_AT=$(($(<written) / 2)) upscaled scenes x.mkv
}
goes_on() {
  killed || return 1
  upscaled scenes x.mkv && grep '^resume  [1-9]' run.log && says "libx265: the unfinished run began with it" || return 1
  cmp x.mkv y.mkv
}
check "a run goes on with libx265, if that began" goes_on

finish
