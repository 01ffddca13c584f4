#!/usr/bin/env bash
# kizuna's own networks: inside the program, as files, once and twice, interrupted. Prints TAP.
#   tests/own.sh build/release/kizuna
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
kizuna=$(realpath "$1")
export KIZUNA_DATA_DIR=$root
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
source "$root/tests/check.sh"
python3 "$root/tests/tiny_model.py" copy
ffmpeg -v error -f lavfi -i testsrc2=size=96x64:rate=25 -frames:v 3 -pix_fmt yuv420p -c:v ffv1 in.mkv || exit 1
quick=(--encoder-preset ultrafast --progress off)

size_of() { ffprobe -v error -select_streams v:0 -show_entries stream=width,height -of csv=p=0 "$1"; }
# digest ARGUMENTS…: of the decoded result.
digest() {
  "$kizuna" upscale in.mkv -y -o digest.mkv -e ffv1 --progress off "$@" && ffmpeg -v error -i digest.mkv -f md5 -
}

# ---- the program alone: no data directory anywhere, and no network where that can be taken away ----
offline=()
for way in "unshare -n" "unshare -rn"; do
  [[ ${#offline[@]} -gt 0 ]] || ! $way true 2>/dev/null || read -ra offline <<<"$way"
done
alone() {
  "${offline[@]}" env -u KIZUNA_DATA_DIR -u XDG_DATA_HOME -u XDG_CACHE_HOME HOME=/nonexistent "$kizuna" "$@"
}
listed() {
  local model
  alone models >models.txt || return 1
  cat models.txt
  for model in kizuna-s kizuna-s-clean kizuna-m kizuna-m-clean; do
    grep -qE "^$model +kizuna +x2 +MIT +yes +inside the program\$" models.txt || return 1
  done
}
check "the program's own networks are listed" listed
runs_alone() {
  alone upscale in.mkv -y -m "$1" -s 2 -p "$2" "${quick[@]}" -o alone.mkv && [[ $(size_of alone.mkv) == 192,128 ]]
}
for model in kizuna-s kizuna-s-clean kizuna-m kizuna-m-clean; do
  check "$model needs nothing but the program" runs_alone "$model" anime
done
# by_default LINE ARGUMENTS…: the model's line where none is named.
by_default() {
  alone upscale "$root/sample/clip.mkv" -y --frames 6 "${quick[@]}" -o alone.mkv "${@:2}" 2>run.log || { cat run.log; return 1; }
  grep '^model' run.log
  [[ $(size_of alone.mkv) == 2560,1440 ]] && grep -qE "^model +$1\$" run.log
}
check "nor does a run without options" by_default 'kizuna-[ms]-clean: kizuna ×2 twice, MIT \(auto: .*\)'
check "nor the fast one" by_default 'kizuna-s-clean: kizuna ×2 twice, MIT' -p fast
others_are_elsewhere() {
  alone upscale in.mkv -y -p best -o alone.mkv 2>run.log
  [[ $? == 2 ]] && grep -q "no model is called 'anime-6b': .*KIZUNA_DATA_DIR" run.log
}
check "where others' networks may be is told" others_are_elsewhere
check "nor a plan" alone plan in.mkv "${quick[@]}"
check "nor a benchmark" alone bench --size 32x32 --frames 1
in_a_folder() {
  local KIZUNA_DATA_DIR=$work/data
  mkdir -p data/models && cp "$root"/models/kizuna-s.* data/models || return 1
  "$kizuna" models | grep -qE "^kizuna-s +kizuna .* $work/data/models/kizuna-s.safetensors\$" || return 1
  [[ $(digest -m kizuna-s -s 2) == "$(KIZUNA_DATA_DIR=$work digest -m kizuna-s -s 2)" ]] || return 1
  printf '\x7f' | dd of=data/models/kizuna-s.safetensors bs=1 seek=20001 conv=notrunc 2>/dev/null
  refuses 1 "kizuna-s.safetensors is damaged: its sha256" in.mkv -m kizuna-s -s 2 -o x.mkv
}
check "a file in a data directory wins, and is checked" in_a_folder
below_here() {
  mkdir -p here/kizuna/models && cp "$root"/models/kizuna-s.* here/kizuna/models || return 1
  env -u KIZUNA_DATA_DIR XDG_DATA_HOME="$work/here" "$kizuna" models | grep -q "$work/here/kizuna/models" &&
    ! env -u KIZUNA_DATA_DIR XDG_DATA_HOME=here "$kizuna" models | grep here/kizuna
}
large() {
  "$kizuna" models | grep -qE "^$1 +kizuna +x2 +MIT +yes +$root/models/$1.safetensors\$" || return 1
  "$kizuna" upscale in.mkv -y -m "$1" -s 2 "${quick[@]}" -o large.mkv && [[ $(size_of large.mkv) == 192,128 ]]
}
for model in kizuna-l kizuna-l-clean; do
  check "$model lies beside the program" large "$model"
done
check "a data directory isn't looked for below the current one" below_here

# ---- files ----
head -c 500 copy.safetensors >cut.safetensors
check "a file that is cut" refuses 1 "cut.safetensors: " in.mkv -m ./cut.safetensors -o x.mkv
check "a file of no known kind" refuses 2 "ends in .param or .safetensors" in.mkv -m ./copy.bin -o x.mkv

# ---- once and twice: a network of copies against another that does the same at once ----
as_at_once() {
  local own other
  own=$(digest -m ./copy.safetensors -s "$1") && other=$(digest -m ./copy.param -s "$1") || return 1
  echo "$own $other"
  [[ $own == "$other" ]]
}
check "twice makes four" as_at_once 4
check "three are made of four" as_at_once 3
says_model() {
  "$kizuna" upscale in.mkv -y -m kizuna-s "${quick[@]}" -o says.mkv "${@:3}" 2>says.log || { cat says.log; return 1; }
  grep '^model' says.log
  [[ $(size_of says.mkv) == "$2" ]] && grep -qE "^model +kizuna-s: kizuna ×2$1, MIT\$" says.log
}
check "2 is once" says_model "" 192,128 -s 2
check "4 is twice" says_model " twice" 384,256 -s 4
check "3 is twice" says_model " twice" 288,192 -s 3
check "a box that 2 fills is once" says_model "" 192,128 -s 192x200
check "a larger box is twice" says_model " twice" 194,130 -s 194x200
check "by default four times at most" says_model " twice" 384,256
tile_of() {
  local tile luma=(-m "$1" -s "$2" --size 203x150 --frames 1 --precision fp32)
  "$kizuna" bench "${luma[@]}" -t 203 --halo 0 --dump whole.f32 >/dev/null || return 1
  for tile in 48 64 100; do
    "$kizuna" bench "${luma[@]}" -t "$tile" --dump tiled.f32 >/dev/null || return 1
    python3 - "$2" <<'P' || return 1
import array, sys
a, b = (array.array('f', open(name, 'rb').read()) for name in ('whole.f32', 'tiled.f32'))
worst = max(abs(x - y) for x, y in zip(a, b))
print('worst', worst * 255, '/ 255')
assert len(a) == 203 * 150 * int(sys.argv[1]) ** 2 and worst < 1e-5
P
  done
}
check "tiles agree with the whole frame" tile_of kizuna-m 2
check "tiles agree with the whole frame, twice" tile_of kizuna-s 4
planned() {
  "$kizuna" plan --json in.mkv -m kizuna-s -s "$1" "${quick[@]}" >plan.json && python3 -c '
import json, sys
p = json.load(open("plan.json"))
assert p["model"] == "kizuna-s" and p["to"]["width"] == 96 * int(sys.argv[1]) and p["stages"][1]["seconds_per_frame"] > 0, p
' "$1"
}
check "a plan, once" planned 2
check "a plan, twice" planned 4
reused() {
  local off exact
  ffmpeg -v error -y -f lavfi -i mandelbrot=s=320x192:r=25 -f lavfi -i testsrc2=s=24x24:r=25 -filter_complex \
    "[0]format=yuv420p,loop=-1:1[a];[a][1]overlay=40:40" -frames:v 4 -c:v libx264 -crf 20 still.mkv || return 1
  off=$(digest -m kizuna-s -s 4 --reuse off) && exact=$(digest -m kizuna-s -s 4 --reuse exact) && [[ $off == "$exact" ]] || return 1
  "$kizuna" bench --json --reuse near -m kizuna-s -s 4 --frames 4 still.mkv >near.json || return 1
  tail -1 near.json
  python3 -c 'import json; d = [json.loads(l) for l in open("near.json")]; assert d[-1]["computed"] < 0.7 and d[-1]["worst_psnr"] > 45, d'
}
check "reuse, twice" reused

# ---- the one that this machine runs in real time ----
# Far from what any machine that tests run on is near.
ffmpeg -v error -f lavfi -i testsrc2=size=64x48:rate=2 -frames:v 2 -pix_fmt yuv420p -c:v ffv1 slow.mkv
ffmpeg -v error -f lavfi -i testsrc2=size=640x360:rate=1000 -frames:v 1 -pix_fmt yuv420p -c:v ffv1 fast.nut
# chooses LINE ARGUMENTS…
chooses() {
  "$kizuna" upscale -y -m auto -s 2 "${quick[@]}" -o auto.mkv "${@:2}" 2>run.log || { cat run.log; return 1; }
  grep '^model' run.log
  grep -qE "^model +$1\$" run.log
}
check "a small picture gets the large one" chooses 'kizuna-m-clean: kizuna ×2, MIT \(auto: [0-9.e+]+ fps of 2 without reuse\)' -d cpu slow.mkv
check "a thousand pictures a second get the small one" \
  chooses 'kizuna-s-clean: kizuna ×2, MIT \(auto: kizuna-m-clean would make [0-9.]+ fps of [0-9.e+]+\)' -d cpu fast.nut
check "the reference gets the small one" chooses 'kizuna-s-clean: kizuna ×2, MIT \(auto: the smallest\)' -d reference in.mkv
auto_elsewhere() {
  "$kizuna" plan --json -d cpu -m auto -s 2 slow.mkv "${quick[@]}" >plan.json && grep -q '"model":"kizuna-m-clean"' plan.json &&
    "$kizuna" bench -d cpu -m auto --size 32x32 --frames 1 | grep '^kizuna-m-clean' &&
    "$kizuna" bench -d cpu -m auto --reuse near -s 2 --frames 1 slow.mkv && "$kizuna" bench -d cpu -m auto --stages slow.mkv -s 2 --encoder ffv1
}
check "plans and benchmarks choose the same" auto_elsewhere
told() { "$kizuna" "${@:2}" >told.log && cat told.log && grep -qE "^$1" told.log; }
check "a plan says why" told 'model +kizuna-m-clean, [a-z0-9]+ \(auto: [0-9.e+]+ fps of 2 without reuse\)$' \
  plan -d cpu -s 2 slow.mkv "${quick[@]}"
check "a benchmark, too" told 'kizuna-m-clean \(auto: .* without reuse\), 32x32, ' bench -d cpu --size 32x32 --frames 1
check "and that of reuse" told 'model +kizuna-m-clean \(auto: ' bench -d cpu --reuse near -s 2 --frames 1 slow.mkv
# pace SECONDS: what is known of the machine.
paces=$work/cache/kizuna/paces
pace() { sed -i "s/^[^ ]*/$1/" "$paces"; }
known() {
  local XDG_CACHE_HOME=$work/cache
  chooses 'kizuna-m-clean: .* fps of 2 without reuse\)' -d cpu slow.mkv && cat "$paces" || return 1
  pace 1e-12 && chooses 'kizuna-m-clean: .* fps of [0-9.e+]+ without reuse\)' -d cpu fast.nut || return 1
  pace 0.5 && chooses 'kizuna-s-clean: .* \(auto: kizuna-m-clean would make 0.000651 fps of 2\)' -d cpu slow.mkv || return 1
  "$kizuna" plan --json -d cpu -m auto -s 2 slow.mkv "${quick[@]}" | grep '"model":"kizuna-s-clean"' || return 1
  [[ $(wc -l <"$paces") == 1 ]] || { cat "$paces"; return 1; }
  # By less than twice too slow.
  pace 2.5e-4 && chooses 'kizuna-m-clean: .*' -d cpu slow.mkv && [[ $(wc -l <"$paces") == 2 ]] || return 1
  chooses 'kizuna-m-clean: .*' -d cpu --threads 1 slow.mkv && [[ $(wc -l <"$paces") == 3 ]]
}
check "a machine is measured once" known
# One is fast enough in fp32 alone.
same_network() {
  local XDG_CACHE_HOME=$work/cache
  rm "$paces" && "$kizuna" bench -d cpu --size 32x32 --frames 1 --precision fp32 || return 1
  "$kizuna" bench -d cpu --size 32x32 --frames 1 --precision bf16
  pace 0.5 && sed -i '1s/^[^ ]*/1e-12/' "$paces" && "$kizuna" bench -d cpu --size 32x32 --frames 1 --precisions >precisions.txt
  cat "$paces" precisions.txt
  grep -q '^kizuna-m-clean' precisions.txt && ! grep '^kizuna-s' precisions.txt
}
check "precisions of one network are compared" same_network
anything() {
  local XDG_CACHE_HOME=$work/cache
  head -c 3000 /dev/urandom >"$paces" && chooses 'kizuna-m-clean: .*' -d cpu slow.mkv || return 1
  head -c 70000 /dev/zero >>"$paces" && chooses 'kizuna-m-clean: .*' -d cpu slow.mkv && [[ $(wc -l <"$paces") == 1 ]] || return 1
  rm "$paces" && mkfifo "$paces" && chooses 'kizuna-m-clean: .*' -d cpu slow.mkv && rm "$paces"
}
check "whatever lies where that is kept" anything
jobs_done() { "$kizuna" jobs --store jobs.db --json | grep -c '"state":"done"'; }
watched() {
  local XDG_CACHE_HOME=$work/cache run found
  chooses '.*' -d cpu slow.mkv && pace 0.5 && mkdir films && cp slow.mkv films/a.mkv && cp in.mkv films/b.mkv || return 1
  "$kizuna" watch films --output made --store jobs.db --settle 0 -d cpu -m auto -s 2 --encoder-preset ultrafast 2>watch.log &
  run=$!
  for _ in {1..300}; do
    found=$(jobs_done)
    [[ $found == 2 ]] && break
    sleep 0.1
  done
  kill $run
  wait $run
  cat watch.log "$paces"
  [[ $found == 2 && $(wc -l <"$paces") == 1 ]]
}
check "nor again for each film of a folder" watched

# ---- scripts/run.sh fetches only what is asked for, here in a tree without anything else ----
tree() {
  mkdir -p tree/scripts tree/models tree/sample bin &&
    cp "$root"/scripts/{run,lib}.sh tree/scripts && cp "$root"/models/*.json tree/models && cp -r "$root/presets" tree || return 1
  echo '{"options": {"crf": 30, "model": "x4plus"}}' >own.json
  printf '#!/bin/sh\nexit 0\n' | tee bin/ninja >tree/scripts/setup.sh
  printf '#!/bin/sh\necho fetched\n' >tree/scripts/fetch-models.sh
  printf '#!/bin/sh\nmkdir -p "$2" && cp "$0.kizuna" "$2/kizuna"\n' >bin/meson
  printf '#!/bin/sh\necho kizuna "$@"\n' >bin/meson.kizuna
  chmod +x bin/* tree/scripts/*
}
check "a tree for run.sh" tree
# fetches yes|no ARGUMENTS…
fetches() {
  local found
  PATH=$work/bin:$PATH tree/scripts/run.sh "${@:2}" >run.out || { cat run.out; return 1; }
  cat run.out
  found=$(grep -cx fetched run.out)
  grep -q '^kizuna upscale ' run.out && [[ $found == "$([[ $1 == yes ]] && echo 1 || echo 0)" ]]
}
check "run.sh alone fetches nothing" fetches no
for arguments in in.mkv "-m auto in.mkv" "--model=kizuna-m in.mkv" "-p fast in.mkv" "-p best -m kizuna-s in.mkv" "-m ./copy.param in.mkv" \
  "-p anime in.mkv -o best" "in.mkv -- -m anime-6b"; do
  read -ra words <<<"$arguments"
  check "run.sh $arguments fetches nothing" fetches no "${words[@]}"
done
for arguments in "-m anime-6b in.mkv" "in.mkv --model=animevideov3" "-p best in.mkv" "-y --preset=archive in.mkv" "-p ./own.json in.mkv" \
  "-p fast -model x4plus in.mkv"; do
  read -ra words <<<"$arguments"
  check "run.sh $arguments fetches weights" fetches yes "${words[@]}"
done

# ---- a run that goes on ----
film() {
  ffmpeg -v error -f lavfi -i testsrc2=s=96x64:r=25:d=5 -f lavfi -i smptebars=s=96x64:r=25:d=6 -f lavfi -i mandelbrot=s=96x64:r=25 \
    -filter_complex "[0]format=yuv420p,setsar=1[a];[1]format=yuv420p,setsar=1,hue=H=t[b];[2]trim=duration=5,negate,format=yuv420p,setsar=1[c];
      [a][b][c]concat=n=3" -c:v libx264 -preset veryfast film.mkv
}
check "a film" film
# begun ARGUMENTS…: killed after its first segment.
begun() {
  "$kizuna" upscale film.mkv "${quick[@]}" -o gone.mkv "$@" 2>/dev/null &
  local run=$!
  until grep -q ' segment ' .gone.mkv.kizuna/journal; do
    kill -0 $run || return 1
    sleep 0.01
  done 2>/dev/null
  kill -KILL $run
  wait $run 2>/dev/null
  [[ -e .gone.mkv.kizuna/journal ]]
}
goes_on() {
  begun "$@" || return 1
  "$kizuna" upscale film.mkv "${quick[@]}" -o gone.mkv "$@" 2>run.log || { cat run.log; return 1; }
  grep '^resume  [1-9]' run.log && "$kizuna" upscale film.mkv -y "${quick[@]}" -o whole.mkv --quiet "$@" && cmp gone.mkv whole.mkv
  local got=$?
  rm -f gone.mkv
  return "$got"
}
check "a run goes on, once" goes_on -m kizuna-s -s 2
check "a run goes on, twice" goes_on -m kizuna-s -s 4
# On a machine that became another.
keeps_its_network() {
  local XDG_CACHE_HOME=$work/cache film=(film.mkv "${quick[@]}" -d cpu -m auto -s 2)
  pace 1e-12 && begun "${film[@]:3}" && grep ' fact engine.model kizuna-m-clean$' .gone.mkv.kizuna/journal || return 1
  pace 0.5 && "$kizuna" upscale "${film[@]}" -o gone.mkv 2>run.log
  cat run.log
  grep -q '^resume  [1-9]' run.log && grep -qE '^model +kizuna-m-clean: kizuna ×2, MIT$' run.log || return 1
  pace 1e-12 && "$kizuna" upscale "${film[@]}" -y -o whole.mkv --quiet && cmp gone.mkv whole.mkv
}
check "a run goes on with the network that it chose" keeps_its_network

finish
