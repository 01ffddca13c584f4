#!/usr/bin/env bash
# Which device the program chooses, and how it loads a back end that is a module, on the fake ones
# of tests/fake_module.c. Prints TAP.
#   tests/device.sh build/release/kizuna build/release/tests
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
program=$(realpath "$1")
modules=$(realpath "$2")
export KIZUNA_DATA_DIR=$root
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
source "$root/tests/check.sh"
python3 "$root/tests/tiny_model.py" copy
ffmpeg -v error -f lavfi -i testsrc2=size=64x48:rate=25 -frames:v 2 -pix_fmt yuv420p -c:v ffv1 in.mkv || exit 1
job=(in.mkv -y -m ./copy.param -s 2 --encoder-preset ultrafast --progress off)

# A program in a folder of its own, with a file as its module.
install() {
  mkdir -p "$1" && cp "$program" "$1/kizuna" && { [[ -z ${2:-} ]] || cp "$2" "$1/kizuna-cuda.so"; }
}
install without
install with "$modules/fake_module.so"
install version "$modules/fake_module_version.so"
install table "$modules/fake_module_table.so"
install other "$modules/libfault.so"
install text "$root/README.md"
kizuna=$work/with/kizuna

# of PROGRAM REFUSES…: the same with another program.
of() {
  local kizuna=$work/$1/kizuna
  shift
  "$@"
}
# runs_on LINE ARGUMENTS…: a run whose device line ends or begins so.
runs_on() {
  local line=$1
  shift
  rm -f out.mkv
  "$kizuna" upscale "${job[@]}" -o out.mkv "$@" 2>run.log || { cat run.log; return 1; }
  grep '^device' run.log
  [[ -s out.mkv && $(grep -c '^device ' run.log) == 1 ]] && grep -qE "^device  $line\$" run.log
}
# says LINE ARGUMENTS…: a line of what the command prints.
says() {
  "$kizuna" "${@:2}" >says.log 2>&1 || { cat says.log; return 1; }
  cat says.log
  grep -qE "^$1\$" says.log
}

# ---- what --device can say ----
for value in gpu "" CPU cuda: cuda:x cuda:-1 "cuda: 1" cuda:1x cuda:12345 auto:1; do
  check "--device '$value'" refuses 2 "--device: '$value' is none of auto, cpu" "${job[@]}" -o x.mkv --device "$value"
done
echo '{"options": {"device": "gpu"}}' >wrong.json
echo '{"options": {"device": "cuda:1"}}' >second.json
check "a preset with a wrong one" refuses 2 "--device: 'gpu'" "${job[@]}" -p ./wrong.json -o x.mkv
bench=(--size 16x16 --frames 1 -m ./copy.param)
tool=bench check "bench with a wrong one" refuses 2 "--device: 'gpu'" "${bench[@]}" --device gpu
tool=plan check "plan with a wrong one" refuses 2 "--device: 'gpu'" "${job[@]}" --device gpu
mkdir watched
tool=watch check "watch with a wrong one" refuses 2 "--device: 'gpu'" watched --output results --device gpu

# ---- without a module ----
cpu='CPU, level [a-z0-9_]+, [0-9]+ threads?'
# The reference, and the fake, take as many as there are threads.
tiles='[0-9]+ tiles? of [0-9]+x48'
check "auto is the CPU, and says why" of without \
  runs_on "$cpu, [a-z0-9]+, 1 tile of 64x48 \(no CUDA: this kizuna was built without it\)"
check "the CPU asked for needs no reason" of without runs_on "$cpu, [a-z0-9]+, 1 tile of 64x48" --device cpu
check "the reference" of without runs_on "CPU, plain C reference, .*$tiles" --device reference
check "CUDA" of without refuses 1 "--device cuda: this kizuna was built without it" "${job[@]}" -o x.mkv --device cuda
check "the version's line" of without says "cuda: this kizuna was built without it" version
elsewhere() {
  cp with/kizuna-cuda.so .
  LD_LIBRARY_PATH=$work of without runs_on "CPU.*built without it\)"
  local got=$?
  rm kizuna-cuda.so
  return "$got"
}
check "no module from the working directory or LD_LIBRARY_PATH" elsewhere

# ---- with one ----
fake="fp16, $tiles"
check "auto is the GPU" runs_on "fake GPU 0, $fake"
check "cuda" runs_on "fake GPU 0, $fake" --device cuda
check "cuda:0" runs_on "fake GPU 0, $fake" --device=cuda:0
check "cuda:1" runs_on "fake GPU 1, $fake" -d cuda:1
check "cuda:1 of a preset" runs_on "fake GPU 1, $fake" -p ./second.json
check "cpu" runs_on "$cpu, .*64x48" --device cpu
check "reference" runs_on "CPU, plain C reference, .*$tiles" --device reference
ffmpeg -v error -i in.mkv -vf crop=16:16 -frames:v 1 -c:v ffv1 16.mkv
chooses() {
  "$kizuna" upscale 16.mkv "${job[@]:1}" -m auto -o out.mkv 2>run.log || { cat run.log; return 1; }
  grep '^model' run.log
  grep -qE "^model +$1\$" run.log
}
check "a GPU gets the large network" chooses 'anime-6b: .* \(auto: on a GPU\)'
KIZUNA_DATA_DIR=$work check "where it is installed" \
  chooses "kizuna-m-clean: .* \(auto: on a GPU; better is anime-6b, which scripts/fetch-models.sh fetches\)"
mkdir link && ln -s ../with/kizuna link/kizuna
check "a program that is a link has its module where it lies" of link runs_on "fake GPU 0, $fake"
check "no such device" refuses 1 "--device cuda:2: there is no CUDA device 2: this machine has 2" \
  "${job[@]}" -o x.mkv --device cuda:2
check "the version's line with one" says "cuda: fake GPU 0" version
check "bench names it" says "copy.param, 16x16, fp16, fake GPU 0" bench "${bench[@]}"
check "bench as JSON names it" says '.*"device":"fake GPU 1",.*' bench "${bench[@]}" --json --device cuda:1
check "the plan names it" says "device +fake GPU 1" plan "${job[@]}" --device cuda:1
# In a file system that only the test sees.
installed() {
  local path folder
  path=$(python3 -c '
import json, sys
option = {o["name"]: o["value"] for o in json.load(open(sys.argv[1]))}
print(f"{option['"'prefix'"']}/{option['"'libdir'"']}/kizuna/kizuna-cuda.so")' "$modules/../meson-info/intro-buildoptions.json")
  folder=${path%/*}
  while [[ ! -d $folder ]]; do folder=${folder%/*}; done
  echo "$path, below $folder"
  unshare -m bash -c "mount -t tmpfs tmpfs '$folder' && mkdir -p '${path%/*}' && cp '$1' '$path' && '$work/$2/kizuna' version" >says.log
  cat says.log
  grep -qx "cuda: $3" says.log
}
if [[ $(id -u) == 0 ]] && unshare -m true 2>/dev/null; then
  check "an installed module" installed "$modules/fake_module.so" without "fake GPU 0"
  check "the one beside the program comes first" installed "$modules/fake_module_version.so" with "fake GPU 0"
fi

# ---- with one that has no device ----
export FAKE_WHY="no NVIDIA driver"
note=' \(no CUDA: no NVIDIA driver\)'
check "auto without a driver is the CPU" runs_on "$cpu, [a-z0-9]+, 1 tile of 64x48$note"
check "cuda without a driver" refuses 1 "--device cuda: no NVIDIA driver" "${job[@]}" -o x.mkv --device cuda
tool=bench check "bench without a driver" refuses 1 "--device cuda:7: no NVIDIA driver" "${bench[@]}" --device cuda:7
tool=plan check "plan without a driver" refuses 1 "--device cuda: no NVIDIA driver" "${job[@]}" --device cuda
check "the version's line without a driver" says "cuda: no NVIDIA driver" version
check "bench says why" says "copy.param, 16x16, [a-z0-9]+, $cpu$note" bench "${bench[@]}"
check "its stages say why" says "device +$cpu$note" bench "${bench[@]}" --stages in.mkv -s 2 --encoder ffv1
check "reuse says why" says "device +$cpu$note" bench "${bench[@]}" --reuse exact -s 2 in.mkv
check "bench as JSON has the device alone" says ".*\"device\":\"$cpu\",.*" bench "${bench[@]}" --json
check "the plan says why" says "device +$cpu$note" plan "${job[@]}"
unset FAKE_WHY

# ---- with one that doesn't fit ----
check "a module of another version" of version refuses 1 \
  "--device cuda: $work/version/kizuna-cuda.so is of kizuna 0.0.1, and this is " "${job[@]}" -o x.mkv --device cuda
check "a module of other sources" of table refuses 1 \
  "--device cuda: $work/table/kizuna-cuda.so was built from other sources than this kizuna" "${job[@]}" -o x.mkv --device cuda
check "a library that is none" of other refuses 1 "$work/other/kizuna-cuda.so isn't a module of kizuna" "${job[@]}" -o x.mkv -d cuda
check "no library at all" of text refuses 1 "--device cuda: kizuna-cuda.so can't be loaded: " "${job[@]}" -o x.mkv -d cuda
for which in version table other text; do
  check "auto with such a one ($which)" of "$which" runs_on "$cpu, .* \(no CUDA: .*kizuna-cuda.so .*\)"
done

# ---- a run that goes on ----
ffmpeg -v error -f lavfi -i testsrc2=s=96x64:r=25:d=5 -f lavfi -i smptebars=s=96x64:r=25:d=6 \
  -f lavfi -i mandelbrot=s=96x64:r=25 -filter_complex "[0]format=yuv420p,setsar=1[a];[1]format=yuv420p,setsar=1,hue=H=t[b];
    [2]trim=duration=5,negate,format=yuv420p,setsar=1[c];[a][b][c]concat=n=3" -c:v libx264 -preset veryfast film.mkv
film=(film.mkv "${job[@]:1}")
# begun PROGRAM OUTPUT: a run that is killed after its first segment.
begun() {
  "$work/$1/kizuna" upscale "${film[@]}" -o "$2" 2>/dev/null &
  local run=$!
  until grep -q ' segment ' ".$2.kizuna/journal"; do
    kill -0 $run || return 1
    sleep 0.01
  done 2>/dev/null
  kill -KILL $run
  wait $run 2>/dev/null
  [[ -e .$2.kizuna/journal ]]
}
# goes_on LINE OUTPUT WHOLE: on the device of that line, to the same bytes as the run of WHOLE.
goes_on() {
  "$kizuna" upscale "${film[@]}" -o "$2" 2>run.log
  cat run.log
  grep -q '^resume  [1-9]' run.log && grep -qE "^device  $1\$" run.log || return 1
  "$work/$3/kizuna" upscale "${film[@]}" -o whole.mkv --quiet && cmp "$2" whole.mkv
}
fake='fp16, [12] tiles? of [0-9]+x64'
check "a run begins on the GPU" begun with gpu.mkv
FAKE_WHY="no NVIDIA driver" check "it doesn't go on where there is none" \
  refuses 2 "engine.backend was cuda, is cpu (no CUDA: no NVIDIA driver); --restart begins anew" "${film[@]}" -o gpu.mkv
FAKE_KIND="another GPU" check "it doesn't go on with one of another kind" \
  refuses 2 "engine.device was fake GPU, is another GPU; --restart begins anew" "${film[@]}" -o gpu.mkv
check "it doesn't go on elsewhere by hand" refuses 2 "--device was auto, is cpu" "${film[@]}" -o gpu.mkv -d cpu
check "it goes on with the GPU" goes_on "fake GPU 0, $fake" gpu.mkv with
check "a run begins on the CPU" begun without cpu.mkv
check "it stays there, even with a GPU" goes_on "$cpu, [a-z0-9]+, [12] tiles? of [0-9]+x64" cpu.mkv without

# ---- the CUDA back end itself, in host memory ----
[[ -e $modules/twin_module.so ]] && install twin "$modules/twin_module.so"
# through_twin OUTPUT ARGUMENTS…: two frames that are the same but for a corner.
through_twin() {
  "$work/twin/kizuna" upscale corner.mkv -y -e ffv1 --progress off -o "$1" "${@:2}" 2>run.log || { cat run.log; return 1; }
}
ffmpeg -v error -f lavfi -i testsrc2=size=48x32:rate=25 -vf "loop=2:1:0,drawbox=w=8:h=8:t=fill:enable='eq(n,1)'" \
  -frames:v 2 -pix_fmt yuv420p -c:v ffv1 corner.mkv
# near DB ARGUMENTS…: as near to the CPU's fp32 at 10 bits.
near() {
  local db
  through_twin cuda.mkv -d cuda "${@:2}" && through_twin cpu.mkv -d cpu "${@:2}" --precision fp32 || return 1
  db=$(ffmpeg -i cuda.mkv -i cpu.mkv -lavfi psnr -f null - 2>&1 | sed -n 's/.*PSNR y:\([0-9inf]*\).*/\1/p')
  echo "PSNR $db dB"
  [[ $db == inf ]] || ((db >= $1))
}
ffmpeg -v error -f lavfi -i testsrc2=size=48x32:rate=25 -frames:v 8 -pix_fmt yuv420p -c:v ffv1 moving.mkv
# overlapped ARGUMENTS…: two pictures under way at a time make the same with reuse and without.
overlapped() {
  local mode
  for mode in off exact; do
    "$work/twin/kizuna" upscale moving.mkv -y -e ffv1 --quiet -d cuda -m ./copy.param --reuse $mode "$@" -o $mode.mkv || return 1
  done
  cmp off.mkv exact.mkv
}
# in_any_order ARGUMENTS…: whatever the device does first.
in_any_order() {
  local order
  for order in 0 2 3; do
    KIZUNA_TWIN_ORDER=$order "$work/twin/kizuna" upscale moving.mkv -y -e ffv1 --quiet -d cuda -m ./copy.param "$@" -o $order.mkv || return 1
  done
  cmp 0.mkv 2.mkv && cmp 0.mkv 3.mkv
}
equal() {
  through_twin off.mkv -d cuda --reuse off "$@" && through_twin exact.mkv -d cuda --reuse exact "$@" && cmp off.mkv exact.mkv
}
ffmpeg -v error -f lavfi -i testsrc2=size=48x32:rate=25 -vf loop=5:1:0 -frames:v 6 -pix_fmt yuv420p -c:v ffv1 still.mkv
# Nothing of its luma is computed after the first frame.
still_chroma() {
  "$work/twin/kizuna" upscale still.mkv -y -e ffv1 --quiet -m ./copy.param -s 2 --reuse near -o "$1" --no-resume || return 1
  ffmpeg -v error -i "$1" -vf extractplanes=v -f framemd5 - | sed '/^#/d; s/.*, //' | sort | uniq -c
  [[ $(ffmpeg -v error -i "$1" -vf extractplanes=v -f framemd5 - | sed '/^#/d; s/.*, //' | sort -u | wc -l) == 1 ]]
}
ffmpeg -v error -f lavfi -i testsrc2=size=320x240:rate=25 -frames:v 1 -pix_fmt yuv420p -c:v ffv1 large.mkv
# starved OUTPUT ARGUMENTS…: with 20 MB, of which somebody takes 12 as soon as they are counted.
starved() {
  KIZUNA_TWIN_MEMORY=20000 KIZUNA_TWIN_TAKEN=12000 "$work/twin/kizuna" upscale large.mkv -y -e ffv1 --progress off -d cuda \
    -m ./copy.param --halo 2 -s 2 -o "$@" 2>run.log
}
smaller_tiles() {
  starved starved.mkv && grep -q '^device .* [1-9][0-9]* tiles of' run.log &&
    "$work/twin/kizuna" upscale large.mkv -y -e ffv1 --quiet -d cuda -m ./copy.param --halo 2 -s 2 -o full.mkv &&
    cmp full.mkv starved.mkv
}
no_room() {
  starved x.mkv --tile 4096
  [[ $? == 1 && $(grep -c 'kizuna: error:' run.log) == 1 && ! -e x.mkv ]] && grep "doesn't fit its memory" run.log
}
# Values between its layers are 200,000 times the picture's.
loud_model() {
  python3 - <<'PYTHON'
import struct
with open("loud.param", "w") as f:
    f.write("7767517\n4 4\nInput in 0 1 data\nConvolution a 1 1 data a 0=16 1=3 4=1 5=1 6=432\n"
            "Convolution b 1 1 a b 0=48 1=3 4=1 5=1 6=6912\nPixelShuffle s 1 1 b output 0=4\n")
with open("loud.bin", "wb") as f:
    for outputs, inputs, centre in (16, 3, 2e5 / 3), (48, 16, 5e-6 / 16):
        kernel = [0.0] * 4 + [centre] + [0.0] * 4
        f.write(struct.pack(f"<I{outputs * inputs * 9}f{outputs}f", 0, *kernel * (outputs * inputs), *[0.0] * outputs))
PYTHON
}
too_large() {
  loud_model
  "$work/twin/kizuna" upscale corner.mkv -y -e ffv1 --progress off -d cuda -m ./loud.param -o loud.mkv 2>run.log
  [[ $? == 1 && $(grep -c 'kizuna: error:' run.log) == 1 && ! -e loud.mkv ]] || { cat run.log; return 1; }
  grep "too large for fp16: choose --precision tf32" run.log
}
if [[ -d twin ]]; then
  check "what is too large for fp16 is said" too_large
  check "and isn't for TF32" near 60 -m ./loud.param --precision tf32
  check "a real network on it" near 60 -m animevideov3 -s 4 --reuse off
  check "in TF32" near 60 -m animevideov3 -s 4 --reuse off --precision tf32
  check "one of our own networks, twice" near 60 -m kizuna-s -s 4 --reuse off
  check "through a canvas" near 60 -m animevideov3 -s 2 --reuse near
  check "reuse changes nothing there" equal -m ./copy.param -s 2
  check "pictures overlap" overlapped -s 2
  check "pictures overlap through a canvas" overlapped -s 3 --no-resume
  check "pictures overlap at the network's scale" overlapped -s 4
  check "pictures overlap in any order" in_any_order -s 4 --reuse off
  check "pictures overlap in any order with reuse" in_any_order -s 3 --reuse near
  check "chroma is there where no luma is computed" still_chroma stood.mkv
  check "short memory makes smaller tiles" smaller_tiles
  check "no memory is told in one line" no_room
  check "the device's memory is told apart" of twin says "memory  [0-9]+ MiB expected: .*; on the device [0-9]+ MiB" \
    upscale corner.mkv -y -e ffv1 -m ./copy.param -s 2 -o told.mkv --progress off
  check "the plan tells it, too" of twin says "memory +[0-9]+ MiB, on the device [0-9]+ MiB" \
    plan corner.mkv -e ffv1 -m ./copy.param -s 2 -o told2.mkv
fi

finish
