#!/usr/bin/env python3
"""Expected values of the standard library's networks for tests/it/kernels: names and shapes of torchvision's and timm's tensors, and
logits and some gradients from torch, in f64. Weights and pixels come from formula.py.

    python networks.py > networks.json          (torch, torchvision, timm, numpy)

For each gradient: its norm, its product with another vector of the formula, and its first value.
"""
import json

import timm
import torch
import torchvision
from torch import nn

from formula import bounds, formula


class Shallow(nn.Module):
    """The standard library's shallow-cnn, which torchvision does not have."""

    def __init__(self, classes):
        super().__init__()
        last = 3
        for at, channels in enumerate([32, 64, 96, 128], 1):
            block = nn.Module()
            block.conv = nn.Conv2d(last, channels, 3, padding=1, bias=False)
            block.bn = nn.BatchNorm2d(channels)
            setattr(self, f"block{at}", block)
            last = channels
        self.fc = nn.Linear(last, classes)

    def forward(self, x):
        for at in range(1, 5):
            block = getattr(self, f"block{at}")
            x = nn.functional.max_pool2d(nn.functional.relu(block.bn(block.conv(x))), 2)
        # Without dropout: only evaluation is compared, and gradients with dropout off.
        return self.fc(x.mean((2, 3)))


class Every(nn.Module):
    """Every layer type that the four networks lack; tests/it/kernels/networks.rs has it in KDL."""

    def __init__(self, classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=2, dilation=2)
        self.norm = nn.BatchNorm2d(16)
        self.a = nn.Module()
        self.a.one = nn.Conv2d(16, 8, 1)
        self.b = nn.Module()
        self.b.one = nn.Conv2d(16, 8, 1, bias=False)
        self.b.two = nn.Conv2d(8, 12, 3, padding=1, groups=4)
        self.left = nn.Module()
        self.left.conv = nn.Conv2d(36, 20, 3, stride=2, padding=1)
        self.right = nn.Module()
        self.right.conv = nn.Conv2d(36, 20, 1)
        self.deep = nn.Conv2d(20, 20, 3, padding=1, groups=20, bias=False)
        self.hidden = nn.Linear(180, 24)
        self.bn = nn.BatchNorm1d(24)
        self.head = nn.Linear(24, classes)

    def forward(self, x):
        f = nn.functional
        x = f.gelu(self.norm(self.stem(x)))
        x = torch.cat([f.silu(self.a.one(x)), self.b.two(f.relu(self.b.one(x))), x], 1)
        x = f.relu(f.max_pool2d(self.left.conv(x), 3, 1, 1) + self.right.conv(f.avg_pool2d(x, 3, 2, 1)))
        x = f.silu(self.deep(x))
        x = f.adaptive_avg_pool2d(x, 3)
        return self.head(f.gelu(self.bn(self.hidden(x.flatten(1)))))


def swin_t(classes):
    """torchvision's `swin_t`, which insists on stochastic depth, without it."""
    return torchvision.models.swin_transformer.SwinTransformer(
        patch_size=[4, 4],
        embed_dim=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=[7, 7],
        stochastic_depth_prob=0.0,
        num_classes=classes,
    )


def convnext_t(classes):
    """torchvision's `convnext_tiny` without stochastic depth."""
    convnext = torchvision.models.convnext
    settings = [(96, 192, 3), (192, 384, 3), (384, 768, 9), (768, None, 3)]
    return convnext.ConvNeXt([convnext.CNBlockConfig(*one) for one in settings], num_classes=classes)


def numbers(tensor):
    return [float(f"{value:.9g}") for value in tensor.detach().flatten().tolist()]


def expected(net, side, n=2):
    state, tensors = {}, []
    for name, tensor in net.state_dict().items():
        if not name.endswith(("num_batches_tracked", "relative_position_index")):
            tensors.append(" ".join([name, *map(str, tensor.shape)]))
            values = formula(name, tensor.numel(), *bounds(name, tensor.shape))
            state[name] = torch.from_numpy(values.reshape(tensor.shape))
    net.load_state_dict(state, strict=False)
    net = net.double()
    pixels = formula("pixels", n * side * side * 3, -2.0, 2.0).reshape(n, side, side, 3)
    x = torch.from_numpy(pixels).double().permute(0, 3, 1, 2)
    weights = torch.from_numpy(formula("logits", n * 4, -1.0, 1.0).reshape(n, 4)).double()
    net.eval()
    with torch.no_grad():
        evaluated = net(x)
    net.train()
    trained = net(x)
    (trained * weights).sum().backward()
    gradients = {}
    for name, parameter in net.named_parameters():
        grad = parameter.grad.flatten()
        other = torch.from_numpy(formula("other", grad.numel(), -1.0, 1.0)).double()
        gradients[name] = numbers(torch.stack([grad.norm(), (grad * other).sum(), grad[0]]))
    return {"images": n, "side": side, "tensors": tensors, "evaluated": numbers(evaluated), "trained": numbers(trained), "gradients": gradients}


models = torchvision.models
found = {
    "shallow-cnn": expected(Shallow(4), 48),
    "resnet18": expected(models.resnet18(num_classes=4), 64),
    "resnet34": expected(models.resnet34(num_classes=4), 64),
    "resnet50": expected(models.resnet50(num_classes=4), 64),
    "efficientnet-lite0": expected(timm.create_model("efficientnet_lite0", num_classes=4), 64),
    # Sides of 20, 10, 5 and 3 pixels: windows that are padded and move, and one that covers the map. Without stochastic depth.
    "swin-t": expected(swin_t(4), 80),
    "convnext-t": expected(convnext_t(4), 96),
    "vit-s16": expected(timm.create_model("vit_small_patch16_224", num_classes=4, img_size=48), 48),
    "every": expected(Every(4), 22, 5),
}
# Gradients of a few tensors at both ends and in between; the layer tests cover all of them.
for name, network in found.items():
    names = list(network["gradients"])
    kept = names if name == "every" else names[:3] + names[len(names) // 2 : len(names) // 2 + 3] + names[-3:]
    kept += [tensor for tensor in names if "1.attn" in tensor]  # blocks of Swin whose windows move
    network["gradients"] = {name: network["gradients"][name] for name in kept}
print(json.dumps(found, indent=0))
