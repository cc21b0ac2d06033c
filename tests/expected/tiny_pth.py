#!/usr/bin/env python3
"""Writes tiny.pth for tests/it/kernels/loading.rs: a state dictionary as `torch.save` writes it.

    python tiny_pth.py tiny.pth
"""
import sys
from collections import OrderedDict

import torch

state = OrderedDict()
state["conv.weight"] = (torch.arange(24, dtype=torch.float32) / 8).reshape(2, 3, 2, 2)
state["bn.num_batches_tracked"] = torch.tensor(7)
state["half.weight"] = torch.tensor([0.5, -2.0], dtype=torch.float16)
torch.save(state, sys.argv[1])
