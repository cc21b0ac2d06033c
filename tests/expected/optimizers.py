"""Expected parameters after ten steps of each optimizer: PyTorch in f32. Writes optimizers.json next to itself.

    python tests/expected/optimizers.py      (torch)

Two tensors of five entries with a rate each; gradients by formula: g_t = sin(3 i + t) + 0.2 p, i the entry's index, t from 1.
"""
import json, pathlib
import torch

start = [0.5, -1.0, 2.0, 0.1, -0.3, 1.5, -2.5, 0.05, 0.7, -0.9]
index = torch.arange(10, dtype=torch.float64)


def run(make, factors):
    p = torch.tensor(start, dtype=torch.float32)
    a, b = p[:5].clone().requires_grad_(True), p[5:].clone().requires_grad_(True)
    optimizer = make([dict(params=[a], lr=1e-2), dict(params=[b], lr=3e-3)])
    rates = [group["lr"] for group in optimizer.param_groups]
    for t, factor in enumerate(factors, 1):
        for group, rate in zip(optimizer.param_groups, rates):
            group["lr"] = rate * factor
        wave = torch.sin(3 * index + t).float()
        a.grad = wave[:5] + torch.tensor(0.2) * a.detach()
        b.grad = wave[5:] + torch.tensor(0.2) * b.detach()
        optimizer.step()
    return torch.cat([a, b]).tolist()


O = torch.optim
flat = [1.0] * 10
falling = [1.0 - 0.1 * t for t in range(10)]
cases = dict(
    adam=run(lambda g: O.Adam(g, weight_decay=1e-2), flat),
    adam_plain=run(lambda g: O.Adam(g, betas=(0.8, 0.95), eps=1e-6), falling),
    adamw=run(lambda g: O.AdamW(g, weight_decay=1e-2), falling),
    sgd=run(lambda g: O.SGD(g, lr=1e-2, weight_decay=1e-3), flat),
    momentum=run(lambda g: O.SGD(g, lr=1e-2, momentum=0.9, weight_decay=1e-3), falling),
    nesterov=run(lambda g: O.SGD(g, lr=1e-2, momentum=0.9, nesterov=True), flat),
)
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(dict(torch=torch.__version__, start=start, factors=dict(flat=flat, falling=falling), cases=cases), indent=1) + "\n")
