"""kizuna's own networks (models/*.safetensors) as ONNX models, luma in and luma out, for the
comparisons with other engines."""
import json
import os
import struct

import numpy as np


def read_tensors(path):
    """{name: fp32 array}, and the metadata."""
    with open(path, "rb") as f:
        data = f.read()
    length = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[begin:end], "<f2").reshape(entry["shape"]).astype(np.float32)
    return tensors, metadata


def own_weights(root, model):
    """The file of one of kizuna's own networks, or None: it is another's."""
    manifest = os.path.join(root, "models", model + ".json")
    if not os.path.exists(manifest):
        return None
    with open(manifest) as f:
        said = json.load(f)
    own = said["architecture"] == "kizuna"
    return os.path.join(root, "models", said["weights"]["file"]) if own else None


def luma_to_onnx(path):
    from onnx import TensorProto, helper, numpy_helper

    tensors, metadata = read_tensors(path)
    layers = (len(tensors) + 1) // 3
    nodes = []

    def add(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    value = "data"
    for i in range(layers):
        name = f"layers.{i}"
        if i == layers - 1 and metadata["skip"] == "1":
            value = add("Add", [value, "layers.0.out"], "skip")
        value = add("Conv", [value, name + ".weight", name + ".bias"], name, kernel_shape=[3, 3], pads=[1] * 4)
        if i < layers - 1:
            tensors[name + ".slope"] = tensors[name + ".slope"].reshape(-1, 1, 1)
            value = add("PRelu", [value, name + ".slope"], name + ".out")
    add("DepthToSpace", [value], "shuffle", blocksize=2, mode="CRD")
    tensors["scales"] = np.array([1, 1, 2, 2], np.float32)
    add("Resize", ["data", "", "scales"], "nearest", mode="nearest", nearest_mode="floor",
        coordinate_transformation_mode="asymmetric")
    add("Add", ["shuffle", "nearest"], "output")
    graph = helper.make_graph(
        nodes, "network", [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 1, "h", "w"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, "H", "W"])],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)])
    model.ir_version = 8
    return model
