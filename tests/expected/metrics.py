"""Expected values for tests/it/metrics: scikit-learn's metrics on random cases with ties, single-class columns and unknown labels.

Writes metrics.json beside itself. Made with scikit-learn 1.x and numpy; needs nothing else.
A label is 1 (present), 0 (absent) or null (unknown).
"""
import json
import pathlib
import warnings

import numpy as np
import sklearn
from sklearn.metrics import (
    accuracy_score, average_precision_score, confusion_matrix, f1_score, fbeta_score, hamming_loss, precision_score,
    recall_score, roc_auc_score,
)

warnings.filterwarnings("ignore")
rng = np.random.default_rng(20250724)
ZERO = {"undefined": np.nan, "zero": 0.0, "one": 1.0}


def number(x):
    return None if x is None or np.isnan(x) else float(x)


def mean(xs):
    xs = [x for x in xs if x is not None]
    return {"value": float(np.mean(xs)) if xs else None, "classes": len(xs)}


def prf(y, p, zero):
    """Precision, recall, F1, F2 of one class; null if there is no positive and undefined values are requested."""
    z = ZERO[zero]
    if len(y) == 0 or (zero == "undefined" and y.sum() == 0):
        out = [None if zero == "undefined" else z] * 4
    else:
        out = [precision_score(y, p, zero_division=z), recall_score(y, p, zero_division=z),
               f1_score(y, p, zero_division=z), fbeta_score(y, p, beta=2.0, zero_division=z)]
    return dict(zip(["precision", "recall", "f1", "f2"], map(number, out)))


def case(n, classes, decimals, unknown, kind):
    scores = rng.random((n, classes))
    prevalence = rng.uniform(0.05, 0.6, classes)
    y = (rng.random((n, classes)) < prevalence).astype(float)
    scores = np.clip(0.6 * scores + 0.4 * y * rng.random((n, classes)), 0, 1)
    scores = np.round(scores, decimals)
    if kind == "single":
        y[:, 0] = 0
        y[:, 1] = 1
    y[rng.random((n, classes)) < unknown] = np.nan
    if kind == "blind":
        y[:, classes - 1] = np.nan
    thresholds = np.round(rng.uniform(0.1, 0.7, classes), decimals)  # equal to scores here and there
    known = ~np.isnan(y)
    predicted = scores >= thresholds
    ranking, confusion, baseline = [], [], []
    for k in range(classes):
        yk, sk, pk = y[known[:, k], k], scores[known[:, k], k], predicted[known[:, k], k]
        ap = average_precision_score(yk, sk) if yk.sum() > 0 else None
        auc = roc_auc_score(yk, sk) if 0 < yk.sum() < len(yk) else None
        ranking.append({"average_precision": number(ap), "auroc": number(auc)})
        confusion.append(confusion_matrix(yk, pk, labels=[0, 1]).ravel().tolist() if len(yk) else [0, 0, 0, 0])
        always = f1_score(yk, np.ones_like(yk)) if yk.sum() > 0 else None
        baseline.append({"prevalence": number(yk.mean()) if len(yk) else None, "always_yes_f1": number(always)})
    flat_y, flat_p = y[known], predicted[known].astype(float)
    full = known.all(axis=1)
    subset = accuracy_score(y[full].astype(int), predicted[full].astype(int)) if full.any() else None
    healthy = accuracy_score(y[full].astype(int), np.zeros_like(y[full], int)) if full.any() else None
    figures = {}
    for zero in ZERO:
        per_class = [prf(y[known[:, k], k], predicted[known[:, k], k].astype(float), zero) for k in range(classes)]
        figures[zero] = {
            "classes": per_class,
            "micro": prf(flat_y, flat_p, zero),
            "macro_precision": mean(c["precision"] for c in per_class),
            "macro_recall": mean(c["recall"] for c in per_class),
            "macro_f1": mean(c["f1"] for c in per_class),
        }
    return {
        "scores": scores.tolist(),
        "labels": [[None if np.isnan(v) else int(v) for v in row] for row in y],
        "thresholds": thresholds.tolist(),
        "ranking": ranking,
        "mean_average_precision": mean(r["average_precision"] for r in ranking),
        "confusion": confusion,  # tn fp fn tp
        "figures": figures,
        "hamming_loss": number(hamming_loss(flat_y, flat_p)) if len(flat_y) else None,
        "subset_accuracy": number(subset) if subset is not None else None,
        "baselines": baseline,
        "always_healthy_subset_accuracy": number(healthy) if healthy is not None else None,
    }


cases = []
for n in (1, 2, 5, 17, 60, 150):
    for decimals, unknown, kind in ((1, 0.0, ""), (2, 0.2, ""), (1, 0.1, "single"), (2, 0.3, "blind"), (4, 0.0, "")):
        cases.append(case(n, int(rng.integers(2, 5)), decimals, unknown, kind))
out = {"scikit-learn": sklearn.__version__, "cases": cases}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(out, separators=(",", ":")) + "\n")
