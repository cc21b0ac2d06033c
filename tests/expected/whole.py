"""Expected values for whole photographs and patients: scores by numpy, average precision and AUROC by scikit-learn.

Writes whole.json next to itself. A label is 1 (present), 0 (absent) or null (unknown).
"""
import json
import pathlib

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

rng = np.random.default_rng(20261202)


def case(photographs, per_photograph, per_patient, folds, unknown, k, unit):
    n = photographs * per_photograph
    photograph = np.repeat(np.arange(photographs), per_photograph)
    patient = photograph // per_patient
    ill = rng.random(photographs) < 0.5
    label = ((rng.random(n) < 0.15) & ill[photograph]).astype(float)
    score = np.round(np.clip(0.6 * rng.random(n) + 0.4 * label * rng.random(n), 0, 1), 2)
    label[rng.random(n) < unknown] = np.nan
    fold = patient % folds
    of = photograph if unit == "photograph" else patient
    wholes = []
    for one in np.unique(of):
        here = of == one
        y = label[here]
        truth = 1 if (y == 1).any() else (0 if (y == 0).all() else None)
        wholes.append((float(np.sort(score[here])[::-1][:k].mean()), truth, int(fold[here][0])))
    ap, auc = [], []
    for f in range(folds):
        known = [(s, y) for s, y, own in wholes if own == f and y is not None]
        s, y = np.array([s for s, _ in known]), np.array([y for _, y in known])
        if y.sum() > 0:
            ap.append(average_precision_score(y, s))
        if 0 < y.sum() < len(y):
            auc.append(roc_auc_score(y, s))
    labels = [y for _, y, _ in wholes]
    return {"photograph": photograph.tolist(), "patient": patient.tolist(), "fold": fold.tolist(), "score": score.tolist(),
            "label": [None if np.isnan(y) else int(y) for y in label], "pixels": [0] * n, "k": k, "unit": unit,
            "scores": [s for s, _, _ in wholes], "labels": labels,
            "average_precision": float(np.mean(ap)) if ap else None, "auroc": float(np.mean(auc)) if auc else None}


cases = [case(20, 9, 1, 1, 0.0, 1, "photograph"), case(24, 7, 2, 2, 0.05, 3, "photograph"),
         case(30, 5, 3, 1, 0.03, 2, "patient"), case(24, 6, 2, 3, 0.02, 50, "patient"), case(60, 8, 2, 1, 0.0, 4, "photograph")]
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps({"cases": cases}, separators=(",", ":")) + "\n")
