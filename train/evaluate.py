"""One table of all networks: how near they come to pictures, or clips, that none of ours was trained on.

    python3 evaluate.py ../build/train/sources bicubic lanczos waifu2x ../models/kizuna-s.safetensors …

Each is reduced to half its size by area means, once clean and once for each lossy encoder, and enlarged again
by each network. PSNR and SSIM are of luma, SSIMULACRA2 of RGB whose colour is the small picture's, enlarged
bicubically; drift is the mean CIEDE2000 of it. Of a clip, PSNR is of all frames, what else compares pictures of
two of them. What was measured is kept beside the sources' folder, in judged/scores, by what the network, the
input and METHOD are: a second run measures only what is new.
"""

import argparse
import json
import pathlib

import numpy as np

import degrade
import inputs
import judged
import metrics

METHOD = 1  # what is kept of other ways to measure isn't used
NEAR, SEEN = {"psnr", "ssim"}, {"ssimulacra2", "drift", "worst"}
STEADY = {"shimmer", "unsteadiness"}


def enlarged(network, codes):
    """A frame like the one before is the same again."""
    made = []
    for before, code in zip([None, *codes], codes):
        if made and np.array_equal(before, code):
            made.append(made[-1])
        else:
            made.append(np.clip(network(degrade.values(code)), 0, 1))
    return made


def measured(network, item, source, wanted):
    made = enlarged(network, item.source(source))
    seen = [(made[t], item.targets[t]) for t in item.seen]
    out = {"psnr": mean(metrics.psnr(m, t.luma) for m, t in zip(made, item.targets)),
           "ssim": mean(metrics.ssim(m, t.luma) for m, t in seen)}
    if wanted & SEEN:
        shown = [(t.coloured(m), t.seen) for m, t in seen]
        drifts = [metrics.ciede2000(metrics.lab(rgb), t.lab) for rgb, t in shown]
        out["ssimulacra2"] = mean(metrics.ssimulacra2(rgb, t) for rgb, t in shown)
        out["drift"], out["worst"] = mean(d.mean() for d in drifts), max(float(d.max()) for d in drifts)
    if wanted & STEADY:
        out["shimmer"] = metrics.shimmer(made, item.still)
        out["unsteadiness"] = metrics.unsteadiness(made, [t.luma for t in item.targets], item.still)
    return out


def mean(values):
    return float(np.mean(list(values)))


def scores(network, item, source, wanted, kept):
    """From what is kept, or measured and kept."""
    file = kept / f"{METHOD} {network.digest} {item.digest} {source}.json"
    old = json.loads(file.read_text()) if file.exists() else {}
    if wanted <= old.keys():
        return old
    out = measured(network, item, source, wanted)
    kept.mkdir(parents=True, exist_ok=True)
    file.with_suffix(".partial").write_text(json.dumps({"network": network.name, "input": item.name, **out}))
    file.with_suffix(".partial").rename(file)
    return out


def cell(all_scores):
    """Means over the inputs."""
    def over(name):
        return np.mean([s[name] for s in all_scores])
    text = f"{over('psnr'):.2f} / {over('ssim'):.4f}"
    if all("ssimulacra2" in s for s in all_scores):
        worst = max(s["worst"] for s in all_scores)
        text += f" / {over('ssimulacra2'):.1f} / {over('drift'):.2f}, {worst:.0f}"
    return text


def table(title, sources, rows):
    print(f"\n{title}\n\n| network | " + " | ".join(sources) + " |\n" + "|---" * (1 + len(sources)) + "|")
    for name, cells in rows:
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def shimmer_cell(found, bicubic):
    """Beside bicubic's on the same sources: of the means over all clips, and of the worst clip."""
    pairs = [(s["shimmer"], b["shimmer"]) for s, b in zip(found, bicubic) if s["shimmer"]]
    cells = []
    for i in (0, 1):
        whole = np.sum([s[i] for s, _ in pairs]) / np.sum([b[i] for _, b in pairs])
        worst = max(s[i] / b[i] for s, b in pairs if b[i])
        cells.append(f"{whole:.2f} ({worst:.2f})")
    return " / ".join(cells)


def steadiness(networks, found, sources):
    """Tables of what clips alone have; a clean source has no shimmer, as what doesn't change is the same again."""
    moving = [(n.name, [f"{np.mean([s['unsteadiness'] for s in found[n, source]]):.2f}" for source in sources])
              for n in networks]
    table("Error of what moves, RMS in code values", sources, moving)
    lossy = [s for s in sources if s != "clean"]
    bicubic = next((n for n in networks if n.name == "bicubic"), None)
    if bicubic:
        held = [(n.name, [shimmer_cell(found[n, s], found[bicubic, s]) for s in lossy]) for n in networks]
        table("Shimmer of held drawings beside bicubic's, mean / 99.9th percentile (worst clip)", lossy, held)


def cost_cells(network):
    return [f"{n:,}" for n in network.cost] if network.cost else ["–", "–"]


def main():
    parser = argparse.ArgumentParser(description="Compare networks.")
    parser.add_argument("sources", type=pathlib.Path)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--clips", action="store_true", help="clips instead of pictures")
    parser.add_argument("--quick", action="store_true", help="PSNR and SSIM only")
    parser.add_argument("--hold-out", action="store_true",
                        help="the hold-out's, too: for a table, never for a choice")
    parser.add_argument("--every", type=int, default=1, help="only every Nth")
    args = parser.parse_args()
    kept = args.sources.parent / "judged"
    roles = ["validation", "hold-out"] if args.hold_out else ["validation"]
    networks = [judged.named(name, args.sources.parent / "peers") for name in args.networks]
    wanted = NEAR | (set() if args.quick else SEEN) | (STEADY if args.clips else set())
    sources, found, n = inputs.sources_of(args.clips), {}, 0
    for i, item in enumerate(inputs.every(args.sources, roles, kept, args.clips)):
        if i % args.every:
            continue
        n += 1
        for source in sources:
            for network in networks:
                found.setdefault((network, source), []).append(
                    scores(network, item, source, wanted, kept / "scores"))
    head = "PSNR / SSIM" + ("" if args.quick else " / SSIMULACRA2 / drift, mean and worst")
    table(f"{n} {'clips' if args.clips else 'pictures'}; {head}", sources,
          [(w.name, [cell(found[w, s]) for s in sources]) for w in networks])
    if args.clips:
        steadiness(networks, found, sources)
    table("Costs", ["parameters", "MAC per source pixel"], [(w.name, cost_cells(w)) for w in networks])


if __name__ == "__main__":
    main()
