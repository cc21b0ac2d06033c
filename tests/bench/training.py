#!/usr/bin/env python3
"""`macula bench` against PyTorch, alternating: training and inference, images per second, medians and ratios.

    cargo build --release
    python tests/bench/training.py [--macula target/release/macula] [--networks resnet18 efficientnet-lite0 …]
        [--sizes 128 224] [--batch 32] [--threads 2] [--steps 5] [--rounds 5] [--what train infer] [--json]

Needs torch and torchvision, and timm for efficientnet-lite0. PyTorch is measured with and without channels_last, each in its own process,
and the better one counts. A ratio above 1 means that macula is faster. `processor` is the ratio of processor time, which is more
reliable than wall time on a shared machine. A step is that of the usual script: forward, focal loss (gamma 2), backward, Adam.
"""
import argparse
import json
import resource
import statistics
import subprocess
import sys
import time


def torch_side(a):
    import torch

    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    if a.network == "efficientnet-lite0":
        import timm

        net = timm.create_model("efficientnet_lite0", num_classes=4)
    else:
        import torchvision

        net = getattr(torchvision.models, a.network.replace("-", "_"))(num_classes=4)
    form = torch.channels_last if a.channels_last else torch.contiguous_format
    net = net.to(memory_format=form)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, weight_decay=1e-5)
    x = torch.rand(a.batch, 3, a.size, a.size).to(memory_format=form)
    y = (torch.rand(a.batch, 4) < 0.3).float()

    def step():
        bce = torch.nn.functional.binary_cross_entropy_with_logits(net(x), y, reduction="none")
        loss = (bce * (1 - torch.exp(-bce)) ** 2).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def infer():
        with torch.no_grad():
            net(x)

    run = step if a.one == "train" else infer
    net.train(a.one == "train")
    for _ in range(a.warmup):
        run()
    times, begun = [], time.process_time()
    for _ in range(a.steps):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    ms = statistics.median(times) * 1e3
    processor = (time.process_time() - begun) / a.steps * 1e3
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    found = {"ms": round(ms, 2), "images_per_s": round(a.batch / ms * 1e3, 1), "processor_ms": round(processor, 1), "peak_mib": peak}
    print(json.dumps({**found, "torch": torch.__version__}))


def call(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def compare(a):
    rows = []
    for network in a.networks:
        for what in a.what:
            for size in a.sizes:
                common = ["--network", network, "--size", str(size), "--batch", str(a.batch), "--threads", str(a.threads), "--steps", str(a.steps)]
                common += ["--warmup", str(a.warmup)]
                sides = {
                    "macula": [a.macula, "bench", what, *common, "--json"],
                    "channels_last": [sys.executable, __file__, "--one", what, *common, "--channels-last"],
                    "contiguous": [sys.executable, __file__, "--one", what, *common],
                }
                found = {side: [] for side in sides}
                for _ in range(a.rounds):
                    for side, command in sides.items():
                        found[side].append(call(command))
                median = {side: {key: statistics.median(run[key] for run in runs) for key in ("ms", "processor_ms", "peak_mib")} for side, runs in found.items()}
                other = min(("channels_last", "contiguous"), key=lambda side: median[side]["ms"])
                pairs = [theirs["ms"] / ours["ms"] for ours, theirs in zip(found["macula"], found[other])]
                ours, theirs = median["macula"], median[other]
                row = {
                    "network": network, "what": what, "size": size, "torch": other, "macula_ms": ours["ms"], "torch_ms": theirs["ms"],
                    "ratio": theirs["ms"] / ours["ms"], "pairs": [round(pair, 2) for pair in sorted(pairs)],
                    "processor": theirs["processor_ms"] / ours["processor_ms"], "macula_mib": ours["peak_mib"], "torch_mib": theirs["peak_mib"],
                    "macula_processor_ms": ours["processor_ms"], "torch_processor_ms": theirs["processor_ms"],
                }
                rows.append(row)
                if a.json:
                    print(json.dumps(row), flush=True)
                else:
                    print(
                        f"{network} {what} {size} px: {ours['ms']:.0f} ms, torch ({other}) {theirs['ms']:.0f} ms: {row['ratio']:.2f} "
                        f"(pairs {row['pairs'][0]} to {row['pairs'][-1]}); processor {ours['processor_ms']:.0f} and {theirs['processor_ms']:.0f} ms: "
                        f"{row['processor']:.2f}; peak {ours['peak_mib']:.0f} and {theirs['peak_mib']:.0f} MiB",
                        flush=True,
                    )


p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--macula", default="target/release/macula")
p.add_argument("--networks", nargs="+", default=["resnet18", "efficientnet-lite0"])
p.add_argument("--what", nargs="+", default=["train", "infer"])
p.add_argument("--sizes", nargs="+", type=int, default=[128, 224])
p.add_argument("--batch", type=int, default=32)
p.add_argument("--threads", type=int, default=2)
p.add_argument("--steps", type=int, default=5)
p.add_argument("--warmup", type=int, default=2)
p.add_argument("--rounds", type=int, default=5)
p.add_argument("--json", action="store_true")
# This script calls itself to measure PyTorch.
p.add_argument("--one", choices=["train", "infer"], help=argparse.SUPPRESS)
p.add_argument("--network", help=argparse.SUPPRESS)
p.add_argument("--size", type=int, help=argparse.SUPPRESS)
p.add_argument("--channels-last", action="store_true", help=argparse.SUPPRESS)
a = p.parse_args()
torch_side(a) if a.one else compare(a)
