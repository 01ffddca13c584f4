#!/usr/bin/env python3
"""Writes files as C for base/embedded.h: embed.py OUTPUT FOLDER FILE…, the files' paths in FOLDER."""
import os
import sys

output, folder, paths = sys.argv[1], sys.argv[2], sorted(sys.argv[3:])
with open(output, "w") as f:
    f.write('#include "base/embedded.h"\n')
    for i, path in enumerate(paths):
        with open(os.path.join(folder, path), "rb") as data:
            numbers = list(data.read()) + [0]
        f.write(f"\nstatic const uint8_t file_{i}[] = {{\n")
        for at in range(0, len(numbers), 32):
            f.write(",".join(map(str, numbers[at:at + 32])) + ",\n")
        f.write("};\n")
    f.write("\nconst kz_embedded kz_embedded_files[] = {\n")
    for i, path in enumerate(paths):
        f.write(f'    {{"{path}", file_{i}, sizeof(file_{i}) - 1}},\n')
    f.write(f"}};\nconst int kz_embedded_count = {len(paths)};\n")
