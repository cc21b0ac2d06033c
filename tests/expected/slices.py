"""Expected values for slices: recall, precision, average precision and AUROC of the positives of a stratum against all negatives, by
scikit-learn; limits at numpy's quantiles; bootstrap-t intervals over patients with standard errors from numerical derivatives.

Writes slices.json next to itself. Needs numpy and scikit-learn; takes a few minutes.
A label is 1 (present), 0 (absent) or null (unknown).
"""
import json
import pathlib

import numpy as np
from sklearn.metrics import average_precision_score, precision_score, recall_score, roc_auc_score

rng = np.random.default_rng(20261130)
REPLICATES = 1000  # as macula
REPEATS = 10


def ranked(y, s, w):
    """Average precision and AUROC of weighted rows as scikit-learn has them (asserted below), which takes too long for resamples."""
    order = np.argsort(-s, kind="stable")
    y, s, w = y[order], s[order], w[order]
    last = np.r_[np.flatnonzero(np.diff(s)), len(s) - 1]
    hits, rows = np.cumsum(w * y)[last], np.cumsum(w)[last]
    ap = np.sum(np.diff(np.r_[0, hits]) / hits[-1] * hits / rows) if hits[-1] > 0 else None
    false = rows - hits
    auc = None
    if hits[-1] > 0 and false[-1] > 0:
        auc = np.sum(np.diff(np.r_[0, false]) * (np.r_[0, hits[:-1]] + hits) / 2) / (hits[-1] * false[-1])
    return ap, auc


def metrics(rows, weight):
    """The four metrics with a weight for each patient; None if undefined."""
    w = weight[rows["patient"]]
    y, s, p = rows["label"] == 1, rows["score"], rows["predicted"]
    recall = (w * (y & p)).sum() / (w * y).sum() if (w * y).sum() > 0 else None
    precision = (w * (y & p)).sum() / (w * p).sum() if (w * p).sum() > 0 else None
    folds = [(rows["fold"] == fold) & (w > 0) for fold in np.unique(rows["fold"])]
    found = [ranked(y[here], s[here], w[here]) for here in folds if here.any()]
    means = [[value[i] for value in found if value[i] is not None] for i in range(2)]
    return [recall, precision, *(np.mean(values) if values else None for values in means)]


def with_errors(rows, weight):
    """Value and standard error of each metric: infinitesimal jackknife, by central differences of the weights."""
    values = metrics(rows, weight)
    step, n = 1e-5, weight.sum()
    variance = np.zeros(4)
    for group in np.flatnonzero(weight):
        up, down = weight.copy(), weight.copy()
        up[group] += step
        down[group] -= step
        for i, (a, b) in enumerate(zip(metrics(rows, up), metrics(rows, down))):
            if a is not None and b is not None:
                variance[i] += weight[group] * ((a - b) / (2 * step)) ** 2
    return values, np.sqrt(variance * n / (n - 1))


def intervals(rows, groups):
    estimate, error = with_errors(rows, np.ones(groups))
    pivots = [[] for _ in range(4)]
    for _ in range(REPLICATES):
        weight = np.bincount(rng.integers(0, groups, groups), minlength=groups).astype(float)
        values, errors = with_errors(rows, weight)
        for i in range(4):
            if values[i] is not None and errors[i] > 1e-9:
                pivots[i].append((values[i] - estimate[i]) / errors[i])
    ends = []
    for i in range(4):
        high, low = np.percentile(pivots[i], [2.5, 97.5])
        ends.append([float(np.clip(estimate[i] - q * error[i], 0, 1)) for q in (low, high)])
    return ends


def case(photographs, per_photograph, folds, unknown, strata, decimals, bounds):
    n = photographs * per_photograph
    photograph = np.repeat(np.arange(photographs), per_photograph)
    patient = photograph // 2 if photographs > 20 else photograph
    level = rng.normal(0, 0.3, photographs)[photograph]
    label = (rng.random(n) < 0.3).astype(float)
    pixels = np.where(label == 1, np.ceil(np.exp(rng.uniform(0, 7, n))), 0).astype(int)
    logit = level + rng.normal(0, 1, n) + label * (0.3 + 0.3 * np.log1p(pixels))
    score = np.round(1 / (1 + np.exp(-logit)), decimals)
    label[rng.random(n) < unknown] = np.nan
    pixels[np.isnan(label)] = 0
    fold = patient % folds
    threshold = 0.6
    all_positive = label == 1
    limits = [float(np.quantile(pixels[all_positive], k / strata)) for k in range(1, strata)]
    limits = sorted({limit for limit in limits if limit > pixels[all_positive].min()})
    place = np.searchsorted(limits, pixels, side="right")
    out = []
    for stratum in range(len(limits) + 1):
        keep = (label == 0) | (all_positive & (place == stratum))
        rows = {"patient": patient[keep], "fold": fold[keep], "label": label[keep], "score": score[keep],
                "predicted": score[keep] >= threshold}
        y, p = (rows["label"] == 1).astype(int), rows["predicted"].astype(int)
        values = metrics(rows, np.ones(patient.max() + 1))
        own = [(average_precision_score(y[here], rows["score"][here]), roc_auc_score(y[here], rows["score"][here]))
               for here in (rows["fold"] == one for one in range(folds)) if y[here].any()]
        own = [recall_score(y, p), precision_score(y, p), *np.mean(own, axis=0)]
        assert np.allclose(own, values, atol=1e-12)
        values = own
        groups = len(set(rows["patient"][y == 1]))
        ends = None
        if bounds and groups >= 10:
            repeats = np.array([intervals(rows, patient.max() + 1) for _ in range(REPEATS)])
            # Ends vary with the resamples: by how much is expected, too.
            ends = {"mean": repeats.mean(axis=0).tolist(), "deviation": repeats.std(axis=0, ddof=1).tolist()}
        out.append({"positives": int(y.sum()), "photographs": len(set(photograph[keep][y == 1])), "groups": groups,
                    "values": [float(v) for v in values], "intervals": ends})
    return {
        "photograph": photograph.tolist(), "patient": patient.tolist(), "fold": fold.tolist(), "score": score.tolist(),
        "label": [None if np.isnan(v) else int(v) for v in label], "pixels": pixels.tolist(), "threshold": threshold,
        "strata": strata, "limits": limits, "expected": out,
    }


cases = [case(9, 8, 1, 0.0, 3, 2, False), case(24, 10, 1, 0.1, 2, 2, True), case(30, 10, 3, 0.05, 4, 3, False),
         case(16, 12, 2, 0.0, 1, 2, True), case(6, 20, 3, 0.2, 5, 1, False)]
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps({"cases": cases}, separators=(",", ":")) + "\n")
