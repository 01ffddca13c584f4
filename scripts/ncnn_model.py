"""ncnn's .param and .bin as a list of layers, and as an ONNX model, for the comparisons with other
engines. Reads only what the networks here use."""
import os
import struct

import numpy as np


def read_layers(param):
    """[(type, name, inputs, outputs, {key: value or list})], as the file has them."""
    layers = []
    with open(param) as f:
        lines = f.read().split("\n")[2:]
    for line in filter(str.strip, lines):
        words = line.split()
        n_in, n_out = int(words[2]), int(words[3])
        blobs, keys = words[4:4 + n_in + n_out], {}
        for word in words[4 + n_in + n_out:]:
            key, value = word.split("=")
            if int(key) <= -23300:
                keys[-23300 - int(key)] = [float(v) for v in value.split(",")[1:]]
            else:
                keys[int(key)] = float(value)
        layers.append((words[0], words[1], blobs[:n_in], blobs[n_in:], keys))
    return layers


class Weights:
    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        self.at = 0

    def floats(self, count):
        values = np.frombuffer(self.data, "<f4", count, self.at)
        self.at += 4 * count
        return values.copy()

    def tagged(self, count):
        flag = struct.unpack_from("<I", self.data, self.at)[0]
        self.at += 4
        if flag != 0x01306B47:
            return self.floats(count)
        values = np.frombuffer(self.data, "<f2", count, self.at).astype(np.float32)
        self.at += (2 * count + 3) // 4 * 4
        return values


LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def to_onnx(param, weights_path, folded=False):
    """The network as published, RGB in, RGB out, any size; or folded to luma in and out, as kizuna runs it."""
    from onnx import TensorProto, helper, numpy_helper

    weights, nodes, constants, names, channels = Weights(weights_path), [], [], {}, {"data": 3}
    layers = read_layers(param)
    last = [name for kind, name, *_ in layers if kind == "Convolution"][-1]
    colours = 1 if folded else 3

    def fold(w, b, name, i):
        """The first convolution's inputs are equal; the last one's outputs are weighted."""
        if i == 3:
            w = w.sum(axis=1, keepdims=True)
        if name == last:
            w, b = (np.tensordot(LUMA, a.reshape(3, -1, *a.shape[1:]), 1) for a in (w, b))
        return w, b

    def constant(name, array):
        constants.append(numpy_helper.from_array(array, name))
        return name

    def add(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs, [output], **attributes))

    for kind, name, inputs, outputs, keys in layers:
        ins = [names.get(i, i) for i in inputs]
        out = outputs[0]
        if kind == "Split":
            for o in outputs:
                names[o] = ins[0]
                channels[o] = channels[inputs[0]]
            continue
        if kind == "Convolution":
            o, k, i = int(keys[0]), int(keys[1]), channels[inputs[0]]
            w, b = weights.tagged(int(keys[6])).reshape(o, i, k, k), weights.floats(o)
            if folded:
                w, b = fold(w, b, name, i)
            w, b = constant(name + "_w", w), constant(name + "_b", b)
            plain = out if keys.get(9) != 2 else out + "_plain"
            add("Conv", [ins[0], w, b], plain, kernel_shape=[k, k], pads=[int(keys[4])] * 4)
            if plain != out:
                add("LeakyRelu", [plain], out, alpha=keys[10][0])
            channels[out] = o
        elif kind == "PReLU":
            slopes = constant(name + "_s", weights.floats(int(keys[0])).reshape(-1, 1, 1))
            add("PRelu", [ins[0], slopes], out)
        elif kind == "Concat":
            add("Concat", ins, out, axis=1)
            channels[out] = sum(channels[i] for i in inputs)
        elif kind in ("Eltwise", "BinaryOp"):
            scaled = []
            for n, (value, coef) in enumerate(zip(ins, keys.get(1, [1, 1]) if kind == "Eltwise" else [1, 1])):
                if coef != 1:
                    c = constant(f"{name}_c{n}", np.float32(coef).reshape(1))
                    add("Mul", [value, c], f"{out}_{n}")
                    value = f"{out}_{n}"
                scaled.append(value)
            add("Add", scaled, out)
        elif kind == "Interp":
            scales = constant(name + "_f", np.array([1, 1, keys[1], keys[2]], np.float32))
            add("Resize", [ins[0], "", scales], out, mode="nearest", nearest_mode="floor",
                coordinate_transformation_mode="asymmetric")
        elif kind == "PixelShuffle":
            add("DepthToSpace", ins, out, blocksize=int(keys[0]), mode="CRD")
            channels[out] = channels[inputs[0]] // int(keys[0]) ** 2
        elif kind != "Input":
            raise ValueError(kind)
        channels.setdefault(out, channels[inputs[0]] if inputs else 3)
    graph = helper.make_graph(
        nodes, "network", [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, colours, "h", "w"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, colours, "H", "W"])], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)])
    model.ir_version = 8
    return model


FILES = {"animevideov3": "realesr-animevideov3-x4", "anime-6b": "realesrgan-x4plus-anime",
         "x4plus": "realesrgan-x4plus"}


def stem(root, model):
    """Of a network's files: those of a known one, or NAME.param's."""
    if model.endswith(".param"):
        return model[:-len(".param")]
    return os.path.join(root, "models", "weights", FILES[model])
