#!/usr/bin/env python3
"""Writes NAME.param and NAME.bin: a network that enlarges by 4 with one convolution, each output
sample a copy of the input's nearest one; and NAME.safetensors, one of kizuna's own networks that
does the same, by 2. For tests that are about everything but the network."""
import json
import struct
import sys

name = sys.argv[1]
with open(name + ".param", "w") as f:
    f.write("7767517\n3 3\n")
    f.write("Input in 0 1 data\n")
    f.write("Convolution conv 1 1 data a 0=48 1=3 4=1 5=1 6=1296\n")
    f.write("PixelShuffle shuffle 1 1 a output 0=4\n")
with open(name + ".bin", "wb") as f:
    f.write(struct.pack("<I", 0))
    for out in range(48):
        for channel in range(3):
            same = channel == out // 16
            f.write(struct.pack("<9f", *[1.0 if same and tap == 4 else 0.0 for tap in range(9)]))
    f.write(struct.pack("<48f", *[0.0] * 48))

tensors = {"layers.0.weight": [8, 1, 3, 3], "layers.0.bias": [8], "layers.0.slope": [8],
           "layers.1.weight": [4, 8, 3, 3], "layers.1.bias": [4]}
header = {"__metadata__": {"architecture": "kizuna", "version": "1", "scale": "2", "skip": "0",
                           "name": "copy"}}
data = b""
for tensor, shape in tensors.items():
    count = 1
    for length in shape:
        count *= length
    numbers = struct.pack(f"<{count}e", *[0.0 if tensor.startswith("layers.1") else 0.25] * count)
    header[tensor] = {"dtype": "F16", "shape": shape, "data_offsets": [len(data), len(data) + len(numbers)]}
    data += numbers
text = json.dumps(header).encode()
with open(name + ".safetensors", "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + data)
