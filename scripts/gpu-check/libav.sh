#!/usr/bin/env bash
# What gpu-check.sh needs for its parts nvdec and nvenc, since a machine with a GPU may have no libav: a small static
# one, and films to decode, in build/gpu-check-libav, to be carried along. Made of Debian's source package of
# ffmpeg, whose signature apt checks, in some three minutes of two processors; run again, only what has changed.
#   scripts/gpu-check/libav.sh
# Needs Debian or its like, with apt; packages that are missing are installed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

into=$root/build/gpu-check-libav
own=$root/scripts/gpu-check

# What kizuna's own code needs for NVDEC and NVENC. No assembly, which would need an assembler: software has two
# hundred pictures to decode.
# shellcheck disable=SC2054
options=(--disable-everything --disable-autodetect --disable-programs --disable-doc --disable-network --disable-debug
  --disable-avdevice --disable-swresample --disable-swscale --disable-x86asm --enable-pic
  --enable-ffnvcodec --enable-nvdec --enable-nvenc
  --enable-decoder=h264,hevc --enable-hwaccel=h264_nvdec,hevc_nvdec --enable-encoder=hevc_nvenc
  --enable-parser=h264,hevc --enable-demuxer=matroska,mov,h264,hevc --enable-muxer=matroska
  --enable-bsf=aac_adtstoasc --enable-protocol=file)

# fetch FOLDER: the source package's files, from where packages come from.
fetch() {
  local lists=$1/lists file
  mkdir -p "$lists/parts" "$lists/index/partial" "$lists/cache/archives/partial"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do
    [[ ! -f $file ]] ||
      sed -E 's/^Types:.*/Types: deb-src/; /^deb-src /d; s/^deb /deb-src /' "$file" >"$lists/parts/${file##*/}"
  done
  local apt=(apt-get -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$lists/parts"
    -o Dir::State::Lists="$lists/index" -o Dir::Cache="$lists/cache" -o APT::Sandbox::User=)
  quietly "${apt[@]}" update || say "some of the package lists could not be had; going on"
  (cd "$1" && quietly "${apt[@]}" --download-only source ffmpeg) || die "the source package could not be fetched"
}

# make_libav FOLDER: in it, into its folder `made`.
make_libav() {
  (
    cd "$1" && quietly dpkg-source -x ./*.dsc source && cd source &&
      quietly nice ./configure --prefix="$1/made" "${options[@]}" && quietly nice make -j "${JOBS:-2}" &&
      quietly make install && strip --strip-debug "$1"/made/lib/*.a &&
      sed -n 's/^Version: //p' ../*.dsc >"$1/made/version" && rm -rf "$1"/made/{share,lib/pkgconfig}
  ) || die "libav did not build"
}

need_packages dpkg-dev ffmpeg gcc libc6-dev libffmpeg-nvenc-dev make xz-utils
stamp=$(sha256sum <"$own/libav.sh")
if [[ $(cat "$into/libav/stamp" 2>/dev/null) != "$stamp" ]]; then
  say "building a small libav"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  fetch "$work"
  make_libav "$work"
  printf '%s\n' "$stamp" >"$work/made/stamp"
  mkdir -p "$into"
  rm -rf "$into/libav"
  mv "$work/made" "$into/libav"
fi
stamp=$(cat "$own/streams.sh" "$root/sample/clip.mkv" | sha256sum)
if [[ $(cat "$into/streams/stamp" 2>/dev/null) != "$stamp" ]]; then
  say "encoding films"
  nice "$own/streams.sh" "$into/streams"
  printf '%s\n' "$stamp" >"$into/streams/stamp"
fi
say "build/gpu-check-libav: ffmpeg $(cat "$into/libav/version"), $(du -sh --apparent-size "$into" | cut -f 1)"
