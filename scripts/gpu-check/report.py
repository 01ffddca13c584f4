"""What the parts of gpu-check.sh left, as one Markdown file.
    report.py RESULTS REPORT"""
import glob
import json
import os
import sys

LOG_LINES = 25
NAMES = {"realesr-animevideov3-x4": "animevideov3", "realesrgan-x4plus-anime": "anime-6b", "realesrgan-x4plus": "x4plus"}


def read_all(folder):
    """{kind: [object]}; a part that was cut short may have left half a line. What whole networks did on Hopper's own
    products has kinds of its own."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.jsonl")), key=os.path.getmtime):
        with open(path) as lines:
            for line in lines:
                try:
                    item = json.loads(line)
                except ValueError:
                    continue
                item["model"] = NAMES.get(item.get("model"), item.get("model"))
                name = os.path.basename(path).split("-")
                if name[0] == "wgmma" and item["kind"] != "part":
                    item["way"], item["kind"] = name[1], "wgmma " + item["kind"]
                if name[0] == "tail" and item["kind"] not in ("part", "tail"):
                    item["kind"] = "tail " + item["kind"]
                found.setdefault(item["kind"], []).append(item)
    return found


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + [
        "| " + " | ".join(str(c) for c in row) + " |" for row in rows] + [""]


def ms(seconds):
    return f"{seconds * 1e3:.3g}" if seconds < 0.1 else f"{seconds * 1e3:.0f}"


def tera(flops):
    return f"{flops / 1e12:.1f}" if flops >= 1e11 else f"{flops / 1e12:.4f}"


def share(part, whole):
    return f"{100 * part / whole:.0f} %" if whole else "–"


def pixels(size):
    width, height = map(int, size.split("x"))
    return width * height


def verdict(item):
    return "ok" if item["ok"] else "**FAILED**"


class Report:
    def __init__(self, folder):
        self.folder = folder
        self.found = read_all(folder)
        self.machine = {m["what"]: m["is"] for m in self.of("machine")}
        # Of tensor cores: our own kernel's, and a matrix product's where torch is there.
        self.peaks = {p["precision"]: p["flops"] for p in self.of("peak")}
        self.most = max((p["flops"] for p in self.of("wgmma peak")), default=0)
        self.products = {p["precision"]: p["flops"] for p in self.of("product")}

    def of(self, kind):
        return self.found.get(kind, [])

    def head(self):
        lines = ["## The CUDA back end on a GPU", ""]
        if self.machine.get("twin"):
            lines += ["**The twin in the place of a GPU: a test of the script. No figure here means anything.**", ""]
        device = (self.of("device") or [{}])[0]
        if "name" in device:
            lines += [f"{device['name']}, compute capability {device['capability']}, {device['processors']} multiprocessors, "
                      f"{device['memory'] / 2**30:.0f} GiB ({device['free'] / 2**30:.0f} free); CUDA driver {device['driver']}, "
                      f"runtime {device['runtime']}; nvidia-smi: {self.machine.get('gpu') or 'not there'}."]
        elif device:
            lines += [f"**No GPU was used: {device['why']}.**"]
        lines += [f"{self.machine.get('processor')}; nvcc {self.machine.get('nvcc') or 'not there'}; "
                  f"revision {self.machine.get('revision')}.", ""]
        return lines

    def parts(self):
        rows = [(p["name"], p["state"] if p["state"] != "FAILED" else "**FAILED**", p["seconds"], p["why"])
                for p in self.of("part")]
        lines = ["### What was run", ""] + table(("part", "result", "s", ""), rows)
        for p in self.of("part"):
            if p["state"] == "FAILED":
                lines += [f"The end of {p['name']}'s log:", "", "```", *self.log_of(p["name"]), "```", ""]
        return lines

    def log_of(self, name):
        with open(os.path.join(self.folder, name + ".log"), errors="replace") as log:
            lines = log.read().splitlines()
        # What a TAP program says of its failures stands anywhere in it.
        marked = [i for i, line in enumerate(lines) if line.startswith("not ok")]
        kept = sorted({j for i in marked for j in (i - 1, i)} | set(range(len(lines) - LOG_LINES, len(lines))))
        return [lines[i].replace("```", "'''") for i in kept if i >= 0]

    def results(self):
        lines = []
        if self.of("compare"):
            lines += ["### Results", "", "A drawing through the whole network; differences in code values of 8 bits.", ""]
            lines += table(("network", "precision", "size", "against", "PSNR, dB", "asked for", "worst", ""), [
                (c["model"], c["precision"], c.get("size", ""), c.get("with", ""), c.get("psnr", "–"), c.get("least", "–"),
                 c.get("worst_codes", "–"), verdict(c) if "ok" in c else c["why"]) for c in self.of("compare")])
        if self.of("identity"):
            lines += ["The same bits:", ""] + table(("network", "size", "what", ""), [
                (i["model"], i["size"], i["what"], verdict(i)) for i in self.of("identity")])
        if self.of("memory"):
            lines += ["Short memory:", ""] + table(("what", ""), [(m["what"], verdict(m)) for m in self.of("memory")])
        return lines

    def roofs(self):
        rows = [(f"products from registers (`mma.sync`), {p['precision']}", f"{tera(p['flops'])} TFLOP/s {'' if p['ok'] else verdict(p)}")
                for p in self.of("peak")]
        rows += [(f"products from shared memory (`wgmma`, 64×{p['columns']}), fp16", f"{tera(p['flops'])} TFLOP/s {'' if p['ok'] else verdict(p)}")
                 for p in self.of("wgmma peak")]
        rows += [(f"torch, {p['what']}, {p['precision']}", f"{tera(p['flops'])} TFLOP/s") for p in self.of("product")]
        rows += [("a copy in the device's memory, read and written", f"{b['bytes'] / 1e12:.2f} TB/s") for b in self.of("bandwidth")]
        return ["### What the device can do", ""] + table(("", ""), rows) if rows else []

    def speed(self):
        rows = []
        for s in self.of("speed"):
            if "error" in s:
                rows.append((s["model"], s["precision"], s["size"], f"not run: error {s['error']}") + ("",) * 8)
                continue
            executed = s["executed"] / s["film"]
            rows.append((s["model"], s["precision"], s["size"], ms(s["film"]), f"{1 / s['film']:.4g}", ms(s["seconds"]),
                         f"{ms(s['least'])}–{ms(s['most'])}", s["runs"], tera(s["nominal"] / s["film"]), tera(executed),
                         share(executed, self.peaks.get(s["precision"])), share(executed, self.products.get(s["precision"]))))
        if not rows:
            return []
        return ["### Speed", "", "Frames of 8-bit luma in page-locked host memory to 10-bit ones there: two under way, as in a run, "
                "which *fps* and what follows from it are of, and one frame at a time, the median. *Nominal* counts "
                "the network as published, *executed* what is left of it after the rewrites, halos of bands included; shares are "
                "of executed.", ""] + table(("network", "precision", "size", "ms/frame", "fps", "ms, one frame at a time", "range", "runs",
                                             "nominal TFLOP/s", "executed", "of `mma.sync` peak", "of torch's product"), rows)

    def stages(self):
        lines, shapes = [], {}
        for s in self.of("stage"):
            shapes.setdefault((s["model"], s["precision"], s["size"]), {})[s["what"]] = s
        for shape, stages in shapes.items():
            frame = stages["frame"]["seconds"]
            order = [w for w in ("copy in", "load", "network", "store", "copy out") if w in stages]
            rows = [(w, ms(stages[w]["seconds"]), share(stages[w]["seconds"], frame), self.rate(stages[w])) for w in order]
            idle = frame - sum(stages[w]["seconds"] for w in ("load", "network", "store") if w in stages)
            rest = frame - sum(stages[w]["seconds"] for w in order)
            rows += [("the rest", ms(max(rest, 0)), share(max(rest, 0), frame), ""), ("a frame", ms(frame), "", "")]
            lines += [f"{', '.join(shape)}: the GPU computes for {share(frame - idle, frame)} of a frame's time, and is idle or "
                      f"copies for {share(max(idle, 0), frame)}.", ""]
            lines += table(("stage", "ms", "of the frame", "GB/s"), rows)
            lines += [self.replays(r) for r in self.of("replay") if (r["model"], r["precision"], r["size"]) == shape] + [""]
            lines += [f"Two pictures under way: {ms(t['one'])} ms for each one after the other, {ms(t['two'])} ms beside each other."
                      for t in self.of("sides") if (t["model"], t["precision"], t["size"]) == shape] + [""]
            lines += [f"{t['count']} tiles of {t['tile']}, as reuse asks for them: {ms(t['together'])} ms at once, "
                      f"{ms(t['apart'])} ms one by one." for t in self.of("tiles") if (t["model"], t["precision"], t["size"]) == shape] + [""]
            lines += self.layers(shape)
        return ["### Where the time goes", "", "Each stage alone, the median of a few; layers one by one, between events.", "",
                *lines] if lines else []

    @staticmethod
    def replays(item):
        ways = [f"{name} {ms(w['device'])} ms ({w['launches']} launches, which keep the host for {ms(w['host'])} ms; the GPU waits for "
                f"{share(max(w['device'] - item['busy'], 0), w['device'])})"
                for name, w in (("from graphs", item["replayed"]), ("layer by layer", item["plain"]))]
        return f"From the device's memory to a canvas, by its clock: {ways[0]}, {ways[1]}; its kernels one by one take {ms(item['busy'])} ms."

    def wgmma(self):
        layers = self.of("wgmma")
        if not layers:
            return []
        timed = [w for w in layers if w["size"] == layers[-1]["size"]]
        rows = [(w["layer"], w["precision"], w["way"], f"{w['seconds'] * 1e6:.0f}", f"{w['other'] * 1e6:.0f}", tera(w["flop"] / w["seconds"]),
                 share(w["flop"] / w["seconds"], self.peaks.get(w["precision"])), share(w["flop"] / w["seconds"], self.most),
                 share(w["flop"] / w["seconds"], self.products.get(w["precision"])), f"{w['worst']:.2g}", verdict(w)) for w in timed]
        lines = ["### Hopper's own products", "", f"Layers at {timed[0]['size']}; *worst* is the largest difference to the kernel for "
                 "all devices, of values about 1, and must be the same after many runs. Ways: *one* tap at a time, *two* rows, a *march*.", ""]
        lines += table(("layer", "precision", "way", "µs", "µs with `mma.sync`", "TFLOP/s", "of `mma.sync` peak", "of `wgmma` peak", "of torch's product",
                        "worst", ""), rows)
        odd = [w for w in layers if w["size"] != timed[0]["size"]]
        lines += [f"At {', '.join(dict.fromkeys(w['size'] for w in odd))}: {sum(w['ok'] for w in odd)} of {len(odd)} layers ok.", ""]
        lines += table(("network", "precision", "way", "PSNR with the reference, dB", ""), [
            (c["model"], c["precision"], c["way"], c["psnr"], verdict(c)) for c in self.of("wgmma compare") if "ok" in c])
        other = {(s["model"], s["precision"], s["size"]): s["film"] for s in self.of("speed") if "film" in s}
        return lines + table(("network", "precision", "size", "way", "ms/frame", "ms with `mma.sync`", "fps", "nominal TFLOP/s"), [
            (s["model"], s["precision"], s["size"], s["way"], ms(s["film"]), ms(other[key]) if (key := (
                s["model"], s["precision"], s["size"])) in other else "", f"{1 / s['film']:.4g}", tera(s["nominal"] / s["film"]))
            for s in self.of("wgmma speed") if "film" in s])

    def small(self):
        rows = [(s["channels"], s["size"], "one kernel" if s["fits"] else "doesn't fit: by layers", ms(s["one"]), ms(s["layers"]),
                 f"{s['memory'] / 1e6:.0f}", f"{s['layers_memory'] / 1e6:.0f}", verdict(s)) for s in self.of("small")]
        return ["### Small networks in one kernel", "", "Five hidden layers, random weights, fp16; the network alone. Both ways must "
                "give the same bits.", ""] + table(("channels", "size", "", "ms", "ms by layers", "MB", "MB by layers", ""),
                                                   rows) if rows else []

    def tail(self):
        tails = self.of("tail")
        if not tails:
            return []
        rows = [(t["precision"], t["size"], ms(t["first"]), ms(t["wgmma"]) if t["wgmma"] else "–", ms(t["last"]),
                 ms(t["both"]) if t["fits"] else "doesn't fit", verdict(t)) for t in tails]
        lines = ["### The last two layers in one kernel", "", "64 → 64 → 1 channels, 3×3; the bits must be those of the two one by "
                 "one with `mma.sync`.", ""]
        lines += table(("precision", "size", "first, ms", "first with `wgmma`", "last", "both at once", ""), rows)
        compared = [(c["model"], c["precision"], c["psnr"], verdict(c)) for c in self.of("tail compare") if "ok" in c]
        lines += table(("network", "precision", "PSNR with fp32, dB", ""), compared) if compared else []
        other = {(s["model"], s["precision"], s["size"]): s["film"] for s in self.of("speed") if "film" in s}
        timed = [(s["model"], s["precision"], s["size"], ms(s["film"]), ms(other[key]) if (key := (
            s["model"], s["precision"], s["size"])) in other else "") for s in self.of("tail speed") if "film" in s]
        return lines + (table(("network", "precision", "size", "ms/frame", "ms one by one"), timed) if timed else [])

    @staticmethod
    def rate(stage):
        return f"{stage['bytes'] / stage['seconds'] / 1e9:.0f}" if stage["bytes"] and stage["seconds"] else ""

    def layers(self, shape):
        groups = {}
        for layer in self.of("layer"):
            if (layer["model"], layer["precision"], layer["size"]) == shape:
                key = (layer["kernel"], layer["in"], layer["out"], layer["scale"], layer["conv"])
                groups.setdefault(key, []).append(layer)
        total = sum(layer["seconds"] for g in groups.values() for layer in g) or 1
        rows = []
        for (kernel, ins, outs, scale, conv), group in sorted(groups.items(), key=lambda g: -sum(n["seconds"] for n in g[1])):
            seconds, flops = sum(n["seconds"] for n in group), sum(n["executed"] for n in group)
            rows.append((f"{ins} → {outs}" + (f" at ×{scale}" if scale > 1 else ""), kernel, len(group), ms(seconds), share(seconds, total),
                         tera(flops / seconds) if conv else "", share(flops / seconds, self.peaks.get(shape[1])) if conv else ""))
        return table(("layers", "kernel", "n", "ms", "time", "TFLOP/s", "of `mma.sync` peak"), rows)

    def engines(self):
        if not self.of("engine"):
            return []
        order = {e["layer"]: n for n, e in reversed(list(enumerate(self.of("engine"))))}
        rows = [(e["layer"], f"**{e['engine']}**" if e["engine"] == "kizuna" else e["engine"], f"{e['seconds'] * 1e6:.0f}",
                 tera(e["flops"]), share(e["flops"], self.peaks.get("fp16")), f"{e['worst']:.2g}", verdict(e))
                for e in sorted(self.of("engine"), key=lambda e: (order[e["layer"]], e["seconds"]))]
        return ["### cuDNN's engines", "", f"Layers in fp16 at {self.of('engine')[0]['size']}, fastest first; *worst* is the largest "
                "difference to our kernel, of values about 1.", ""] + table(
                    ("layer", "engine", "µs", "TFLOP/s", "of `mma.sync` peak", "worst", ""), rows)

    def choice(self):
        if not self.of("choice"):
            return []
        lines = ["### Engines as a run chooses them", "", "Seconds to compile a plan with our own kernels alone, with engines chosen anew, "
                 "and with those that were kept; a film of few pictures, two under way, the last two of them compared. *Lost* are graphs "
                 "that couldn't be captured or launched, *failed* engines that failed in a run.", ""]
        lines += table(("network", "size", "layers", "compile: own, s", "chosen", "kept", "ms/picture, own", "chosen", "PSNR, dB", "lost",
                        "failed", ""), [
            (c["model"], c["size"], c["layers"], f"{c['plain']:.2f}", f"{c['first']:.1f}", f"{c['again']:.2f}", ms(c["alone"]), ms(c["film"]),
             c["psnr"], c["lost"], c["failed"], verdict(c)) for c in self.of("choice")])
        lines += [f"- {c['size']}: {c['identity']}" for c in self.of("choice")] + [""]
        return lines + ["```", *(f"{c['size']}: {c['engine']}" for c in self.of("chosen")), "```", ""]

    def peers(self):
        own, rows, lines = {}, [], []
        for s in self.of("speed"):
            if s["precision"] == "fp16" and "seconds" in s:
                own[s["model"], s["size"]] = s
        for (model, size), s in own.items():
            rows.append(((model, pixels(size), 0), (model, size, "**kizuna fp16**", ms(s["seconds"]), f"{ms(s['least'])}–{ms(s['most'])}",
                                                    "", "", tera(s["nominal"] / s["seconds"]), "")))
        for p in self.of("peer"):
            mine = own.get((p["model"], p["size"]))
            rows.append(((p["model"], pixels(p["size"]), p["seconds"]), (
                p["model"], p["size"], p["engine"], ms(p["seconds"]), f"{ms(p['least'])}–{ms(p['most'])}", ms(p["network"]),
                p["runs"], tera(mine["nominal"] / p["seconds"]) if mine else "", f"{p['seconds'] / mine['seconds']:.2f}" if mine else "")))
        if self.of("peer"):
            lines += ["### Against other engines", "", "The same weights, luma fed three times to the others; from frame to frame in "
                      "host memory as above, one at a time. Not interleaved with kizuna's runs.", ""]
            lines += table(("network", "size", "engine", "ms/frame, median", "range", "network alone", "runs", "nominal TFLOP/s",
                            "kizuna's speed to it"), [row for _, row in sorted(rows, key=lambda r: r[0])])
        if self.of("agree"):
            lines += table(("network", "size", "against", "PSNR, dB", "worst, codes", ""), [
                (a["model"], a["size"], a["with"], f"{a['psnr']:.1f}", f"{a['worst_codes']:.3f}", verdict(a)) for a in self.of("agree")])
        absent = [f"- {a['engine']}: {a['why']}" for a in self.of("absent")]
        return lines + (["Not measured:", ""] + absent + [""] if absent else [])

    def nvdec(self):
        lines = ["### NVDEC", ""]
        if self.of("nvdec"):
            lines += ["Pictures of short films with the md5 that software's have: decoded by the carried libav's software, by NVDEC alone, "
                      "and as a run decodes, which trusts NVDEC after eight equal ones. *Seen*: kernels get the same bits from the "
                      "surface as from the host's copy.", ""]
            lines += table(("film", "size", "", "NVDEC has to give", "pictures", "software", "NVDEC", "seen", "a run", "of it by NVDEC", "",
                            "libav says"), [
                (d["film"], d["size"], d["pixels"], {"same": "the same"}.get(d["what"], d["what"]), d["frames"], d["software"], d["nvdec"],
                 d["seen"], d["run"], d["there"], verdict(d) if d["held"] else "**FAILED**: held pictures changed", d["why"])
                for d in self.of("nvdec")])
        if self.of("surfaces"):
            lines += ["Pictures held at a time, of a film with 16 references:", ""]
            lines += table(("held", "given", "", "libav says"), [
                (s["held"], s["frames"], "refused" if s["why"] and s["ok"] else verdict(s), s["why"]) for s in self.of("surfaces")])
        if self.of("decoding"):
            lines += ["Speed, the films over and over:", ""]
            lines += table(("film", "size", "", "way", "pictures", "fps", ""), [
                (d["film"], d["size"], d["pixels"], d["way"], d["frames"], f"{d['frames'] / d['seconds']:.4g}", verdict(d))
                for d in self.of("decoding")])
        return lines if len(lines) > 2 else lines + ["Not tested.", ""]

    def nvenc(self):
        lines = ["### NVENC", ""]
        for e in self.of("nvenc"):
            if e["opens"]:
                lines += table(("size", "", "`cq`", "pictures", "kB a picture", "fps", "PSNR of luma, dB", ""), [
                    (e["size"], e["pixels"], e["quality"], f"{e['decoded']} of {e['frames']}",
                     f"{e['bytes'] / max(e['frames'], 1) / 1e3:.1f}", f"{e['frames'] / e['seconds']:.4g}", f"{e['psnr']:.1f}", verdict(e))])
            else:
                lines += [f"**Untested: {e['why']}.** libav's error {e['code']} ({e['means']}); it says: {e['says'] or 'nothing'}.", ""]
        return lines if self.of("nvenc") else lines + ["Not tested.", ""]

    def text(self):
        return "\n".join(self.head() + self.parts() + self.results() + self.roofs() + self.wgmma() + self.speed() + self.stages() + self.small() +
                         self.tail() + self.choice() + self.nvdec() + self.nvenc() + self.engines() + self.peers())


def main():
    folder, path = sys.argv[1:]
    text = Report(folder).text()
    with open(path + ".new", "w") as report:
        report.write(text)
    os.replace(path + ".new", path)


main()
