"""Expected losses of one epoch of training, step by step: PyTorch in f32. Writes epoch.json next to itself.

    python tests/expected/epoch.py           (torch)

Everything is by formula, so that the test makes the same: pixels sin(0.9 n (c + 1) + 0.35 h + (0.2 + 0.4 y0) w), labels
y0 = n mod 3 == 0, y1 = n mod 2, the second unknown where n mod 7 == 3; tensor t (in the order below) of s entries with fan f
begins at sqrt(3 / f) sin(0.7 i + t). 96 patches of 16 px in batches of 8, in order; focal loss (gamma 2), AdamW.
"""
import json, math, pathlib
import torch
import torch.nn as nn
import torch.nn.functional as F


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.a, self.na = nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.b, self.nb = nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        self.s, self.ns = nn.Conv2d(8, 16, 1, 2, bias=False), nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, 2)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = F.relu(self.nb(self.b(F.relu(self.na(self.a(x))))) + self.ns(self.s(x)))
        return self.fc(x.mean((2, 3)))


net = Small()
kernels = ["conv1.weight", "a.weight", "b.weight", "s.weight", "fc.weight", "fc.bias"]
with torch.no_grad():
    for t, name in enumerate(kernels):
        p = dict(net.named_parameters())[name]
        fan = p[0].numel() if p.dim() > 1 else 16
        p.copy_((math.sqrt(3 / fan) * torch.sin(0.7 * torch.arange(p.numel(), dtype=torch.float64) + t)).float().reshape(p.shape))

N, S, B = 96, 16, 8
n = torch.arange(N)
y = torch.stack([(n % 3 == 0).float(), (n % 2).float()], 1)
known = torch.ones(N, 2, dtype=torch.bool)
known[n % 7 == 3, 1] = False
c, h, w = torch.meshgrid(torch.arange(3.0), torch.arange(float(S)), torch.arange(float(S)), indexing="ij")
x = torch.sin(0.9 * n.double()[:, None, None, None] * (c + 1) + 0.35 * h + (0.2 + 0.4 * y[:, 0].double())[:, None, None, None] * w).float()

groups = [dict(params=[p for k, p in net.named_parameters() if not k.startswith("fc")], lr=3e-3), dict(params=list(net.fc.parameters()), lr=1e-2)]
optimizer = torch.optim.AdamW(groups, weight_decay=1e-2)
losses = []
net.train()
for i in range(0, N, B):
    logits = net(x[i : i + B])
    bce = F.binary_cross_entropy_with_logits(logits, y[i : i + B], reduction="none")
    loss = (bce * (1 - torch.exp(-bce)) ** 2)[known[i : i + B]].mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
net.eval()
with torch.no_grad():
    logits = net(x[:4]).flatten().tolist()
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(dict(torch=torch.__version__, losses=losses, logits=logits), indent=1) + "\n")
