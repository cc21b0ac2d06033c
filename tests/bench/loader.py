#!/usr/bin/env python3
"""`macula bench load` against torchvision's v2 transforms, and albumentations if installed: the same operations on patches of the
same size, one thread each, alternating.

    cargo build --release && python tests/bench/loader.py [--macula target/release/macula] [--size 128] [--batch 32] [--rounds 5]

Flips with probability 0.5, rotation within 15 degrees (bilinear), colour jitter of 0.2, 0.2, 0.2 and 0.02, then normalisation. Patches are
u8 in memory, the result is a normalised f32 batch. torchvision is measured on tensors, patch by patch (each with its own draw, as in
macula). Prints patches per second of processor time and ratios of the medians.
"""
import argparse
import json
import statistics
import subprocess
import time

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--macula", default="target/release/macula")
p.add_argument("--size", type=int, default=128)
p.add_argument("--batch", type=int, default=32)
p.add_argument("--steps", type=int, default=40)
p.add_argument("--rounds", type=int, default=5)
a = p.parse_args()

import numpy
import torch
from torchvision.transforms import InterpolationMode, v2

torch.set_num_threads(1)
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
patches = numpy.random.default_rng(1).integers(0, 256, (512, a.size, a.size, 3), dtype=numpy.uint8)
tensors = torch.from_numpy(patches).permute(0, 3, 1, 2).contiguous()
flips = [v2.RandomHorizontalFlip(0.5), v2.RandomVerticalFlip(0.5)]
moves = [*flips, v2.RandomRotation(15, interpolation=InterpolationMode.BILINEAR)]
jitter = [v2.ColorJitter(0.2, 0.2, 0.2, 0.02)]
normal = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
torchvision = {name: v2.Compose([*changes, *normal]) for name, changes in [("none", []), ("flip", flips), ("move", moves), ("all", moves + jitter)]}


def of_torchvision(name, batch):
    return torch.stack([torchvision[name](tensors[index]) for index in batch])


sides = {"torchvision v2": of_torchvision}
try:
    import albumentations as A
    import cv2

    cv2.setNumThreads(1)
    flips = [A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)]
    moves = [*flips, A.Rotate(15, p=1.0)]
    changes = {"none": [], "flip": flips, "move": moves, "all": [*moves, A.ColorJitter(0.2, 0.2, 0.2, 0.02, p=1.0)]}
    albumentations = {name: A.Compose([*changes, A.Normalize(MEAN, STD)]) for name, changes in changes.items()}
    sides["albumentations"] = lambda name, batch: numpy.stack([albumentations[name](image=patches[index])["image"] for index in batch])
except ImportError:
    print("albumentations is not installed; skipping it")


def rate(side, name):
    """Patches per second of processor time."""
    for step in range(3):
        side(name, range(a.batch))
    begun = time.process_time()
    for step in range(a.steps):
        side(name, [(step * a.batch + at) % len(patches) for at in range(a.batch)])
    return a.steps * a.batch / (time.process_time() - begun)


def of_macula(name):
    arguments = ["bench", "load", "--augment", name, "--size", str(a.size), "--batch", str(a.batch), "--threads", "1", "--json"]
    # Processor time has a resolution of a hundredth of a second, hence many steps.
    line = subprocess.run([a.macula, *arguments, "--steps", str(10 * a.steps)], check=True, capture_output=True, text=True).stdout
    return a.batch / json.loads(line)["processor_ms"] * 1e3


for name in ["none", "flip", "move", "all"]:
    found = {"macula": [], **{side: [] for side in sides}}
    for _ in range(a.rounds):
        found["macula"].append(of_macula(name))
        for side, run in sides.items():
            found[side].append(rate(run, name))
    median = {side: statistics.median(rates) for side, rates in found.items()}
    others = ", ".join(f"{side} {median[side]:.0f} ({median['macula'] / median[side]:.1f})" for side in sides)
    print(f"{name}: macula {median['macula']:.0f} patches per second of processor time; {others}", flush=True)
