"""What a network costs: its parameters, and its multiplications (MAC) for each pixel of the source, far from
the borders."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "scripts"))
from ncnn_model import read_layers  # noqa: E402

ACNET = 4712 + 72, 4712  # nine layers of 3x3 kernels and eight channels, a transposed 2x2 convolution


def of_own(tensors):
    weights = sum(t.numel() for name, t in tensors.items() if name.endswith(".weight"))
    biases = sum(t.numel() for name, t in tensors.items() if name.endswith(".bias"))
    return weights + biases, weights


def of_onnx(path):
    """Of a stack of convolutions that all run at the source's size."""
    import onnx
    graph = onnx.load(path).graph
    inputs = {name for node in graph.node if node.op_type == "Conv" for name in node.input[1:]}
    sizes = {t.name: (len(t.dims), int(onnx.numpy_helper.to_array(t).size)) for t in graph.initializer}
    used = [sizes[name] for name in inputs]
    return sum(n for _, n in used), sum(n for rank, n in used if rank == 4)


def of_ncnn(param):
    """Each value's size beside the source's is followed through the layers."""
    parameters, macs, sizes = 0, 0, {}
    for kind, _, inputs, outputs, keys in read_layers(param):
        size = sizes[inputs[0]] if inputs else 1
        if kind in ("Convolution", "Deconvolution"):
            wide = size / keys.get(3, 1) if kind == "Convolution" else size * keys.get(3, 1)
            macs += keys[6] * (wide if kind == "Convolution" else size) ** 2
            parameters += keys[6] + (keys[0] if keys.get(5) else 0)
            size = wide
        elif kind == "InnerProduct":  # behind a mean over the picture: once for all its pixels
            parameters += keys[2] + keys[0]
        elif kind == "PReLU":
            parameters += keys[0]
        elif kind == "Interp":
            size *= keys[1]
        elif kind == "PixelShuffle":
            size *= keys[0]
        sizes.update(dict.fromkeys(outputs, size))
    return int(parameters), int(macs)
