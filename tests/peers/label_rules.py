"""Tables of docs/label-rules.md: `python tests/peers/label_rules.py RESULTS SWEEP...` (numpy, scipy, pyarrow).

RESULTS is the folder `results` of the project, SWEEP a sweep of label-rule-study.kdl that was run (`grid`, `centred`, `dense`; one with
repeats has their seeds averaged). For each point of each sweep, on the same patches of a grid, out of fold:

- mean average precision, and its difference from the first rule (any pixel) of the same sweep;
- AUROC of the positives of four strata (small or large area, central or at the rim) against all negatives;
- a mixed logistic model of detection at a specificity of 95%: log area, distance, contrast and class, with a random intercept of the
  photograph (maximum likelihood by quadrature).

Ranking metrics are computed in each fold and averaged over folds and classes. Intervals are 95% percentiles of a bootstrap over photographs
(1,000 draws, the same ones for all points); with repeats, seeds are drawn as well.
"""

import pathlib
import re
import sys
from collections import defaultdict

import numpy as np
import pyarrow.parquet as parquet
from scipy import optimize
from scipy.special import expit

results, sweeps = pathlib.Path(sys.argv[1]), sys.argv[2:]
CLASSES = ["MA", "HE", "EX", "SE"]
SMALL = 256  # native pixels
RIM = 48.0  # px from the centre of a patch of 128 px to the nearest lesion pixel
STRATA = ["small, central", "small, rim", "large, central", "large, rim"]
DRAWS = 1000
SPECIFICITY = 0.95


def rule(name):
    """Words of a rule, from the values in the name of its stage."""
    at = dict(re.findall(r"([a-z-]+)=([^,]+)", name.split("@")[1]))
    # What a sweep does not vary is not in the name, and has its default.
    pixels, share = int(at.get("min-pixels", 1)), float(at.get("min-lesion-share", 0))
    rim = int(at.get("min-rim-distance", 0))
    if share:
        return f"{share:.0%} of a lesion"
    if rim:
        return f"{rim} px from the rim"
    if at.get("less") == "unknown":
        return f"{pixels} px, unknown below"
    return "any pixel" if pixels == 1 else f"{pixels} px"


def patches():
    """Facts of each patch of the grid, by photograph and position."""
    found = {}
    for part in sorted((results / sweeps[0] / "visible/kept/parts").glob("*.parquet")):
        for row in parquet.read_table(part).to_pylist():
            contrast = np.mean([row[f"deviation_{c}"] for c in "rgb"])
            found[row["photograph"], row["x"], row["y"]] = (
                [row[f"{c}_pixels"] for c in CLASSES],
                [row[f"{c}_distance"] if row[f"{c}_distance"] is not None else np.nan for c in CLASSES],
                contrast,
            )
    return found


def points():
    """Points of the sweeps, in order: sweep, rule, and the tables of their seeds."""
    order = ["any pixel", "16 px", "64 px", "256 px", "50% of a lesion", "16 px from the rim", "64 px, unknown below"]
    found = defaultdict(list)
    for sweep in sweeps:
        for folder in sorted((results / sweep).glob("scores@*")):
            found[sweep, rule(folder.name)].append(parquet.read_table(folder / "predictions.parquet"))
    return {(s, r): found[s, r] for s in sweeps for r in order if (s, r) in found}


facts = patches()
tables = points()
first = next(iter(tables.values()))[0]
keys = list(zip(*(first[c].to_pylist() for c in ("photograph", "x", "y"))))
photographs = sorted({key[0] for key in keys})
photograph = np.array([photographs.index(key[0]) for key in keys])
fold = np.array(first["fold"].to_pylist())
folds = sorted(set(fold))
area = np.array([facts[key][0] for key in keys], float)
distance = np.array([facts[key][1] for key in keys], float)
contrast = np.array([facts[key][2] for key in keys])
label = np.stack([np.array(first[f"label.{c}"].to_pylist()) for c in CLASSES], 1)
stratum = (area >= SMALL) * 2 + (distance > RIM)


def scores(table):
    """Scores of a table in the order of the first one."""
    at = {key: i for i, key in enumerate(zip(*(table[c].to_pylist() for c in ("photograph", "x", "y"))))}
    rows = [at[key] for key in keys]
    return np.stack([np.array(table[f"score.{c}"].to_pylist()) for c in CLASSES], 1)[rows]


class Ranked:
    """Rows of a fold and class, sorted by score."""

    def __init__(self, score, rows, column):
        known = rows[label[rows, column] >= 0]
        order = known[np.argsort(-score[known, column], kind="stable")]
        self.rows, self.positive = order, label[order, column] == 1
        values = score[order, column]
        self.last = np.searchsorted(-values, -values, side="right") - 1
        self.first = np.searchsorted(-values, -values, side="left")
        self.stratum = stratum[order, column]

    def average_precision(self, weight):
        w = weight[photograph[self.rows]]
        hits, all_ = np.cumsum(w * self.positive), np.cumsum(w)
        if hits[-1] == 0:
            return np.nan
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(all_ > 0, hits / all_, 0.0)[self.last]
        return np.sum(w * self.positive * precision) / hits[-1]

    def auroc(self, weight, which):
        """Of the positives of a stratum against all negatives."""
        w = weight[photograph[self.rows]]
        own = w * (self.positive & (self.stratum == which))
        negative = np.concatenate([[0.0], np.cumsum(w * ~self.positive)])
        if own.sum() == 0 or negative[-1] == 0:
            return np.nan
        below = negative[-1] - (negative[self.last + 1] + negative[self.first]) / 2
        return np.sum(own * below) / (own.sum() * negative[-1])


def metrics(ranked, weight):
    """Average precision of each class, and AUROC of each stratum: means over folds, then classes."""
    with np.errstate(all="ignore"):
        ap = [np.nanmean([r.average_precision(weight) for r in of_class]) for of_class in ranked]
        strata = [np.nanmean([np.nanmean([r.auroc(weight, s) for r in of_class]) for of_class in ranked]) for s in range(4)]
    return np.array([np.mean(ap), *ap, *strata])


def bootstrap(all_ranked):
    """Metrics of every seed of every point, and of every draw."""
    rng = np.random.default_rng(0)
    one = np.ones(len(photographs))
    estimate = [[metrics(ranked, one) for ranked in seeds] for seeds in all_ranked]
    draws = []
    for _ in range(DRAWS):
        weight = np.bincount(rng.integers(0, len(photographs), len(photographs)), minlength=len(photographs)).astype(float)
        draw = []
        for seeds in all_ranked:
            chosen = rng.integers(0, len(seeds), len(seeds)) if len(seeds) > 1 else [0]
            of_seed = {at: metrics(seeds[at], weight) for at in set(chosen)}
            draw.append(np.mean([of_seed[at] for at in chosen], 0))
        draws.append(draw)
    return np.array([np.mean(seeds, 0) for seeds in estimate]), np.array(draws)


def mixed(detected, columns, group):
    """Coefficients (last: log SD of the intercepts) and standard errors of a logistic model with a random intercept, by maximum likelihood
    with 100 nodes of Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    keep = weights > 1e-12
    nodes, log_weights = nodes[keep], np.log(weights[keep] / np.sqrt(2 * np.pi))
    k, groups = columns.shape[1], group.max() + 1
    member = np.zeros((groups, len(group)))
    member[group, np.arange(len(group))] = 1.0

    def loss(theta):
        sigma = np.exp(theta[k])
        eta = (columns @ theta[:k])[:, None] + sigma * nodes
        likelihood = member @ (detected[:, None] * eta - np.logaddexp(0, eta)) + log_weights
        top = likelihood.max(1, keepdims=True)
        posterior = np.exp(likelihood - top)
        total = posterior.sum(1, keepdims=True)
        posterior = (posterior / total)[group]
        residual = (detected[:, None] - expit(eta)) * posterior
        gradient = np.append(columns.T @ residual.sum(1), sigma * np.sum(residual * nodes))
        return -np.sum(top + np.log(total)), -gradient

    start = np.concatenate([np.zeros(k), [np.log(0.5)]])
    best = optimize.minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-3})
    assert np.abs(best.jac).max() < 0.1, best
    h = 1e-4
    hessian = np.array([(loss(best.x + e)[1] - loss(best.x - e)[1]) / (2 * h) for e in np.eye(k + 1) * h])
    return best.x, np.sqrt(np.diag(np.linalg.inv((hessian + hessian.T) / 2)))


def detections(score):
    """Positive patches with: whether detected, log2 area, distance in units of 16 px, contrast, class; photograph."""
    rows = []
    for column in range(4):
        for f in folds:
            inside = fold == f
            negative = score[inside & (label[:, column] == 0), column]
            cut = np.quantile(negative, SPECIFICITY)
            for i in np.flatnonzero(inside & (label[:, column] == 1)):
                rows.append((score[i, column] > cut, np.log2(max(area[i, column], 1)), distance[i, column] / 16, contrast[i], column, photograph[i]))
    return np.array(rows, float)


names = list(tables)
all_scores = [[scores(table) for table in seeds] for seeds in tables.values()]
ranked = [
    [[[Ranked(score, np.flatnonzero(fold == f), c) for f in folds] for c in range(4)] for score in seeds] for seeds in all_scores
]
estimate, draws = bootstrap(ranked)

positives = [[int(((label[:, c] == 1) & (stratum[:, c] == s)).sum()) for c in range(4)] for s in range(4)]
print(f"{len(keys)} patches of {len(photographs)} photographs, {len(folds)} folds\n")
print("| stratum | " + " | ".join(CLASSES) + " |\n|---" * 1 + "|" + "---|" * 4)
for name, row in zip(STRATA, positives):
    print(f"| {name} | " + " | ".join(map(str, row)) + " |")


def difference(at, base, metric):
    d = draws[:, at, metric] - draws[:, base, metric]
    low, high = np.nanpercentile(d, [2.5, 97.5])
    return f"{estimate[at, metric] - estimate[base, metric]:+.3f} [{low:+.3f}, {high:+.3f}]"


print("\n| cut | rule | MA | HE | EX | SE | mean AP | minus any pixel | minus any pixel, grid |\n|---|---|---|---|---|---|---|---|---|")
for at, (sweep, words) in enumerate(names):
    base = names.index((sweep, "any pixel"))
    ap = " | ".join(f"{value:.3f}" for value in estimate[at, 1:5])
    own = difference(at, base, 0) if at != base else ""
    grid = difference(at, 0, 0) if at != 0 else ""
    print(f"| {sweep} | {words} | {ap} | {estimate[at, 0]:.3f} | {own} | {grid} |")

print("\n| cut | rule | " + " | ".join(STRATA) + " |\n|---|---|" + "---|" * 4)
for at, (sweep, words) in enumerate(names):
    base = 0
    cells = []
    for s in range(4):
        cell = f"{estimate[at, 5 + s]:.3f}"
        cells.append(cell if at == base else f"{cell} ({difference(at, base, 5 + s)})")
    print(f"| {sweep} | {words} | " + " | ".join(cells) + " |")

print("\n| cut | rule | detected | area x2 | 16 px farther | contrast +10 | SD of photographs |\n|---|---|---|---|---|---|---|")
for (sweep, words), seeds in zip(names, all_scores):
    of_seeds = []
    for score in seeds:
        rows = detections(score)
        dummies = np.stack([rows[:, 4] == c for c in range(4)], 1).astype(float)
        columns = np.column_stack([dummies, rows[:, 1] - rows[:, 1].mean(), rows[:, 2] - rows[:, 2].mean(), (rows[:, 3] - rows[:, 3].mean()) / 10])
        theta, error = mixed(rows[:, 0], columns, rows[:, 5].astype(int))
        of_seeds.append((rows[:, 0].mean(), theta, error))
    detected = np.mean([one[0] for one in of_seeds])
    theta = np.mean([one[1] for one in of_seeds], 0)
    error = np.mean([one[2] for one in of_seeds], 0)
    odds = [f"{np.exp(theta[i]):.2f} [{np.exp(theta[i] - 1.96 * error[i]):.2f}, {np.exp(theta[i] + 1.96 * error[i]):.2f}]" for i in (4, 5, 6)]
    print(f"| {sweep} | {words} | {detected:.1%} | " + " | ".join(odds) + f" | {np.exp(theta[7]):.2f} |")
