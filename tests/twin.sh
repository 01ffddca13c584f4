# shellcheck shell=bash
# The program with the CUDA back end in host memory (cuda/twin), in a folder of their own with a tiny network. To be
# sourced, with the program and the folder of the tests' modules as $1 and $2.
root=$(cd "$(dirname "$0")/.." && pwd)
program=$(realpath "$1")
modules=$(realpath "$2")
export KIZUNA_DATA_DIR=$root
[[ -e $modules/twin_module.so ]] || { echo "1..0 # skip the twin isn't built"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
source "$root/tests/check.sh"
python3 "$root/tests/tiny_model.py" copy
cp "$program" kizuna && cp "$modules/twin_module.so" kizuna-cuda.so || exit 1
kizuna=$work/kizuna
