#!/usr/bin/env bash
# Sets up what the tests need, builds, and passes every test. Last line: passed, failed, skipped.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$root/scripts/tap.sh"
trap 'tap_end $?' EXIT
export KIZUNA_DATA_DIR=$root
programs=(test_base test_pixel test_model test_kernels test_backend test_change test_reuse test_steady test_blocks
  test_media test_pipeline test_half test_cuda_kernels test_cuda_batch test_cuda test_cuda_overlap test_cuda_precision
  test_cuda_replay test_cuda_tail test_rival)

checks() {
  local check
  for check in layers headers format style scripts; do
    tap_check "check $check" "$root/scripts/check-$check.sh" || true
  done
  for check in symbols globals; do
    tap_check "check $check" "$root/scripts/check-$check.sh" "$root/build/release" || true
  done
}

# Address and undefined-behaviour sanitizers, on everything.
sanitized() {
  local program
  tap_check "build with ASan and UBSan" build asan "${programs[*]/#/tests/}" --buildtype=debugoptimized \
    -Dcuda=disabled -Db_sanitize=address,undefined -Db_lundef=false || return 0
  for program in "${programs[@]}"; do
    tap_run "asan $program" "$root/build/asan/tests/$program"
  done
}

# Threads, where the sanitizer sees all of them.
threads() {
  local program programs=(test_base test_reuse test_pipeline)
  tap_check "build with TSan" build tsan "${programs[*]/#/tests/}" --buildtype=debugoptimized -Dcuda=disabled \
    -Db_sanitize=thread -Db_lundef=false || return 0
  for program in "${programs[@]}"; do
    tap_run "tsan $program" "$root/build/tsan/tests/$program"
  done
}

# build NAME 'target…' [meson option…]
build() {
  local name=$1 targets
  read -ra targets <<<"$2"
  shift 2
  configure "$name" "$@" && compile "$name" "${targets[@]}"
}

# The CUDA back end without a GPU: its kernels and networks on the host, cuDNN's graphs with a driver
# that pretends, the module for every architecture.
cuda() {
  local program
  for program in test_half test_cuda_kernels test_cuda_batch test_cuda test_cuda_overlap test_cuda_precision \
    test_cuda_replay test_cuda_tail test_cuda_reuse test_rival test_cudnn test_rival_cudnn; do
    [[ ! -x $root/build/release/tests/$program ]] || tap_run "$program" "$root/build/release/tests/$program"
  done
  if [[ -e $root/build/release/kizuna-cuda.so ]]; then
    tap_check "the module stands alone" module_alone "$root/build/release/kizuna-cuda.so"
    tap_check "Hopper's products overlap" products_overlap
  else
    echo "  no nvcc: the module isn't built, cuDNN's graphs aren't tested"
  fi
}

# One name goes out, and no library of NVIDIA's comes in.
module_alone() {
  local names libraries
  names=$(nm -D --defined-only "$1" | awk '{ print $3 }')
  libraries=$(readelf -d "$1" | grep -iE 'NEEDED.*(cuda|cudnn|nvrtc|cublas)' || true)
  printf 'names: %s\nlibraries: %s\n' "$names" "$libraries"
  [[ $names == kz_backend_module && -z $libraries ]]
}

# ptxas has something to say where it puts a wait behind every product, or spills sums.
products_overlap() {
  local nvcc said kernel
  nvcc=$(PATH=/usr/local/cuda/bin:$PATH command -v nvcc)
  said=$(for kernel in march wgmma; do
    "$nvcc" -std=c++17 -O3 -arch=sm_90a -Xptxas -warn-spills -I"$root" -I"$root/src" -cubin -o /dev/null \
      "$root/cuda/kernels/conv_$kernel.cu" 2>&1
  done) || true
  printf '%s' "$said"
  [[ -z $said ]]
}

clang_build() {
  CC=clang build clang all --buildtype=debugoptimized -Dcuda=disabled
}

cpu_levels() {
  local level
  for level in avx2 avx512 avx512_bf16 amx; do
    tap_run "test_kernels at level $level" \
      env KIZUNA_CPU_LEVEL="$level" "$root/build/release/tests/test_kernels"
    tap_run "test_backend at level $level" \
      env KIZUNA_CPU_LEVEL="$level" "$root/build/release/tests/test_backend"
    tap_run "test_reuse at level $level" \
      env KIZUNA_CPU_LEVEL="$level" "$root/build/release/tests/test_reuse"
  done
  [ "$(uname -m)" = x86_64 ] || return 0
  tap_run "the march on emulated AMX" "$root/build/release/tests/test_backend_tiles"
  tap_run "its reuse" "$root/build/release/tests/test_reuse_tiles"
}

# What only computes.
engine() {
  tap_stage "clang" tap_check "build with clang" clang_build
  tap_stage "sanitizers" sanitized
  tap_stage "threads" threads
  tap_stage "CPU levels" cpu_levels
  tap_stage "CUDA" cuda
}

# What runs the program, and at times waits.
program() {
  tap_stage "checks" checks
  tap_stage "the program" tap_run "end to end" "$root/tests/e2e.sh" "$root/build/release/kizuna"
  tap_stage "our own networks" tap_run "own networks" "$root/tests/own.sh" "$root/build/release/kizuna"
  tap_stage "devices" tap_run "devices" "$root/tests/device.sh" "$root/build/release/kizuna" \
    "$root/build/release/tests"
  tap_stage "NVDEC" tap_run "nvdec" "$root/tests/nvdec.sh" "$root/build/release/kizuna" \
    "$root/build/release/tests"
  tap_stage "NVENC" tap_run "nvenc" "$root/tests/nvenc.sh" "$root/build/release/kizuna" \
    "$root/build/release/tests"
  tap_stage "NVDEC and NVENC on a GPU" tap_run "gpu_media" "$root/tests/gpu_media.sh" "$root/build/release/tests"
  tap_stage "nothing is lost" tap_run "fidelity" "$root/tests/fidelity/run.py" "$root/build/release/kizuna"
  tap_stage "interruptions" tap_run "resume" "$root/tests/resume/run.py" "$root/build/release/kizuna" \
    "$root/build/release/tests/libfault.so"
  tap_stage "a watched folder" tap_run "watch" "$root/tests/watch/run.py" "$root/build/release/kizuna" \
    "$root/build/release/tests/libfault.so"
  tap_stage "other engines" tap_run "against ncnn and OpenVINO" "$root/scripts/compare-engines" \
    "$root/build/release/kizuna" cuts
  tap_stage "allocations" tap_run "allocations fail" "$root/tests/fail_alloc.sh" \
    "$root/build/release/kizuna" "$root/build/release/tests/libfail_alloc.so" 7
  tap_stage "valgrind" tap_run "valgrind" "$root/tests/valgrind.sh" "$root/build/release/kizuna"
}

"$root/scripts/setup.sh" test
build_release
"$root/scripts/fetch-models.sh"
tap_beside engine
program
tap_join
