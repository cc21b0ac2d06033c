"""Expected values for suspects: labels ranked by scikit-learn's log loss of each, with ties in the order of the patches.

Writes suspects.json next to itself. Needs numpy and scikit-learn. A label is 1 (present), 0 (absent) or null (unknown).
"""
import json
import pathlib

import numpy as np
from sklearn.metrics import log_loss

rng = np.random.default_rng(20261201)


def case(photographs, per_photograph, unknown, decimals):
    n = photographs * per_photograph
    label = (rng.random(n) < 0.3).astype(float)
    score = np.round(np.clip(0.5 * rng.random(n) + 0.5 * label * rng.random(n), 0, 1), decimals)
    label[rng.random(n) < unknown] = np.nan
    loss = [log_loss([y], [s], labels=[0, 1]) if y == y else None for y, s in zip(label, score)]
    ranked = {}
    for name, value in (("labelled-absent", 0), ("labelled-present", 1)):
        rows = np.flatnonzero(label == value)
        order = sorted(rows.tolist(), key=lambda row: (-(score[row] if value == 0 else 1 - score[row]), row))
        ranked[name] = [[row, loss[row]] for row in order]
    photograph = np.repeat(np.arange(photographs), per_photograph)
    return {"photograph": photograph.tolist(), "patient": photograph.tolist(), "score": score.tolist(),
            "label": [None if np.isnan(y) else int(y) for y in label],
            "pixels": [int(3 * y) if y == y else 0 for y in label], "expected": ranked}


cases = [case(3, 8, 0.0, 1), case(5, 12, 0.2, 2), case(4, 20, 0.1, 3)]
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps({"cases": cases}, separators=(",", ":")) + "\n")
