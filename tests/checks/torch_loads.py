#!/usr/bin/env python3
"""torch loads weights saved by macula: every name and layout of torchvision's ResNet18, with the same logits.

    MACULA_SAVE_RESNET18=/tmp/resnet18.safetensors cargo test --test it resnet18_matches_pytorch
    python tests/checks/torch_loads.py /tmp/resnet18.safetensors

Fails if a name is missing or unexpected, a shape differs, or a logit differs from tests/expected/resnet18.json.
"""
import json
import pathlib
import sys

import torch
import torchvision
from safetensors.torch import load_file


sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "expected"))
from formula import formula

expected = json.loads((pathlib.Path(__file__).parent.parent / "expected/resnet18.json").read_text())
net = torchvision.models.resnet18(num_classes=4)
net.load_state_dict(load_file(sys.argv[1]), strict=True)
net = net.double().eval()
pixels = torch.from_numpy(formula("pixels", 3 * 64 * 64 * 3, -2.0, 2.0).reshape(3, 64, 64, 3)).double()
with torch.no_grad():
    logits = net(pixels.permute(0, 3, 1, 2)).flatten()
wanted = torch.tensor(expected["evaluated"], dtype=torch.float64)
error = float((logits - wanted).abs().max() / wanted.abs().max())
assert error < 1e-6, f"logits differ by {error}"
print(f"torch loaded {len(load_file(sys.argv[1]))} tensors; logits differ by {error:.1e}")
