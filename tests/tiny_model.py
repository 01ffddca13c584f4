#!/usr/bin/env python3
"""Writes NAME.param and NAME.bin: a network that enlarges by 4 with one convolution, each output
sample a copy of the input's nearest one. For tests that are about everything but the network."""
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
