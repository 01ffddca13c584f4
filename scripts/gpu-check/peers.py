"""The same networks in torch and onnxruntime: whether the values agree, and how fast they are. JSON lines.
    peers.py WORK PICTURE-SIZE RUNS SECONDS SIZE,… MODEL…
WORK holds `picture` (bytes) and MODEL.values (kizuna's, floats). What takes longest comes last, and what
isn't begun after SECONDS is named and left out. Exit code 3: there is no torch."""
import json
import os
import statistics
import sys
import time

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(root, "scripts"))
LUMA = (0.2126, 0.7152, 0.0722)
WARM_UP, FEW, LONGEST = 3, 3, 6
LEAST_PSNR = 55
began = time.perf_counter()

try:
    import torch
    from torch import nn
    from torch.nn import functional as F

    from ncnn_model import FILES, Weights, read_layers, to_onnx
except ImportError as error:
    print(f"no torch: {error}", file=sys.stderr)
    sys.exit(3)


def say(kind, **values):
    print(json.dumps({"kind": kind, **values}), flush=True)


class Network(nn.Module):
    """RGB in and out, as published."""

    def __init__(self, stem):
        super().__init__()
        weights, names, channels = Weights(stem + ".bin"), {}, {"data": 3}
        self.steps, self.layers = [], nn.ModuleDict()
        for kind, name, inputs, outputs, keys in read_layers(stem + ".param"):
            ins, out = [names.get(i, i) for i in inputs], outputs[0]
            for o in outputs if kind == "Split" else ():
                names[o] = ins[0]
            width = channels[ins[0]] if ins else 3
            if kind == "Convolution":
                width, k = int(keys[0]), int(keys[1])
                conv = nn.Conv2d(channels[ins[0]], width, k, padding=int(keys[4]))
                conv.weight.data = torch.from_numpy(weights.tagged(int(keys[6]))).reshape(conv.weight.shape)
                conv.bias.data = torch.from_numpy(weights.floats(width))
                slope = keys[10][0] if keys.get(9) == 2 else None
                self.layers[name] = conv if slope is None else nn.Sequential(conv, nn.LeakyReLU(slope, inplace=True))
            elif kind == "PReLU":
                self.layers[name] = nn.PReLU(int(keys[0]))
                self.layers[name].weight.data = torch.from_numpy(weights.floats(int(keys[0])))
            elif kind == "Concat":
                width = sum(channels[i] for i in ins)
            elif kind == "PixelShuffle":
                width //= int(keys[0]) ** 2
            channels[out] = width
            if kind not in ("Split", "Input"):
                coefs = keys.get(1, [1, 1]) if kind == "Eltwise" else [1, 1]
                self.steps.append((kind, name, ins, out, int(keys.get(0, 0)), coefs, keys.get(1) if kind == "Interp" else None))
        self.last_use = {i: n for n, step in enumerate(self.steps) for i in step[2]}

    def forward(self, x):
        values = {"data": x}
        for n, (kind, name, ins, out, factor, coefs, zoom) in enumerate(self.steps):
            v = [values[i] for i in ins]
            if name in self.layers:
                values[out] = self.layers[name](v[0])
            elif kind == "Concat":
                values[out] = torch.cat(v, 1)
            elif kind == "Interp":
                values[out] = F.interpolate(v[0], scale_factor=zoom, mode="nearest")
            elif kind == "PixelShuffle":
                values[out] = F.pixel_shuffle(v[0], factor)
            elif kind in ("Eltwise", "BinaryOp"):
                values[out] = v[0] * coefs[0] + v[1] * coefs[1] if coefs != [1, 1] else v[0] + v[1]
            else:
                raise ValueError(kind)
            for i in ins:
                if self.last_use[i] == n:
                    values.pop(i, None)
        return values[out]


def picture_of(size):
    width, height = map(int, size.split("x"))
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((x // 24 + y // 16) % 2 * 150 + (x * 7 + y * 3) % 50).to(torch.uint8)


class Peers:
    def __init__(self, work, runs, seconds, device):
        self.work, self.runs, self.seconds, self.device = work, runs, seconds, device

    def late(self, engine):
        if time.perf_counter() - began < self.seconds:
            return False
        say("absent", engine=engine, why=f"not begun after {self.seconds:.0f} s")
        return True

    def wait(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def clocked(self, run):
        times = []
        for _ in range(WARM_UP):
            run()
        self.wait()
        while len(times) < self.runs and (len(times) < FEW or sum(times) < LONGEST):
            at = time.perf_counter()
            run()
            self.wait()
            times.append(time.perf_counter() - at)
        return times

    def luma(self, network, grey, element):
        """Values of the fourfold luma on the device."""
        x = (grey.to(self.device).to(element) / 255).expand(1, 3, *grey.shape).contiguous(memory_format=torch.channels_last)
        return torch.tensordot(torch.tensor(LUMA, device=self.device), network(x)[0].float(), 1)

    def agree(self, network, model, size):
        width, height = map(int, size.split("x"))
        with open(os.path.join(self.work, "picture"), "rb") as f:
            grey = torch.frombuffer(bytearray(f.read()), dtype=torch.uint8).view(height, width)
        with open(os.path.join(self.work, model + ".values"), "rb") as f:
            ours = torch.frombuffer(bytearray(f.read()), dtype=torch.float32).view(4 * height, 4 * width)
        difference = (ours - self.luma(network, grey, torch.float32).cpu()).double().abs()
        psnr = (-10 * torch.log10(difference.square().mean() + 1e-30)).item()
        ok = psnr >= LEAST_PSNR
        say("agree", model=model, size=size, psnr=psnr, worst_codes=difference.max().item() * 255, ok=ok,
            **{"with": "torch in fp32, kizuna in fp16"})
        return ok

    def measure(self, network, model, size, engine):
        """Frames of bytes to frames of 10 bits, and the network alone."""
        if self.late(f"{engine}, {model}, {size}"):
            return
        grey, element = picture_of(size), next(network.parameters()).dtype

        def whole():
            (self.luma(network, grey, element).clamp(0, 1) * 1023).round().to(torch.int16).cpu()

        try:
            times = self.clocked(whole)
            x = torch.rand(1, 3, *grey.shape, device=self.device, dtype=element).contiguous(memory_format=torch.channels_last)
            alone = self.clocked(lambda: network(x))
        except Exception as error:  # out of memory, or a compiler that isn't there: the others go on
            say("absent", engine=f"{engine}, {model}, {size}", why=str(error).splitlines()[0][:160])
            return
        say("peer", engine=engine, model=model, size=size, seconds=statistics.median(times), least=min(times), most=max(times),
            runs=len(times), network=statistics.median(alone))

    def compiled(self, network, model, sizes, mode, engine):
        torch._dynamo.reset()
        fast = torch.compile(network, dynamic=False, mode=mode)
        for size in sizes:
            self.measure(fast, model, size, engine)

    def product(self, n, element, name):
        a = torch.rand(n, n, device=self.device).sub(0.5).to(element)
        times = self.clocked(lambda: a @ a)
        say("product", what=f"product of {n}×{n} matrices", precision=name, flops=2 * n**3 / statistics.median(times))


def halved(network):
    return network.half().to(memory_format=torch.channels_last)


def to_fp16(onnx_model):
    from onnx import TensorProto, numpy_helper
    for n, tensor in enumerate(onnx_model.graph.initializer):
        if not tensor.name.endswith("_f"):  # scales of Resize are fp32 always
            array = numpy_helper.to_array(tensor).astype("float16")
            onnx_model.graph.initializer[n].CopyFrom(numpy_helper.from_array(array, tensor.name))
    for value in [*onnx_model.graph.input, *onnx_model.graph.output]:
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return onnx_model.SerializeToString()


class Session:
    """Looks like a network to measure()."""

    def __init__(self, model_bytes, provider, shape):
        import onnxruntime
        onnxruntime.set_default_logger_severity(3)
        self.session = onnxruntime.InferenceSession(model_bytes, providers=[provider])
        self.shape = shape

    def parameters(self):
        return iter([torch.zeros(1, dtype=torch.float16)])

    def __call__(self, x):
        binding, x = self.session.io_binding(), x.contiguous()
        out = torch.empty(self.shape, dtype=torch.float16, device=x.device)
        binding.bind_input("data", "cuda", 0, "float16", list(x.shape), x.data_ptr())
        binding.bind_output("output", "cuda", 0, "float16", list(out.shape), out.data_ptr())
        torch.cuda.synchronize()
        self.session.run_with_iobinding(binding)
        return out


def onnxruntime_peers(peers, models, sizes):
    try:
        import onnx  # noqa: F401
        import onnxruntime
        there = [p for p in onnxruntime.get_available_providers() if p in ("CUDAExecutionProvider", "TensorrtExecutionProvider")]
    except ImportError as error:
        return say("absent", engine="onnxruntime, TensorRT", why=str(error))
    if not there or peers.device != "cuda":
        return say("absent", engine="onnxruntime, TensorRT", why="the installed onnxruntime has no CUDA or TensorRT provider")
    for model in models:
        stem = os.path.join(root, "models", "weights", FILES[model])
        for provider in there:
            for size in sizes:
                width, height = map(int, size.split("x"))
                try:
                    session = Session(to_fp16(to_onnx(stem + ".param", stem + ".bin")), provider, (1, 3, 4 * height, 4 * width))
                except Exception as error:
                    say("absent", engine=f"onnxruntime {provider}, {model}", why=str(error).splitlines()[0][:160])
                    break
                peers.measure(session, model, size, f"onnxruntime, {provider.removesuffix('ExecutionProvider')}, fp16")


def main():
    work, picture, runs, seconds, sizes, *models = sys.argv[1:]
    sizes = sorted(sizes.split(","), key=lambda s: -int(s.split("x")[0]))  # the largest matters most
    torch.set_grad_enabled(False)
    torch.manual_seed(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    print(f"torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}, {device}", file=sys.stderr)
    peers = Peers(work, int(runs), float(seconds), device)
    networks, fine = {}, True
    for name in ("float16", "bfloat16"):
        peers.product(8192 if device == "cuda" else 64, getattr(torch, name), {"float16": "fp16", "bfloat16": "bf16"}[name])
    for model in models:
        network = Network(os.path.join(root, "models", "weights", FILES[model])).eval().to(device)
        fine = peers.agree(network, model, picture) and fine
        networks[model] = halved(network)
    torch.backends.cudnn.benchmark = True
    for model in models:
        for size in sizes:
            peers.measure(networks[model], model, size, "torch, eager, fp16, channels last")
    for model in models:
        few = sizes if model != "x4plus" else sizes[:1]
        peers.compiled(networks[model], model, few, None, "torch.compile, fp16, channels last")
    onnxruntime_peers(peers, models, sizes)
    for model in models:
        if model == "anime-6b":
            peers.compiled(networks[model], model, sizes[:1], "max-autotune", "torch.compile, max-autotune, fp16, channels last")
    return 0 if fine else 1


sys.exit(main())
