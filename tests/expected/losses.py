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
# Asymmetric loss as in the paper's code (Alibaba-MIIL/ASL, losses.py), but with its gradient through the focusing weights, without its
# clamp at 1e-8 (which the logits here do not reach, but for +-100), and as a mean over known entries in place of a sum.
def asymmetric(x, gamma_positive, gamma_negative, clip):
    p = torch.sigmoid(x)
    q = (1 - p + clip).clamp(max=1)
    log = y * F.logsigmoid(x) + (1 - y) * (torch.log(q) if clip > 0 else F.logsigmoid(-x))
    pt = y * p + (1 - y) * (q if clip > 0 else torch.sigmoid(-x))
    weight = torch.pow(torch.where(y == 1, torch.sigmoid(-x), 1 - pt), gamma_positive * y + gamma_negative * (1 - y))
    return -(log * weight)[known].mean()


asymmetrics = []
for gamma_positive, gamma_negative, clip in [(0.0, 4.0, 0.05), (1.0, 4.0, 0.05), (0.5, 2.0, 0.2), (1.0, 3.0, 0.0), (0.0, 0.0, 0.1)]:
    x = logits.clone().requires_grad_(True)
    value = asymmetric(x, gamma_positive, gamma_negative, clip)
    value.backward()
    asymmetrics.append(dict(gamma=[gamma_positive, gamma_negative], shift=clip, value=value.item(), gradient=x.grad.flatten().tolist()))

# Soft targets: mixed labels, and label smoothing of both kinds of labels (`BinaryCrossentropy(label_smoothing=)` of Keras).
soft = (y + torch.rand(6, 4) * (1 - 2 * y) * (torch.rand(6, 4) < 0.5)).float().double()
softs = []
for gamma, smoothing, target in [(0.0, 0.0, soft), (2.0, 0.0, soft), (0.0, 0.1, y), (2.0, 0.1, y), (1.0, 0.2, soft)]:
    x = logits.clone().requires_grad_(True)
    t = target * (1 - smoothing) + smoothing / 2
    if gamma == 0:
        value = F.binary_cross_entropy_with_logits(x[known], t[known])
    else:
        log_p, log_q = F.logsigmoid(x), F.logsigmoid(-x)
        value = -(t * torch.exp(gamma * log_q) * log_p + (1 - t) * torch.exp(gamma * log_p) * log_q)[known].mean()
    value.backward()
    softs.append(dict(gamma=gamma, smoothing=smoothing, soft=target is soft, value=value.item(), gradient=x.grad.flatten().tolist()))
bce = F.binary_cross_entropy_with_logits(logits[known], y[known]).item()
out = dict(torch=torch.__version__, logits=logits.flatten().tolist(), labels=[("a", "p")[int(v)] if k else "u" for v, k in zip(y.flatten(), known.flatten())], soft=soft.flatten().tolist(), bce=bce, cases=cases, asymmetric=asymmetrics, softened=softs)
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(out, indent=1) + "\n")
