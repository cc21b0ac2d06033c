#!/usr/bin/env python3
"""Expected values of ResNet18 for tests/it/kernels: logits, gradients and running statistics by torch, in f64.

    python resnet18.py > resnet18.json          (torch, torchvision, numpy)

Weights and pixels come from a formula that the test repeats, so nothing large is stored. Of each gradient there are its
norm, its product with another vector of the formula, and its first value.
"""
import json
import zlib

import numpy
import torch
import torchvision


def formula(name, count, low, high):
    """The same floats everywhere: a multiplicative hash of the index, begun by the name's CRC-32."""
    start = zlib.crc32(name.encode())
    index = numpy.arange(count, dtype=numpy.uint64)
    bits = (index * numpy.uint64(2654435761) + numpy.uint64(start)) & numpy.uint64(0xFFFFFFFF)
    bits = ((bits ^ (bits >> numpy.uint64(15))) * numpy.uint64(2246822519)) & numpy.uint64(0xFFFFFFFF)
    bits ^= bits >> numpy.uint64(13)
    return (low + (high - low) * (bits.astype(numpy.float64) / 4294967296.0)).astype(numpy.float32)


def bounds(name, shape):
    if name.endswith("running_mean"):
        return -0.2, 0.2
    if name.endswith("running_var"):
        return 0.5, 1.5
    if len(shape) > 1:
        bound = (6.0 / numpy.prod(shape[1:])) ** 0.5
        return -bound, bound
    return (0.6, 1.4) if name.endswith("weight") else (-0.2, 0.2)


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
