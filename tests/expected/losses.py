"""Expected values of the losses: PyTorch in f64. Writes losses.json next to itself.

    python tests/expected/losses.py          (torch)
"""
import json, pathlib
import torch
import torch.nn.functional as F

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
logits = (torch.randn(6, 4) * 3).float().double()
logits[0, 0], logits[1, 1], logits[2, 2], logits[3, 3] = 100.0, -100.0, 30.0, -30.0
y = (torch.rand(6, 4) < 0.4).double()
known = torch.rand(6, 4) < 0.8
known[:4].fill_diagonal_(True)


def loss(x, gamma, positive, negative):
    """-[a+ y (1-p)^g log p + a- (1-y) p^g log(1-p)], per-class factors, mean over known entries."""
    log_p, log_q = F.logsigmoid(x), F.logsigmoid(-x)
    entry = -(positive * y * torch.exp(gamma * log_q) * log_p + negative * (1 - y) * torch.exp(gamma * log_p) * log_q)
    return entry[known].mean()


cases = []
for gamma, positive, negative in [
    (0.0, [1.0] * 4, [1.0] * 4),
    (2.0, [1.0] * 4, [1.0] * 4),
    (1.5, [0.4, 0.7, 1.1, 1.8], [0.4, 0.7, 1.1, 1.8]),
    (0.5, [3.0, 2.0, 1.0, 0.5], [0.25, 0.5, 0.75, 1.0]),
]:
    x = logits.clone().requires_grad_(True)
    value = loss(x, gamma, torch.tensor(positive), torch.tensor(negative))
    value.backward()
    cases.append(dict(gamma=gamma, positive=positive, negative=negative, value=value.item(), gradient=x.grad.flatten().tolist()))
bce = F.binary_cross_entropy_with_logits(logits[known], y[known]).item()
out = dict(torch=torch.__version__, logits=logits.flatten().tolist(), labels=[("a", "p")[int(v)] if k else "u" for v, k in zip(y.flatten(), known.flatten())], bce=bce, cases=cases)
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(out, indent=1) + "\n")
