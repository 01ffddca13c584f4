#!/usr/bin/env bash
# The CUDA engine on this machine's GPU: builds it, compares every op and the whole networks with the
# reference, and measures it beside other engines. One Markdown file tells all: build/gpu-check/report.md.
#   scripts/gpu-check.sh [--twin] [PART…]
# Parts: tests compare identity memory peak wgmma speed stages small tail choice nvdec nvenc cudnn peers sanitize; all
# of them where none is named. Needs gcc, g++, nvcc, python3 and models/weights; what else is missing is a line in the report. For
# nvdec and nvenc build/gpu-check-libav has to be here, which scripts/gpu-check/libav.sh makes elsewhere.
# --twin: on the host, tiny, in the place of a GPU: for testing this script. Exit code 1: a part failed.
# $OUT: a folder that gets report.md and results.tar.gz anew after every part, for where nothing else stays.
# All parts take longer than ten minutes. In calls of ten, each of which builds first where nothing is left of another:
#   tests compare peak wgmma tail | speed stages small identity memory nvdec nvenc | choice cudnn | sanitize | peers
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

twin=0
[[ ${1:-} != --twin ]] || { twin=1 && shift; }
all=(tests compare identity memory peak wgmma speed stages small tail choice nvdec nvenc cudnn peers sanitize)
parts=("${@:-${all[@]}}")
for part in "${parts[@]}"; do
  [[ " ${all[*]} " == *" $part "* ]] || die "no part is called '$part': there are ${all[*]}"
done
work=$root/build/gpu-check
((twin)) && work+=-twin
nvcc=$(PATH=/usr/local/cuda/bin:$PATH command -v nvcc)
results=$work/results
mkdir -p "$results"
source "$root/scripts/gpu-check/build.sh"
carried=$root/build/gpu-check-libav
libav=$carried/libav films=$carried/streams
cd "$root" || exit

models=(animevideov3 anime-6b x4plus)
sizes=(640x360 854x480 1280x720 1920x1080)
odd=(1x1 65x9 333x77) small=96x64 runs=20 rounds=5 tiles=48 peak_seconds=1 loops=40 pictures=16 held=(9 10 16 32)
((twin)) && models=(animevideov3) sizes=(16x8) odd=(65x9) small=24x16 runs=2 rounds=2 tiles=2 peak_seconds=0.05
((twin)) && films=$work/streams loops=2 pictures=4 held=(16)
failed=0
declare -A stems=([animevideov3]=realesr-animevideov3-x4 [anime-6b]=realesrgan-x4plus-anime [x4plus]=realesrgan-x4plus)

# ---- what a part leaves: NAME.log, NAME.jsonl, NAME.part.jsonl; and the report so far ----

# Parts that aren't run now stay in the report, as long as the sources are the same.
forget() {
  local part
  rm -f "$results"/everything.*
  [[ $(cat "$work/digest" 2>/dev/null) == "$(sources_digest)" ]] || rm -f "$results"/*
  for part in "${parts[@]}"; do
    rm -f "$results/$part"*
  done
}

report() {
  python3 scripts/gpu-check/report.py "$results" "$work/report.md" || { failed=1 && say "no report: see $results"; }
  [[ -z ${OUT:-} ]] || hand_out || say "$OUT can't be written"
}

# Whole files at any moment: whoever waits for them may end this script.
hand_out() {
  local new=$OUT/.new
  mkdir -p "$OUT" && cp "$work/report.md" "$new" && mv "$new" "$OUT/report.md" &&
    tar -C "$work" -czf "$new" results && mv "$new" "$OUT/results.tar.gz"
}

# note NAME STATE SECONDS WHY
note() {
  printf '{"kind":"part","name":"%s","state":"%s","seconds":%d,"why":"%s"}\n' "$1" "$2" "$3" "$4" >"$results/$1.part.jsonl"
  say "$(printf '%-8s %4d s  %s%s' "$2" "$3" "$1" "${4:+: $4}")"
  report
}

skip() {
  note "$1" "not run" 0 "$2"
}

# part NAME SECONDS COMMAND…: exit code 3 says that it can't be run here, in its last line.
part() {
  local name=$1 limit=$2 began=$SECONDS status=0
  shift 2
  timeout -k 10 "$limit" "$@" >"$results/$name.jsonl" 2>"$results/$name.log" </dev/null || status=$?
  case $status in
  0) note "$name" ok $((SECONDS - began)) "" ;;
  3) skip "$name" "$(tail -n 1 "$results/$name.log" | tr -d '"\\')" ;;
  124 | 137) failed=1 && note "$name" FAILED $((SECONDS - began)) "not done after $limit s" ;;
  *) failed=1 && note "$name" FAILED $((SECONDS - began)) "exit code $status" ;;
  esac
}

wanted() {
  [[ " ${parts[*]} " == *" $1 "* ]]
}

# ---- parts ----

# What a TAP program prints belongs into its log.
tap() {
  "$@" >&2
}
export -f tap

run_tests() {
  local program
  for program in test_cuda_kernels test_cuda_batch test_cuda test_cuda_overlap test_cuda_precision test_cuda_replay; do
    part "tests-$program" 240 bash -c 'tap "$0"' "$work/$program"
  done
}

# On the processor, all at once, while the GPU has other work. Those that the same sources have made stay.
declare -A references=()
start_references() {
  local model stamp
  stamp="$(cat "$work/digest") $small"
  for model in "${models[@]}"; do
    [[ $(cat "$work/$model.reference.stamp" 2>/dev/null) != "$stamp" ]] || continue
    make_reference "$model" "$stamp" &
    references[$model]=$!
  done
}

make_reference() {
  rm -f "$work/$1.reference.stamp"
  "$work/gpu_check" reference "models/weights/${stems[$1]}" "$small" "$work/$1.reference" 2>"$results/reference-$1.log" &&
    printf '%s\n' "$2" >"$work/$1.reference.stamp"
}

await_reference() {
  [[ -z ${references[$1]:-} ]] || wait "${references[$1]}"
}

run_compare() {
  local model
  for model in "${models[@]}"; do
    await_reference "$model"
    part "compare-$model" 240 "$work/gpu_check" compare "models/weights/${stems[$model]}" "$small" "$work/$model.reference"
    ((twin)) || part "compare-$model-large" 240 "$work/gpu_check" compare "models/weights/${stems[$model]}" 640x360 -
  done
}

# 1280×720 has bands; 8192×4320 has values of more than 2³¹ elements and 2³² bytes.
run_identity() {
  local model stem
  for model in "${models[@]}"; do
    stem=models/weights/${stems[$model]}
    if ((twin)); then
      part "identity-$model" 240 "$work/gpu_check" identity "$stem" fp16 48x8 2 1
    elif [[ $model == x4plus ]]; then
      part "identity-$model" 240 "$work/gpu_check" identity "$stem" fp16 1920x1080 2 1
    else
      part "identity-$model" 240 "$work/gpu_check" identity "$stem" fp16 1280x720 3 2
    fi
  done
  ((twin)) || part identity-8k 240 "$work/gpu_check" identity "models/weights/${stems[animevideov3]}" fp16 8192x4320 2 2
}

run_memory() {
  if ((twin)); then
    part memory 240 "$work/gpu_check" memory "models/weights/${stems[animevideov3]}" 16x8 keep
  else
    part memory 240 "$work/gpu_check" memory "models/weights/${stems[anime-6b]}" 640x360 fill
  fi
}

run_peak() {
  part peak 60 "$work/gpu_check" peak "$peak_seconds"
}

run_speed() {
  local model stem
  for model in "${models[@]}"; do
    stem=models/weights/${stems[$model]}
    part "speed-$model-fp16" 200 "$work/gpu_check" speed "$stem" fp16 "$runs" "${sizes[@]}"
    ((twin)) && continue
    part "speed-$model-bf16" 200 "$work/gpu_check" speed "$stem" bf16 "$runs" "${sizes[@]}"
    part "speed-$model-tf32" 200 "$work/gpu_check" speed "$stem" tf32 "$runs" "${sizes[0]}" "${sizes[-1]}"
    part "speed-$model-fp32" 100 "$work/gpu_check" speed "$stem" fp32 10 "${sizes[0]}"
  done
}

run_stages() {
  local model size
  for model in "${models[@]}"; do
    part "stages-$model" 100 "$work/gpu_check" stages "models/weights/${stems[$model]}" fp16 "$rounds" "${sizes[-1]}" "$tiles"
  done
  ((twin)) && return
  for size in 640x360 854x480; do
    part "stages-anime-6b-$size" 100 "$work/gpu_check" stages "models/weights/${stems[anime-6b]}" fp16 "$rounds" "$size" "$tiles"
  done
}

# Hopper's own products beside the others: layers, at sizes with borders everywhere and at a large one;
# then whole networks with each way whose layers were right, as far as they came.
run_wgmma() {
  local model stem way
  ((twin)) && export KIZUNA_TWIN_HOPPER=1
  part wgmma 200 "$work/gpu_check" wgmma "$runs" "${odd[@]}" "${sizes[-1]}"
  ! grep -q '"state":"not run"' "$results/wgmma.part.jsonl" || return
  for way in one two march; do
    if ! way_is_right "$way"; then
      skip "wgmma-$way" "no layer of it was right, or one was wrong"
      continue
    fi
    for model in "${models[@]}"; do
      stem=models/weights/${stems[$model]}
      await_reference "$model"
      part "wgmma-$way-compare-$model" 240 env KIZUNA_WGMMA=$way "$work/gpu_check" compare "$stem" "$small" "$work/$model.reference"
      part "wgmma-$way-speed-$model" 100 env KIZUNA_WGMMA=$way "$work/gpu_check" speed "$stem" fp16 "$runs" "${sizes[-1]}"
    done
  done
  unset KIZUNA_TWIN_HOPPER
}

way_is_right() {
  local layers
  layers=$(grep "\"way\":\"$1\"" "$results/wgmma.jsonl") && [[ $layers != *'"ok":false'* ]]
}

# One kernel for a whole network against one for each layer.
run_small() {
  local channels
  for channels in 16 32; do
    part "small-$channels" 100 "$work/gpu_check" small "$channels" "$runs" "${sizes[-1]}"
  done
}

# What nvdec and nvenc share is built once, apart from the rest, which goes on without it.
media=untried
have_media() {
  if [[ ! -f $carried/libav/stamp || ! -f $carried/streams/stamp ]]; then
    skip "$1" "build/gpu-check-libav is not here: scripts/gpu-check/libav.sh makes it, where there are packages"
    return 1
  fi
  if [[ $media == untried ]]; then
    part media 300 bash -c 'set -uo pipefail; root=$1 work=$2 twin=$3 nvcc=$4 libav=$5
      source scripts/gpu-check/build.sh && source scripts/gpu-check/media.sh && build_media >&2 &&
        { ((!twin)) || scripts/gpu-check/streams.sh "$work/streams" tiny >&2; }' \
      build "$root" "$work" "$twin" "$nvcc" "$libav"
    media=$(sed -n 's/.*"state":"\([^"]*\)".*/\1/p' "$results/media.part.jsonl")
  fi
  [[ $media == ok ]] || { skip "$1" "it did not build" && return 1; }
}

# film_part NAME SECONDS PART FILM ARGUMENT…: the driver for the twin has to be told of the film.
film_part() {
  local pretended=()
  ((!twin)) || pretended=(LD_LIBRARY_PATH="$work/driver" PRETEND_TRUTH="$films/$4.nv12"
    PRETEND_SIZE="$(sed -n "s/^$4 .* //p" "$films/list")")
  part "$1" "$2" env "${pretended[@]}" "$work/gpu_media" "$3" "$films/$4" "${@:5}"
}

# Where the plainest film can't be decoded nothing can.
run_nvdec() {
  local name what count
  have_media nvdec || return
  while read -r name what _; do
    film_part "nvdec-$name" 60 nvdec "$name" "$what"
    ! grep -q '"state":"not run"' "$results/nvdec-h264.part.jsonl" || return
  done <"$films/list"
  for count in "${held[@]}"; do
    film_part "nvdec-held-$count" 60 surfaces h264-refs "$count"
  done
  for name in h264 hevc10; do
    film_part "nvdec-speed-$name" 60 decoding "$name" "$loops"
  done
}

run_nvenc() {
  have_media nvenc && film_part nvenc 100 nvenc hevc10 "$loops"
}

# The last two layers in one kernel: beside the two, then in a network.
run_tail() {
  local stem=models/weights/${stems[anime-6b]}
  part tail 100 "$work/gpu_check" tail "$runs" "${odd[@]}" "${sizes[-1]}"
  ((twin)) && return
  part tail-compare 240 env KIZUNA_TAIL=1 "$work/gpu_check" compare "$stem" "$small" -
  part tail-speed 100 env KIZUNA_TAIL=1 "$work/gpu_check" speed "$stem" fp16 "$runs" "${sizes[-1]}"
}

# cuDNN may be the system's or one of Python's packages, as may the compiler that it loads.
cudnn_libraries() {
  local libraries
  libraries=$(python3 -c 'import glob, nvidia; print(*(f for p in nvidia.__path__ for f in glob.glob(p + "/*/lib")), sep=":")' \
    2>/dev/null)
  printf '%s' "${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$libraries"
}

run_cudnn() {
  if [[ ! -x $work/gpu_cudnn ]]; then
    skip cudnn "cuDNN's headers are not installed"
    return
  fi
  part cudnn 200 env LD_LIBRARY_PATH="$(cudnn_libraries)" "$work/gpu_cudnn" "${sizes[-1]}" "$runs"
}

# As a run chooses, which knows nothing of this machine.
run_choice() {
  local model=anime-6b size chosen=(640x360 1920x1080)
  ((twin)) && model=${models[0]} chosen=("${sizes[@]}") && export KIZUNA_TWIN_HOPPER=1
  rm -rf "$work/engines"
  for size in "${chosen[@]}"; do
    part "choice-$size" 240 env LD_LIBRARY_PATH="$(cudnn_libraries)" XDG_CACHE_HOME="$work/engines" \
      "$work/gpu_choice" "models/weights/${stems[$model]}" "$pictures" "$size"
  done
  unset KIZUNA_TWIN_HOPPER
}

run_peers() {
  local picture=640x360
  ((twin)) && picture=24x16
  local model
  for model in "${models[@]}"; do
    "$work/gpu_check" upscale "models/weights/${stems[$model]}" fp16 "$picture" "$work/$model.values" 2>/dev/null
    "$work/gpu_check" picture "$picture" "$work/picture"
  done
  part peers 560 python3 scripts/gpu-check/peers.py "$work" "$picture" "$runs" 400 "$(IFS=, && echo "${sizes[*]}")" "${models[@]}"
}

# It sees the kernels of the tests and of a network, at a size that leaves it fast enough.
run_sanitize() {
  local sanitizer tool program
  sanitizer=$(PATH=/usr/local/cuda/bin:$PATH command -v compute-sanitizer)
  if [[ -z $sanitizer ]]; then
    skip sanitize "compute-sanitizer is not installed"
    return
  fi
  for tool in memcheck racecheck initcheck synccheck; do
    for program in test_cuda_kernels test_cuda_batch test_cuda test_cuda_overlap test_cuda_precision test_cuda_replay; do
      part "sanitize-$tool-$program" 150 bash -c 'sanitize "$@"' sanitize "$sanitizer" "$tool" "$work/$program"
    done
    part "sanitize-$tool-network" 150 bash -c 'sanitize "$@"' sanitize "$sanitizer" "$tool" "$work/gpu_check" upscale \
      "models/weights/${stems[animevideov3]}" fp16 48x32 "$work/sanitized"
  done
}

# sanitize SANITIZER TOOL COMMAND…: some machines don't let it see the device. Calls of CUDA's that are refused,
# as where memory is short, are ordinary results to who makes them.
sanitize() {
  local text status=0
  text=$("$1" --tool "$2" --report-api-errors no --error-exitcode 9 --print-limit 10 "${@:3}" 2>&1) || status=$?
  printf '%s\n' "$text" >&2
  [[ $text != *"Device not supported"* ]] || { echo "compute-sanitizer: Device not supported" >&2 && exit 3; }
  return "$status"
}
export -f sanitize

# ---- all of it ----

forget
{
  printf '{"kind":"machine","what":"processor","is":"%s, %s threads"}\n' \
    "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)" "$(nproc)"
  printf '{"kind":"machine","what":"nvcc","is":"%s"}\n' "$("${nvcc:-false}" --version 2>/dev/null | sed -n 's/.*release //p')"
  printf '{"kind":"machine","what":"gpu","is":"%s"}\n' \
    "$(nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,power.limit --format=csv,noheader 2>/dev/null | head -n 1)"
  printf '{"kind":"machine","what":"revision","is":"%s"}\n' "$(git rev-parse --short HEAD 2>/dev/null || echo 'not a clone')"
  printf '{"kind":"machine","what":"twin","is":"%s"}\n' "$([[ $twin == 0 ]] || echo yes)"
} >"$results/machine.jsonl"

can_run=1
if [[ ! -f models/weights/${stems[animevideov3]}.param ]]; then
  skip "everything" "models/weights is empty: scripts/fetch-models.sh fills it" && can_run=0
elif ((!twin)) && [[ -z $nvcc ]]; then
  skip "everything" "nvcc is not installed" && can_run=0
else
  part build 400 bash -c 'set -uo pipefail; root=$1 work=$2 twin=$3 nvcc=$4; source scripts/gpu-check/build.sh; build_all >&2' \
    build "$root" "$work" "$twin" "$nvcc"
  [[ -f $work/digest ]] || can_run=0
fi
if ((can_run)); then
  part device 60 "$work/gpu_check" device
  grep -q '"name"' "$results/device.jsonl" || can_run=0
fi
if ((can_run)); then
  if wanted compare || wanted wgmma; then
    start_references
  fi
  for part in "${all[@]}"; do
    wanted "$part" && "run_$part"
  done
  wait
fi
report
say "$work/report.md"
exit "$failed"
