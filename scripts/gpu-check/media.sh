# shellcheck shell=bash disable=SC2034,SC2154
# What gpu-check.sh builds for NVDEC and NVENC, out of what build.sh has built, kizuna's own decoding and encoding, and
# the libav that libav.sh has made. Sourced after build.sh; wants $libav, that one's folder, too.

# All of the folder, of which the program takes what it needs.
media_commands() {
  local source flags=(-I"$libav/include")
  for source in src/media/*.c; do
    compile_c "media_$(basename "${source%.c}")" "$source" "${flags[@]}"
  done
  for source in gpu_media gpu_nvdec gpu_nvenc; do
    compile_c "tests_$source" "tests/cuda/$source.c" "${flags[@]}"
  done
}

# The driver of tests/nvdec, for the twin; NVENC's place is empty where x265 isn't there to encode.
build_driver() {
  local name
  mkdir -p "$work/driver"
  for name in cuda:cuda nvcuvid:cuvid nvidia-encode:nvenc; do
    gcc -O2 -fPIC -shared -Wl,-soname,"lib${name%:*}.so.1" -o "$work/driver/lib${name%:*}.so.1" "tests/nvdec/${name#*:}.c" \
      "$([[ $name != *:nvenc ]] && echo -lm || echo -lx265)" || [[ $name == *:nvenc ]] || return 1
  done
}

build_media() {
  local objects archives=("$work/media.a" "$libav"/lib/lib{avfilter,avformat,avcodec,avutil}.a)
  cd "$root" || return 1
  media_commands >"$work/media-commands"
  tr '\n' '\0' <"$work/media-commands" | xargs -0 -P "$(nproc)" -I{} bash -c '{} || { echo "failed: {}"; exit 255; }' || return 1
  rm -f "$work/media.a"
  ar rcs "$work/media.a" "$work"/objects/media_*.o || return 1
  mapfile -t objects < <(cd "$work/objects" && printf '%s\n' backend_*.o)
  objects+=(tests_gpu_{media,nvdec,nvenc,setup,small}.o tests_random_graph.o tests_graph_eval.o)
  link_program gpu_media "${objects[@]}" || return 1
  ((!twin)) || build_driver
}
