#!/usr/bin/env bash
# What takes longer than scripts/test.sh may: the real networks on the reference, whole frames against
# other engines, memory over 2,000 frames, every allocation failing, a hundred interrupted runs, the reader
# fuzzed by the million. Run scripts/test.sh first. Last line: passed, failed, skipped.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$root/scripts/tap.sh"
trap 'tap_end $?' EXIT
export KIZUNA_DATA_DIR=$root TAP_TIMEOUT=3600
kizuna=$root/build/release/kizuna

fuzz() {
  local corpus=$root/build/fuzz
  mkdir -p "$corpus/seeds"
  python3 "$root/tests/tiny_model.py" "$corpus/tiny"
  { cat "$corpus/tiny.param"; printf '\0'; cat "$corpus/tiny.bin"; } >"$corpus/seeds/tiny"
  { head -20 "$root/models/weights/realesr-animevideov3-x4.param"; printf '\0'; } >"$corpus/seeds/real"
  clang -std=gnu11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -I"$root/src" \
    "$root"/tests/fuzz_ncnn.c "$root"/src/base/{mem,log,reader}.c "$root"/src/model/{graph,ncnn,ncnn_param,number}.c \
    "$root"/src/model/rewrite*.c -lm -o "$corpus/fuzz_ncnn"
  "$corpus/fuzz_ncnn" -runs="${FUZZ_RUNS:-1000000}" -max_len=8192 -seed=1 -rss_limit_mb=4096 "$corpus/seeds"
}

fuzz_net() {
  local corpus=$root/build/fuzz/net
  mkdir -p "$corpus"
  python3 "$root/tests/tiny_model.py" "$corpus/../tiny"
  cp "$corpus/../tiny.safetensors" "$corpus"
  clang -std=gnu11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -I"$root/src" \
    "$root"/tests/fuzz_luma_net.c "$root"/src/base/{mem,log,reader}.c \
    "$root"/src/model/{graph,luma_net,number,safetensors}.c "$root"/src/model/rewrite*.c -lcjson -lm \
    -o "$root/build/fuzz/fuzz_luma_net"
  "$root/build/fuzz/fuzz_luma_net" -runs="${FUZZ_RUNS:-1000000}" -max_len=4096 -seed=1 -rss_limit_mb=4096 "$corpus"
}

fuzz_resume() {
  local corpus=$root/build/fuzz/resume
  mkdir -p "$corpus"
  python3 "$root/tests/resume/seed.py" "$kizuna" "$corpus"
  clang -std=gnu11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -I"$root/src" "$root/tests/fuzz_resume.c" \
    "$root"/src/base/{digest,disk,log,mem,reader}.c "$root"/src/media/{frame,fingerprint,format,manifest,packet,payload}.c \
    "$root"/src/media/{check,segment,spool}.c "$root"/src/pipeline/journal.c \
    -lavformat -lavcodec -lavutil -lnettle -lm -o "$root/build/fuzz/fuzz_resume"
  "$root/build/fuzz/fuzz_resume" -runs="${FUZZ_RUNS:-200000}" -max_len=65536 -seed=1 -rss_limit_mb=4096 "$corpus"
}

# The real networks in plain C and on the CPU, one small picture.
reference() {
  local model=$1 work
  work=$(mktemp -d)
  "$kizuna" bench -m "$model" --size 32x24 --frames 1 -d reference --dump "$work/a" >/dev/null
  "$kizuna" bench -m "$model" --size 32x24 --frames 1 --precision fp32 --dump "$work/b" >/dev/null
  python3 - "$work" <<'P'
import array, sys
a, b = array.array('f'), array.array('f')
a.frombytes(open(sys.argv[1] + '/a', 'rb').read())
b.frombytes(open(sys.argv[1] + '/b', 'rb').read())
worst = max(abs(x - y) for x, y in zip(a, b))
print('worst', worst)
assert worst <= 1e-4
P
  rm -rf "$work"
}

interrupted() {
  local work i pid
  work=$(mktemp -d)
  for ((i = 0; i < ${KILLS:-100}; i++)); do
    "$kizuna" upscale "$root/sample/clip.mkv" -m animevideov3 -s 2 --encoder-preset fast -o "$work/out.mkv" --no-resume --progress off \
      2>"$work/log" &
    pid=$!
    sleep "$((RANDOM % 3)).$((RANDOM % 10))"
    kill -TERM $pid
    local code=0
    wait $pid || code=$?
    # A signal before kizuna waits for signals ends it as any program.
    [[ $code == 255 || $code == 143 ]] || { cat "$work/log"; return 1; }
    [[ $(ls -A "$work") == log ]] || { ls -A "$work"; return 1; }
  done
  rm -rf "$work"
}

peak() {
  "$kizuna" upscale "$1/long.mkv" -y -m "$1/copy.param" --frames "$2" --encoder-preset ultrafast -o "$1/out.mkv" \
    --progress off 2>&1 | tee /dev/stderr | sed -n 's/^memory *\([0-9]*\) MiB at most, \([0-9]*\) .*/\1 \2/p'
}

# 200 and 2,000 frames within 5 %, and within 10 % of what was said before.
memory() {
  local work short long expected
  work=$(mktemp -d)
  python3 "$root/tests/tiny_model.py" "$work/copy"
  ffmpeg -v error -stream_loop 20 -i "$root/media/bigbuckbunny.mp4" -vf scale=320:180 -frames:v 2000 -c:v libx264 \
    -preset ultrafast -c:a copy "$work/long.mkv" </dev/null
  read -r short expected < <(peak "$work" 200)
  read -r long expected < <(peak "$work" 2000)
  rm -rf "$work"
  echo "200 frames: $short MiB, 2000: $long MiB, expected $expected MiB"
  ((long * 100 <= short * 105 && short * 100 <= long * 105)) &&
    ((long * 10 <= expected * 11 && expected * 9 <= long * 10))
}

# With the libav that it is carried with.
gpu_check() {
  local part
  "$root/scripts/gpu-check.sh" --twin || return 1
  for part in nvdec-h264 nvdec-hevc10 nvdec-held-16 nvenc; do
    grep "^| $part | ok |" "$root/build/gpu-check-twin/report.md" || return 1
  done
}

"$root/scripts/setup.sh" test
build_release
"$root/scripts/fetch-models.sh"
"$root/scripts/fetch-clip.sh"
for model in animevideov3 anime-6b x4plus; do
  tap_stage "reference" tap_check "$model in plain C" reference "$model"
done
tap_stage "other engines" tap_run "whole frames against ncnn and OpenVINO" "$root/scripts/compare-engines" "$kizuna"
tap_stage "memory" tap_check "memory at 200 and 2000 frames" memory
tap_stage "allocations" tap_run "every allocation fails" "$root/tests/fail_alloc.sh" "$kizuna" \
  "$root/build/release/tests/libfail_alloc.so"
tap_stage "signals" tap_check "a hundred interrupted runs" interrupted
tap_stage "interruptions" tap_run "resume" "$root/tests/resume/run.py" "$kizuna" \
  "$root/build/release/tests/libfault.so" --long
tap_stage "a watched folder" tap_run "watch" "$root/tests/watch/run.py" "$kizuna" \
  "$root/build/release/tests/libfault.so" --files 220
tap_stage "CUDA" tap_check "a small libav for the check for GPUs" "$root/scripts/gpu-check/libav.sh"
tap_stage "CUDA" tap_check "the check for GPUs, on the host" gpu_check
tap_stage "fuzzing" tap_check "what an interrupted run leaves, fuzzed" fuzz_resume
tap_stage "fuzzing" tap_check "the model reader, fuzzed" fuzz
tap_stage "fuzzing" tap_check "the reader of our own networks, fuzzed" fuzz_net
