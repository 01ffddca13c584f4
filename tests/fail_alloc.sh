#!/usr/bin/env bash
# Memory runs out at the first, second, third … allocation of a run. Each time: exit code 1, at least
# one error line, no crash, no hang, no file left but of a finished segment, with which the same
# command then goes on. Prints TAP.
#   tests/fail_alloc.sh build/release/kizuna build/release/tests/libfail_alloc.so [STEP]
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
kizuna=$(realpath "$1")
preload=$(realpath "$2")
step=${3:-1}
export KIZUNA_DATA_DIR=$root
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
echo "1..1"
python3 "$root/tests/tiny_model.py" copy
ffmpeg -v error -f lavfi -i testsrc2=size=48x32:rate=25 -f lavfi -i sine -t 0.2 -pix_fmt yuv420p \
  -c:v ffv1 -c:a flac clip.mkv </dev/null

left() { find . -type f -not -name 'clip*' -not -name 'copy*' -not -name '*.log' -printf '%P '; }

# A run that had finished its segment goes on and makes the same file.
goes_on() {
  [[ -s .out.mkv.kizuna/000000.segment ]] && grep -q 'the same command goes on' err.log || return 1
  "$kizuna" upscale clip.mkv -m ./copy.param -s 2 -e ffv1 -o out.mkv --progress off >>err.log 2>&1 </dev/null &&
    cmp out.mkv clip.out && rm out.mkv && [[ -z $(left) ]]
}

if ! "$kizuna" upscale clip.mkv -m ./copy.param -s 2 -e ffv1 -o clip.out -f matroska --progress off 2>err.log </dev/null; then
  sed 's/^/# /' err.log
  echo "not ok 1 - a run without a fault"
  exit
fi

bad=0 clean=0
for ((at = 1; at < 5000; at += step)); do
  FAIL_AT=$at LD_PRELOAD=$preload timeout 20 "$kizuna" upscale clip.mkv -m ./copy.param -s 2 -e ffv1 \
    -o out.mkv --progress off >out.log 2>err.log </dev/null
  code=$?
  if [[ $code == 0 && -s out.mkv ]]; then
    rm out.mkv
    ((++clean >= 20)) && break # past the last allocation
    continue
  fi
  clean=0
  if [[ $code != 1 ]] || ! grep -q '^kizuna: error: ' err.log || { [[ -n $(left) ]] && ! goes_on; }; then
    echo "# allocation $at: exit code $code, left: $(left)"
    sed 's/^/# /' err.log
    bad=$((bad + 1))
    rm -rf out.mkv .out.mkv*
  fi
done
echo "# $at allocations"
((bad == 0 && clean == 20)) && echo "ok 1 - memory runs out anywhere" || echo "not ok 1 - memory runs out anywhere"
