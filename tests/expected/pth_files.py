#!/usr/bin/env python3
"""Writes torch files to pth/ for tests/it/kernels/checkpoints.rs: what people have besides plain state dictionaries.

    python pth_files.py pth

All hold `conv.weight` (2 x 3 x 2 x 2, 0, 1/8, 2/8, …) and `fc.bias` (0.5, -2), where they can be read.
"""
import pathlib
import sys
import warnings
import zipfile
from collections import OrderedDict, defaultdict

import torch

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
warnings.filterwarnings("ignore")


def state(prefix="", dtype=torch.float32):
    return OrderedDict({
        f"{prefix}conv.weight": (torch.arange(24, dtype=dtype) / 8).reshape(2, 3, 2, 2),
        f"{prefix}fc.bias": torch.tensor([0.5, -2.0], dtype=dtype),
    })


def save(name, what, **how):
    torch.save(what, folder / f"{name}.pth", **how)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 2, 2, bias=False)
        self.fc = torch.nn.Linear(2, 2)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))


# Memory layouts.
weight, bias = state().values()
save("channels-last", {"conv.weight": weight.to(memory_format=torch.channels_last), "fc.bias": bias})
wide = torch.zeros(24, 2)
wide[:, 1] = weight.flatten()
save("columns", {"conv.weight": wide[:, 1].reshape(24).as_strided((2, 3, 2, 2), (24, 8, 4, 2), 1), "fc.bias": bias})
backward = weight.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
save("fortran", {"conv.weight": backward, "fc.bias": bias})
both = torch.cat([torch.full((5,), 9.0), weight.flatten(), bias])
save("one-storage", {"conv.weight": both[5:29].reshape(2, 3, 2, 2), "fc.bias": both[29:]})
save("expanded", {"conv.weight": torch.tensor(0.25).expand(2, 3, 2, 2), "fc.bias": bias})

# Number formats, and tensors that are ignored.
for name, dtype in [("f64", torch.float64), ("f16", torch.float16), ("bf16", torch.bfloat16)]:
    save(name, state(dtype=dtype))
save("whole-numbers", {
    **state(),
    "a.long": torch.tensor(7),
    "a.int": torch.tensor([1], dtype=torch.int32),
    "a.bool": torch.tensor([True]),
    "a.uint16": torch.tensor([1], dtype=torch.uint16),
})

# Ways to write dictionaries.
save("parameters", {name: torch.nn.Parameter(tensor) for name, tensor in state().items()})
save("protocol-4", state(), pickle_protocol=4)
save("protocol-5", {"model": defaultdict(list, state())}, pickle_protocol=5)
with_metadata = state()
with_metadata._metadata = OrderedDict({"": {"version": 1}, "conv": {"version": 1}})
save("metadata", with_metadata)
torch.serialization.set_crc32_options(False)
save("no-checksums", state())
torch.serialization.set_crc32_options(True)

# Checkpoints.
optimizer = {"state": {i: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(3)} for i in range(4)}}
for key in ["state_dict", "model_state_dict", "net", "weights", "ema", "my_own_key"]:
    save(f"key-{key}", {"epoch": 3, "loss": torch.tensor(0.5), key: state(), "optimizer": optimizer})
save("key-nested", {"model": {"state_dict": state()}, "step": torch.tensor(4)})
save("both-averages", {"ema": {**state(), "ema.decay": torch.tensor(0.9)}, "model": state(), "lr": torch.tensor(0.1)})
save("prefix-module", state("module."))
save("prefix-compiled", {"state_dict": state("module._orig_mod.")})
save("prefix-lightning", {"state_dict": {**state("model."), "metric.weight": torch.tensor([1.0])}})
save("prefix-backbone", {"backbone.conv.weight": weight, "fc.bias": bias})

# Repacked with compression.
save("packed", state())
with zipfile.ZipFile(folder / "packed.pth") as old:
    parts = [(info.filename, old.read(info)) for info in old.infolist()]
with zipfile.ZipFile(folder / "packed.pth", "w", zipfile.ZIP_DEFLATED) as new:
    for name, data in parts:
        new.writestr(name, data)

# Rejected files.
torch.manual_seed(0)
save("not-module", Net())
save("not-module-in-checkpoint", {"epoch": 1, "model": Net()})
torch.jit.script(Net()).save(str(folder / "not-torchscript.pth"))
save("not-float8", {"conv.weight": weight.to(torch.float8_e4m3fn), "fc.bias": bias.to(torch.float8_e4m3fn)})
save("not-one-float8", {"conv.weight": weight.to(torch.float8_e5m2), "fc.bias": bias})
save("not-complex", {"conv.weight": weight.to(torch.complex64), "fc.bias": bias})
save("not-sparse", {"conv.weight": weight.to_sparse(), "fc.bias": bias})
save("not-quantized", {"conv.weight": torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8), "fc.bias": bias})
save("not-meta", {"conv.weight": torch.zeros(2, 3, 2, 2, device="meta"), "fc.bias": bias})
save("not-negated", {"conv.weight": torch.complex(weight, weight).conj().imag, "fc.bias": bias})
save("not-legacy", state(), _use_new_zipfile_serialization=False)
save("not-a-state", {"epoch": 3, "lr": 0.1, "names": ["a", "b"]})
