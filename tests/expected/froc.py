"""Expected values for FROC: peaks by scipy.ndimage, distances to every pixel of every lesion, sensitivity by trying all thresholds.

Writes froc.json next to itself. Needs numpy and scipy. Maps have unknown cells (null) and plateaus; lesions are lists of pixels [x, y].
"""
import json
import pathlib

import numpy as np
from scipy import ndimage

rng = np.random.default_rng(20261203)
RATES = [1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8]
REPLICATES, REPEATS = 1000, 10
EIGHT = np.ones((3, 3))


def peaks(scores, stride, width, height):
    """Plateaus that nothing around exceeds: position of the cell nearest to their mean, and score."""
    known = ~np.isnan(scores)
    filled = np.where(known, scores, -1.0)
    highest = ndimage.maximum_filter(filled, size=3, mode="constant", cval=-1.0)
    rows, columns = scores.shape
    x = np.array([(c * stride + min((c + 1) * stride, width)) / 2 for c in range(columns)])
    y = np.array([(r * stride + min((r + 1) * stride, height)) / 2 for r in range(rows)])
    found = []
    for value in np.unique(filled[known]):
        plateaus, count = ndimage.label(known & (filled == value), structure=EIGHT)
        for plateau in range(1, count + 1):
            cells = np.argwhere(plateaus == plateau)  # row by row
            if (highest[plateaus == plateau] > value).any():
                continue
            centres = np.stack([x[cells[:, 1]], y[cells[:, 0]]], axis=1)
            mean = centres.mean(axis=0)
            found.append((*centres[np.argmin(((centres - mean) ** 2).sum(axis=1))], float(value)))
    return found


def distance(point, pixels):
    p = np.array(pixels, float)
    dx = np.maximum(np.maximum(p[:, 0] - point[0], point[0] - p[:, 0] - 1), 0)
    dy = np.maximum(np.maximum(p[:, 1] - point[1], point[1] - p[:, 1] - 1), 0)
    return float(np.sqrt(dx ** 2 + dy ** 2).min())


def sensitivity(photographs, folds, weight):
    """Hits and lesions of each patient at each rate: thresholds of each fold by trying all scores."""
    groups = len(weight)
    parts = np.zeros((len(RATES), groups, 2))
    for one in photographs:
        parts[:, one["group"], 1] += len(one["hit_scores"])
    for fold in range(folds):
        here = [one for one in photographs if one["fold"] == fold]
        n = sum(weight[one["group"]] for one in here)
        scores = sorted({s for one in here for s in one["alarms"]} | {s for one in here for s in one["hit_scores"] if s is not None})
        alarms = np.array([sum(weight[one["group"]] * sum(a >= s for a in one["alarms"]) for one in here) for s in scores])
        for i, rate in enumerate(RATES):
            allowed = [s for s, a in zip(scores, alarms) if a <= rate * n]
            if not allowed:
                continue
            for one in here:
                parts[i, one["group"], 0] += sum(s is not None and s >= allowed[0] for s in one["hit_scores"])
    return parts


def with_errors(photographs, folds, weight):
    parts = sensitivity(photographs, folds, weight)
    n, above, below = weight.sum(), parts[..., 0] @ weight, parts[..., 1] @ weight
    if below[0] == 0:
        return [None] * 8, [0] * 8
    values = above / below
    slopes = (parts[..., 0] - values[:, None] * parts[..., 1]) / below[:, None]
    values, slopes = np.append(values, values.mean()), np.vstack([slopes, slopes.mean(axis=0)])
    return values, np.sqrt((slopes ** 2 @ weight) * n / (n - 1))


def intervals(photographs, folds, groups):
    value, error = with_errors(photographs, folds, np.ones(groups))
    pivots = [[] for _ in value]
    for _ in range(REPLICATES):
        weight = np.bincount(rng.integers(0, groups, groups), minlength=groups).astype(float)
        values, errors = with_errors(photographs, folds, weight)
        for i in range(8):
            if values[i] is not None and errors[i] > 1e-9:
                pivots[i].append((values[i] - value[i]) / errors[i])
    out = []
    for i in range(8):
        if error[i] <= 1e-9 or len(pivots[i]) < REPLICATES / 2:
            out.append([np.nan, np.nan])
            continue
        high, low = np.percentile(pivots[i], [2.5, 97.5])
        out.append([float(np.clip(value[i] - q * error[i], 0, 1)) for q in (low, high)])
    return out


def case(count, columns, rows, stride, scale, folds, tolerance, bounds):
    """`scale`: pixels of the lesions' photograph in one of the map's."""
    width, height = columns * stride - 1, rows * stride
    photographs, maps = [], []
    for number in range(count):
        lesions = []
        blank = np.zeros((height * scale, width * scale), bool)
        for _ in range(rng.integers(0, 6)):
            x, y = rng.integers(0, width * scale - 4), rng.integers(0, height * scale - 4)
            w, h = rng.integers(1, 4, 2)
            if blank[max(y - 1, 0):y + h + 1, max(x - 1, 0):x + w + 1].any():
                continue
            blank[y:y + h, x:x + w] = True
            lesions.append([[int(x + i), int(y + j)] for j in range(h) for i in range(w)])
        scores = np.round(0.42 * rng.random((rows, columns)), 1 if number % 2 else 2)
        for pixels in lesions:
            if rng.random() < 0.8:
                c, r = pixels[0][0] // scale // stride, pixels[0][1] // scale // stride
                scores[r, c] = np.round(0.3 + 0.6 * rng.random(), 2)
        scores[rng.random((rows, columns)) < 0.1] = np.nan
        scores = scores.astype(np.float32).astype(float)
        hits, alarms, found = [None] * len(lesions), [], []
        for px, py, score in sorted(peaks(scores, stride, width, height), key=lambda p: (p[1], p[0])):
            near = [distance((px * scale, py * scale), pixels) / scale for pixels in lesions]
            nearest = int(np.argmin(near)) if near else None
            hit = nearest is not None and near[nearest] <= tolerance
            found.append([px, py, score, nearest + 1 if hit else None])
            if hit:
                hits[nearest] = score if hits[nearest] is None else max(hits[nearest], score)
            else:
                alarms.append(score)
        photographs.append({"group": number // 2, "fold": number // 2 % folds, "hit_scores": hits, "alarms": alarms})
        maps.append({"scores": [[None if np.isnan(s) else s for s in row] for row in scores.tolist()], "lesions": lesions, "peaks": found})
    groups = (count + 1) // 2
    values, _ = with_errors(photographs, folds, np.ones(groups))
    with_lesion = len({one["group"] for one in photographs if one["hit_scores"]})
    ends = None
    if bounds and with_lesion >= 10:
        repeats = np.array([intervals(photographs, folds, groups) for _ in range(REPEATS)])
        ends = {"mean": repeats.mean(axis=0).tolist(), "deviation": repeats.std(axis=0, ddof=1).tolist()}
    return {"columns": columns, "rows": rows, "stride": stride, "scale": scale, "width": width, "height": height, "folds": folds,
            "tolerance": tolerance, "maps": maps, "groups": with_lesion, "values": [float(v) for v in values], "intervals": ends}


cases = [case(6, 7, 5, 4, 1, 1, 4 / np.sqrt(2), False), case(16, 6, 6, 4, 2, 2, 1.5, False), case(12, 9, 6, 3, 3, 3, 2.0, False),
         case(26, 6, 5, 4, 1, 1, 4 / np.sqrt(2), True)]
text = json.dumps({"cases": cases}, separators=(",", ":")).replace("NaN", "null")
pathlib.Path(__file__).with_suffix(".json").write_text(text + "\n")
