#!/usr/bin/env python3
"""Expected values of ResNet18 for tests/it/kernels: logits, gradients and running statistics from torch, in f64.

    python resnet18.py > resnet18.json          (torch, torchvision, numpy)

Weights and pixels come from a formula that the test repeats, so nothing large is stored. Of each gradient there are its
norm, its product with another vector of the formula, and its first value.
"""
import json

import numpy
import torch
import torchvision

from formula import bounds, formula


net = torchvision.models.resnet18(num_classes=4)
state = {}
for name, tensor in net.state_dict().items():
    if not name.endswith("num_batches_tracked"):
        state[name] = torch.from_numpy(formula(name, tensor.numel(), *bounds(name, tensor.shape)).reshape(tensor.shape))
net.load_state_dict(state, strict=False)
net = net.double()

n, side = 3, 64
pixels = formula("pixels", n * side * side * 3, -2.0, 2.0).reshape(n, side, side, 3)
x = torch.from_numpy(pixels).double().permute(0, 3, 1, 2)
weights = torch.from_numpy(formula("logits", n * 4, -1.0, 1.0).reshape(n, 4)).double()

net.eval()
with torch.no_grad():
    evaluated = net(x)
net.train()
trained = net(x)
(trained * weights).sum().backward()
numbers = lambda tensor: [float(f"{value:.9g}") for value in tensor.detach().flatten().tolist()]
gradients = {}
for name, parameter in net.named_parameters():
    grad = parameter.grad.flatten()
    other = torch.from_numpy(formula("other", grad.numel(), -1.0, 1.0)).double()
    gradients[name] = numbers(torch.stack([grad.norm(), (grad * other).sum(), grad[0]]))
running = {}
for name, tensor in net.state_dict().items():
    if name.endswith(("running_mean", "running_var")):
        running[name] = numbers(torch.stack([tensor.double().norm(), tensor.double()[0]]))
print(json.dumps({"evaluated": numbers(evaluated), "trained": numbers(trained), "gradients": gradients, "running": running}, indent=0))
