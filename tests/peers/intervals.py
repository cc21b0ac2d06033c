"""Coverage of confidence intervals of average precision over photographs: percentile, BCa and bootstrap-t.

    python tests/peers/intervals.py [SETS] [RESAMPLES]

Needs numpy and scipy. Simulates test sets whose true average precision is known, and prints the table of docs/evaluation.md: how often each
interval contains the true value, how often that lies below and above it in brackets, and its median width. `mean AP over folds` is that of
`pool`.

- percentile: the 2.5th and 97.5th percentiles of the resamples (`eval` 3, `pool` 1).
- BCa: bias-corrected and accelerated (Efron 1987), the acceleration by the jackknife over photographs.
- BCa, t: the same, at the levels of Student's t for as many photographs as have a positive, widened by sqrt(n / (n - 1)).
- bootstrap-t: of (value - estimate) / standard error, the standard error of each resample by the infinitesimal jackknife over photographs
  (`eval` 4, `pool` 2).
"""

import math
import sys

import numpy as np
from scipy import stats

PATCHES = 16
NORMAL = stats.norm.ppf(0.975)


def simulated(photographs, having, signal, rng):
    """Photograph, presence and score of each patch, from the highest score to the lowest."""
    prevalence = np.where(rng.random(photographs) < having, 0.1 + 0.4 * rng.random(photographs), 0)
    level = 0.8 * rng.standard_normal(photographs)
    group = np.repeat(np.arange(photographs), PATCHES)
    present = rng.random(len(group)) < prevalence[group]
    score = level[group] + signal * present + rng.standard_normal(len(group))
    order = np.argsort(-score)
    return group[order], present[order]


def average_precision(group, present, times):
    """Average precision for each row of `times` (how often each photograph counts), and its slope for each photograph."""
    weight = times[:, group].astype(float)
    positive = weight * present
    hits, rows = positive.cumsum(1), weight.cumsum(1)
    with np.errstate(all="ignore"):
        inverse = np.where(rows > 0, 1 / rows, 0)
        precision = hits * inverse
        value = (positive * precision).sum(1) / hits[:, -1]
        below = lambda part: part[:, ::-1].cumsum(1)[:, ::-1]
        gain, loss = below(positive * inverse), below(positive * inverse * precision)
        slope = (present * (precision - value[:, None] + gain) - loss) / hits[:, -1:]
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(times.shape[1]))
    return value, np.add.reduceat(slope[:, order], starts, axis=1)


def over_folds(group, present, times, folds):
    """As `average_precision`, averaged over folds of neighbouring photographs."""
    photographs = times.shape[1]
    sums, slopes, defined = np.zeros(len(times)), np.zeros(times.shape), np.zeros(len(times))
    for fold in np.array_split(np.arange(photographs), folds):
        inside = (group >= fold[0]) & (group <= fold[-1])
        if not present[inside].any():
            continue
        value, slope = average_precision(group[inside] - fold[0], present[inside], times[:, fold])
        there = np.isfinite(value)
        sums += np.where(there, value, 0)
        slopes[:, fold] += np.where(there[:, None], slope, 0)
        defined += there
    with np.errstate(all="ignore"):
        return sums / defined, slopes / defined[:, None]


def standard_error(slopes, times):
    photographs = times.shape[1]
    return np.sqrt(photographs / (photographs - 1) * (times * slopes**2).sum(1))


def intervals(group, present, photographs, folds, resamples, rng):
    once = np.ones((1, photographs))
    without = np.ones((photographs, photographs)) - np.eye(photographs)
    times = rng.multinomial(photographs, np.full(photographs, 1 / photographs), size=resamples)
    (estimate,), slopes = over_folds(group, present, once, folds)
    jackknife = over_folds(group, present, without, folds)[0]
    draws, draw_slopes = over_folds(group, present, times, folds)
    there = np.isfinite(draws)
    draws, draw_errors = draws[there], standard_error(draw_slopes, times)[there]
    found = {"percentile": np.quantile(draws, [0.025, 0.975])}

    below = (draws < estimate).mean() + (draws == estimate).mean() / 2
    bias = stats.norm.ppf(np.clip(below, 1 / len(draws), 1 - 1 / len(draws)))
    deviation = np.nanmean(jackknife) - jackknife[np.isfinite(jackknife)]
    acceleration = (deviation**3).sum() / (6 * (deviation**2).sum() ** 1.5)
    positive = len(np.unique(group[present]))
    wide = math.sqrt(positive / (positive - 1)) * stats.t.ppf(0.975, positive - 1)
    for name, z in [("BCa", NORMAL), ("BCa, t", wide)]:
        ends = [bias + (bias + s) / (1 - acceleration * (bias + s)) for s in (-z, z)]
        found[name] = np.quantile(draws, stats.norm.cdf(ends))

    with np.errstate(all="ignore"):
        pivots = (draws - estimate) / draw_errors
    ends = estimate - np.quantile(pivots[np.isfinite(pivots)], [0.975, 0.025]) * standard_error(slopes, once)
    found["bootstrap-t"] = np.clip(ends, 0, 1)
    return found


def main():
    sets, resamples = (int(word) for word in (sys.argv[1:] + ["1000", "1000"][len(sys.argv) - 1 :])[:2])
    names = ["percentile", "BCa", "BCa, t", "bootstrap-t"]
    print("| metric | photographs | with a positive | true | " + " | ".join(names) + " |")
    print("|---|---|---|---|" + "---|" * len(names))
    cases = [(5, 1, 1, 1.2), (10, 1, 1, 1.2), (20, 1, 1, 1.2), (40, 1, 1, 1.2), (10, 0.5, 1, 1.2), (20, 0.5, 1, 1.2)]
    cases += [(40, 0.5, 1, 1.2), (20, 1, 1, 2.5), (20, 1, 5, 1.2), (30, 0.6, 5, 1.2), (50, 1, 5, 2.5)]
    for photographs, having, folds, signal in cases:
        population = simulated(40_000, having, signal, np.random.default_rng(1))
        truth = average_precision(*population, np.ones((1, 40_000)))[0][0]
        rng = np.random.default_rng(7)
        results = {}
        with_positive = []
        while len(with_positive) < sets:
            group, present = simulated(photographs, having, signal, rng)
            # macula gives no interval with fewer than 10; these rows show why.
            if len(np.unique(group[present])) < (2 if photographs <= 10 else 10):
                continue
            with_positive.append(len(np.unique(group[present])))
            for name, ends in intervals(group, present, photographs, folds, resamples, rng).items():
                results.setdefault(name, []).append(ends)
        metric = "AP" if folds == 1 else f"mean AP over {folds} folds"
        cells = [metric, photographs, f"{np.median(with_positive):.0f}", f"{truth:.3f}"]
        for name in names:
            low, high = np.array(results[name]).T
            under, over = (truth < low).mean(), (truth > high).mean()
            cells.append(f"{1 - under - over:.3f} ({under:.3f}, {over:.3f}) {np.median(high - low):.2f}")
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
