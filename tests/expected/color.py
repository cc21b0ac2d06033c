"""Expected colour jitter with fixed factors: torchvision on float tensors. Writes color.json next to itself.

    python tests/expected/color.py           (torch, torchvision)

The image is 4 x 4 by formula: byte c of pixel i is (37 i + 91 c + 11 i c) mod 256.
"""
import json, pathlib
import torch, torchvision
import torchvision.transforms.functional as T

pixels = torch.tensor([[(37 * i + 91 * c + 11 * i * c) % 256 for i in range(16)] for c in range(3)]).float().reshape(3, 4, 4) / 255
cases = []
for b, c, s, h in [(1.2, 1, 1, 0), (1, 0.7, 1, 0), (1, 1, 1.6, 0), (1, 1, 1, 0.1), (1, 1, 1, -0.3), (0.9, 1.15, 0.85, 0.02), (1.1, 0.9, 1.2, -0.02)]:
    x = pixels
    if b != 1: x = T.adjust_brightness(x, b)
    if c != 1: x = T.adjust_contrast(x, c)
    if s != 1: x = T.adjust_saturation(x, s)
    if h != 0: x = T.adjust_hue(x, h)
    cases.append(dict(factors=[b, c, s, h], pixels=x.permute(1, 2, 0).flatten().tolist()))
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(dict(torchvision=torchvision.__version__, cases=cases), indent=1) + "\n")
