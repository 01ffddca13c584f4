#!/usr/bin/env bash
# What scripts/gpu-check.sh does about NVDEC and NVENC, with the twin in the place of a GPU and the driver of
# tests/nvdec: that it sees what is right, and what is wrong. Prints TAP.
#   tests/gpu_media.sh build/release/tests
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
programs=$(realpath "$1")
[[ -x $programs/gpu_media ]] || { echo "1..0 # skip the twin isn't built"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
source "$root/tests/check.sh"
"$root/scripts/gpu-check/streams.sh" films tiny || exit 1

# ends CODE TEXT PART FILM ARGUMENT…: so the program ends, and one of its lines says so.
ends() {
  local code=$1 text=$2 got=0
  shift 2
  LD_LIBRARY_PATH=${driver-$programs/nvdec} PRETEND_TRUTH=films/$2.nv12 PRETEND_SIZE=$(sed -n "s/^$2 .* //p" films/list) \
    timeout 100 "$programs/gpu_media" "$1" "films/$2" "${@:3}" >said.log 2>&1 || got=$?
  cat said.log
  [[ $got == "$code" ]] && grep -q -- "$text" said.log
}
while read -r name what _; do
  check "$name ($what)" ends 0 '"ok":true' nvdec "$name" "$what"
done <films/list
check "all of a film is NVDEC's" ends 0 '"software":24,"nvdec":24,"seen":24,"held":true,"run":24,"there":16' nvdec hevc10 same
check "a film that must be refused, and isn't" ends 1 '"nvdec":24.*"ok":false' nvdec h264 refused
check "a film that must not be refused, and is" ends 1 '"nvdec":0.*"ok":false' nvdec h264-10 same
PRETEND_WRONG=12 check "a wrong picture" ends 1 '"nvdec":23,"seen":24,.*"run":23.*"ok":false' nvdec h264 same
PRETEND_SPOIL=1 check "a surface that has other samples" ends 1 '"nvdec":24,"seen":0,"held":false.*"ok":false' nvdec h264 same
PRETEND_FAIL=20 check "a failure later on" ends 1 '"run":24.*"why":"[^"].*"ok":false' nvdec h264 same
PRETEND_LACKS=1 check "a GPU whose NVDEC lacks it" ends 3 '"nvdec":0.*lacking required.*"ok":true' nvdec h264 same
driver='' check "no driver" ends 3 '^libnvcuvid.so.1: ' nvdec h264 same
check "surfaces that are kept" ends 0 '"held":16,"frames":48,"why":"","ok":true' surfaces h264-refs 16
PRETEND_FAIL=30 check "or can't be" ends 0 '"why":"[^"].*"ok":true' surfaces h264-refs 16
check "speed" ends 0 '"frames":48.*"ok":true' decoding hevc10 2
PRETEND_FAIL=60 check "which is that of all pictures" ends 1 '"ok":false' decoding hevc10 2

if [[ -e $programs/nvdec/libnvidia-encode.so.1 ]]; then
  check "NVENC" ends 0 '"opens":true,.*"frames":48,"decoded":48,.*"psnr":100.00,"ok":true' nvenc hevc10 2
  PRETEND_NVENC=none check "no NVENC" ends 3 '"opens":false,"code":-2,.*"why":"this GPU has no NVENC"' nvenc hevc10 2
  PRETEND_NVENC=unsupported check "no NVENC, in other words" ends 3 \
    '"code":-38,.*unsupported device (2).*"why":"this GPU has no NVENC"' nvenc hevc10 2
  PRETEND_NVENC_FAIL=600 check "a failure of NVENC's" ends 1 '"frames":.*"ok":false' nvenc hevc10 2
fi
finish
