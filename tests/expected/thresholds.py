"""Expected values for tests/it/metrics/thresholds.rs: the best threshold of a class by each criterion, by trying all of them.

Writes thresholds.json beside itself. Made with scikit-learn 1.x and numpy. Every distinct score is tried as a threshold with scikit-learn's
metrics (for a cost also a threshold above all scores). Neighbours with the same best value form a plateau, from the next lower score
(excluded; 0 below the lowest) to the highest of them; the widest plateau is expected, and of equally wide ones the higher.
"""
import json
import pathlib

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score, fbeta_score, precision_score, recall_score

rng = np.random.default_rng(20251130)
CRITERIA = {
    "f1": lambda y, p: f1_score(y, p),
    "f-beta 2": lambda y, p: fbeta_score(y, p, beta=2.0),
    "f-beta 0.5": lambda y, p: fbeta_score(y, p, beta=0.5),
    "precision at recall 0.8": lambda y, p: precision_score(y, p) if recall_score(y, p) >= 0.8 else None,
    "recall at precision 0.6": lambda y, p: recall_score(y, p) if precision_score(y, p) >= 0.6 else None,
    "cost 5 1": lambda y, p: -cost(y, p, 5.0, 1.0),
    "cost 1 4": lambda y, p: -cost(y, p, 1.0, 4.0),
}


def cost(y, p, missed, alarm):
    (_, fp), (fn, _) = confusion_matrix(y, p, labels=[0, 1])
    return (missed * fn + alarm * fp) / len(y)


def best(y, s, name):
    value = CRITERIA[name]
    scores = sorted(set(s.tolist()), reverse=True)
    if name.startswith("cost"):
        scores.insert(0, 1.0)
    values = [value(y, (s >= t).astype(int)) for t in scores]
    known = [v for v in values if v is not None]
    if not known:
        return None
    top = max(known)
    good = [v is not None and abs(v - top) < 1e-12 for v in values]
    plateaus, high = [], None
    for at, t in enumerate(scores):
        if not good[at]:
            high = None
            continue
        high = t if high is None else high
        low = scores[at + 1] if at + 1 < len(scores) else 0.0
        plateaus.append((high - low, high, low))
    width, high, low = max(plateaus, key=lambda plateau: (plateau[0], plateau[1]))
    return {"figure": abs(float(top)), "low": float(low), "high": float(high)}


def case(rows, prevalence, signal, places):
    y = (rng.random(rows) < prevalence).astype(int)
    y[0] = 1
    s = 1 / (1 + np.exp(-(rng.standard_normal(rows) + signal * (y - 0.5) - 0.5)))
    s = np.clip(np.round(s, places), 0.01, 0.99)
    return {"scores": s.tolist(), "labels": y.tolist(), "best": {name: best(y, s, name) for name in CRITERIA}}


cases = [case(40, 0.3, 2.0, 6), case(80, 0.1, 1.0, 2), case(60, 0.5, 0.5, 1), case(25, 0.2, 3.0, 6), case(120, 0.05, 0.0, 3)]
pathlib.Path(__file__).with_name("thresholds.json").write_text(json.dumps({"cases": cases}) + "\n")
