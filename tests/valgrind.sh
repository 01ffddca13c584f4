#!/usr/bin/env bash
# A small run under valgrind: no invalid access, nothing definitely lost. Prints TAP. valgrind knows
# no AVX-512, so the network runs at level avx2.
#   tests/valgrind.sh build/release/kizuna
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
kizuna=$(realpath "$1")
export KIZUNA_DATA_DIR=$root
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
echo "1..2"

python3 "$root/tests/tiny_model.py" copy
ffmpeg -v error -f lavfi -i testsrc2=size=64x48:rate=25 -f lavfi -i sine -t 0.2 -pix_fmt yuv420p \
  -c:v ffv1 -c:a flac clip.mkv </dev/null

# Each in a folder of its own, so that they run at once.
clean() {
  local number=$1 name=$2
  shift 2
  mkdir "$number" && cd "$number" || return
  if valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite \
    --suppressions="$root/tests/valgrind.supp" "$kizuna" upscale ../clip.mkv -y -o out.mkv -e ffv1 \
    --cpu-level avx2 --progress off "$@" >run.log 2>&1 </dev/null; then
    echo "ok $number - $name"
  else
    sed 's/^/# /' run.log
    echo "not ok $number - $name"
  fi >result
}
clean 1 "a run of copies under valgrind" -m ../copy.param -s 2 &
clean 2 "a run of a real network under valgrind" -m animevideov3 --frames 1 -s 4 --threads 2 &
wait
cat 1/result 2/result
