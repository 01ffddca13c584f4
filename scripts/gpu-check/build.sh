# shellcheck shell=bash disable=SC2154
# What gpu-check.sh builds, without meson and without the libraries of the rest of kizuna: nvcc, gcc
# and g++ are enough. Sourced; wants $root, $work (the build's folder), $twin (0 or 1) and $nvcc.

c_flags=(-std=gnu11 -O2 -D_GNU_SOURCE "-DKZ_VERSION=\"gpu-check\"" -I. -Isrc -Itests)

# compile_c OBJECT SOURCE [flag…]: commands, one a line, are what the pool below runs.
compile_c() {
  local object=$1 source=$2
  shift 2
  printf '%q ' gcc "${c_flags[@]}" "$@" -c "$source" -o "$work/objects/$object.o"
  echo
}

name_of() {
  local name=${1//\//_}
  printf '%s' "${name%.*}"
}

# The engine but for what needs other libraries: cJSON, nettle, oneDNN.
engine_commands() {
  local source
  for source in src/base/*.c src/pixel/*.c src/model/*.c src/backend/{host,schedule,split}.c src/backend/reference/*.c; do
    case $source in
    */digest.c | */registry.c | */disk.c | */embedded.c | */safetensors.c | */luma_net.c) continue ;;
    esac
    compile_c "engine_$(name_of "$source")" "$source" -O3
  done
  # The reference links to them, and runs none of them.
  local levels=(peak small small_end small_first thin tone winograd)
  for source in src/backend/march/*.c src/backend/kernels/*.c; do
    [[ " ${levels[*]} amx " != *" $(basename "${source%.c}") "* ]] || continue
    compile_c "engine_$(name_of "$source")" "$source" -O0
  done
  [[ $(uname -m) == x86_64 ]] || return 0
  local avx512=(-mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma)
  for source in "${levels[@]}"; do
    level_commands avx2 "$source" -mavx2 -mfma
    level_commands avx512 "$source" "${avx512[@]}"
    level_commands avx512_bf16 "$source" "${avx512[@]}" -mavx512bf16 -DKZ_BF16
  done
  level_commands amx amx "${avx512[@]}" -mavx512bf16 -DKZ_BF16 -mamx-tile -mamx-bf16
}

level_commands() {
  local level=$1 source=$2
  shift 2
  compile_c "engine_${source}_$level" "src/backend/kernels/$source.c" -O0 "-DKZ_LEVEL=$level" "$@"
}

# The kernels first: they take longest.
device_commands() {
  local source flags=(-ffp-contract=off)
  [[ $(uname -m) != x86_64 ]] || flags+=(-mf16c)
  if ((twin)); then
    for source in cuda/kernels/*.cu cuda/twin/*.cpp; do
      printf '%q ' g++ -x c++ -std=c++17 -O2 "${flags[@]}" -Wno-unknown-pragmas -D_GNU_SOURCE -I. -Isrc \
        -c "$source" -o "$work/objects/device_$(name_of "$source").o"
      echo
    done
  else
    for source in cuda/kernels/*.cu cuda/*.cu; do
      printf '%q ' "$nvcc" -std=c++17 -O3 -lineinfo -gencode "$(gencode)" -Xcompiler -fPIC \
        -I. -Isrc -c "$source" -o "$work/objects/device_$(name_of "$source").o"
      echo
    done
  fi
}

# This machine's GPU alone; where there is none to ask, Hopper's.
gencode() {
  local capability
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d '. ')
  [[ $capability =~ ^[0-9]+$ ]] || capability=90
  [[ $capability != 90 ]] || capability=90a # wgmma
  printf 'arch=compute_%s,code=sm_%s' "$capability" "$capability"
}

# Where cuDNN's headers are: the system's, the toolkit's, or in Python's packages.
cudnn_include() {
  local folder
  for folder in /usr/include /usr/local/include "$(toolkit)/include" \
    "$(python3 -c 'import nvidia.cudnn; print(*nvidia.cudnn.__path__)' 2>/dev/null)/include"; do
    [[ ! -f $folder/cudnn_graph.h ]] || { printf '%s' "$folder" && return 0; }
  done
  return 1
}

toolkit() {
  dirname "$(dirname "$(realpath "$nvcc")")"
}

program_commands() {
  local source include
  if [[ -n $nvcc ]] && include=$(cudnn_include); then
    for source in cuda/cudnn/*.c; do
      compile_c "cudnn_$(name_of "$source")" "$source" -I"$include" -I"$(toolkit)/include"
    done
    compile_c tests_gpu_cudnn tests/cuda/gpu_cudnn.c
  fi
  for source in cuda/*.c; do
    case $source in
    */module.c | */choices.c | */lineup.c | */trial.c | */no_rival.c) continue ;;
    esac
    compile_c "backend_$(name_of "$source")" "$source"
    compile_c "banded_$(name_of "$source")" "$source" -DKZ_BAND_PIXELS=600 -DKZ_SCRATCH_BYTES=40000
  done
  # What chooses among engines as a run does, with a stand-in for a library's digests.
  for source in cuda/{choices,lineup,trial}.c src/base/disk.c tests/cuda/gpu_digest.c; do
    compile_c "choice_$(name_of "$source")" "$source"
  done
  [[ -n ${include:-} ]] || compile_c choice_no_rival cuda/no_rival.c
  # One for each of the two, since their objects are linked by name.
  compile_c backend_lineup tests/cuda/gpu_lineup.c
  compile_c banded_lineup tests/cuda/gpu_lineup.c
  for source in tests/random_graph.c tests/graph_eval.c tests/cuda/test_cuda{,_batch,_kernels,_overlap,_precision,_replay}.c \
    tests/cuda/tasks.c tests/cuda/gpu_{check,choice,layer,setup,small,speed,tail,wgmma}.c; do
    compile_c "tests_$(basename "${source%.c}")" "$source"
  done
}

archives=() # of what the next program is linked with besides

# link_program NAME OBJECT…
link_program() {
  local name=$1 libraries=("${archives[@]}" -lstdc++ -lm -ldl -lpthread -lrt)
  shift
  ((twin)) || libraries=(-L"$(toolkit)/lib64" -lcudart_static "${libraries[@]}")
  gcc -o "$work/$name" "${@/#/$work/objects/}" "$work"/objects/{device,engine}_*.o "${libraries[@]}"
}

link_cudnn() {
  local objects
  rm -f "$work/gpu_cudnn"
  [[ -f $work/objects/tests_gpu_cudnn.o ]] || return 0
  mapfile -t objects < <(cd "$work/objects" && printf '%s\n' cudnn_*.o)
  link_program gpu_cudnn tests_gpu_cudnn.o tests_gpu_layer.o tests_gpu_setup.o "${objects[@]}"
}

link_choice() {
  local objects
  mapfile -t objects < <(cd "$work/objects" && printf '%s\n' backend_*.o choice_*.o cudnn_*.o | grep -v -e '[*]' -e backend_lineup)
  link_program gpu_choice tests_gpu_{choice,setup}.o "${objects[@]}"
}

sources_digest() {
  { echo "$twin" && gencode && find cuda src tests/cuda tests/nvdec tests/*.[ch] scripts/gpu-check/*.sh -type f -print0 |
    LC_ALL=C sort -z | xargs -0 cat; } | sha256sum
}

# Everything into $work; what is there of the same sources already is left.
build_all() {
  local digest objects banded
  cd "$root" || return 1
  digest=$(sources_digest)
  [[ $(cat "$work/digest" 2>/dev/null) != "$digest" ]] || return 0
  rm -rf "$work/objects" "$work/digest"
  mkdir -p "$work/objects"
  { device_commands && engine_commands && program_commands; } >"$work/commands"
  tr '\n' '\0' <"$work/commands" | xargs -0 -P "$(nproc)" -I{} bash -c '{} || { echo "failed: {}"; exit 255; }' || return 1
  mapfile -t objects < <(cd "$work/objects" && printf '%s\n' backend_*.o)
  mapfile -t banded < <(cd "$work/objects" && printf '%s\n' banded_*.o)
  link_program gpu_check tests_gpu_{check,layer,setup,small,speed,tail,wgmma}.o tests_random_graph.o tests_graph_eval.o "${objects[@]}" &&
    link_program test_cuda tests_test_cuda.o tests_random_graph.o tests_graph_eval.o "${banded[@]}" &&
    link_program test_cuda_overlap tests_test_cuda_overlap.o tests_random_graph.o tests_graph_eval.o "${banded[@]}" &&
    link_program test_cuda_precision tests_test_cuda_precision.o tests_random_graph.o tests_graph_eval.o "${banded[@]}" &&
    link_program test_cuda_replay tests_test_cuda_replay.o tests_random_graph.o tests_graph_eval.o "${banded[@]}" &&
    link_program test_cuda_batch tests_test_cuda_batch.o tests_tasks.o tests_random_graph.o tests_graph_eval.o "${banded[@]}" &&
    link_program test_cuda_kernels tests_test_cuda_kernels.o tests_tasks.o tests_random_graph.o tests_graph_eval.o &&
    link_cudnn && link_choice &&
    printf '%s\n' "$digest" >"$work/digest"
}
