"""Expected values for tests/it/metrics/calibration.rs: Platt scaling, temperature, Brier score and its parts, and the reliability curve.

Writes calibration.json beside itself. Made with scikit-learn 1.x, scipy and numpy.

- platt: `sklearn.calibration._sigmoid_calibration` on log odds, whose 1 / (1 + exp(a x + b)) has the slope -a and the intercept -b.
- temperature: the slope with the lowest log loss over all classes, by scipy's bounded minimisation.
- bins: `sklearn.calibration.calibration_curve` with strategy="quantile"; ECE and the parts of the Brier score by their definitions, with as
  many patches per bin as numpy's quantiles give.
"""
import json
import pathlib

import numpy as np
import scipy.optimize
import sklearn
from sklearn.calibration import _sigmoid_calibration, calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

BINS = 10
rng = np.random.default_rng(20251129)


def log_odds(p):
    return np.log(p) - np.log1p(-p)


def reliability(y, p):
    observed, mean = calibration_curve(y, p, n_bins=BINS, strategy="quantile")
    edges = np.percentile(p, np.linspace(0, 100, BINS + 1))
    count = np.bincount(np.searchsorted(edges[1:-1], p), minlength=BINS)
    count = count[count > 0]
    weight = count / count.sum()
    return {
        "brier": float(brier_score_loss(y, p)),
        "reliability": float((weight * (mean - observed) ** 2).sum()),
        "resolution": float((weight * (observed - y.mean()) ** 2).sum()),
        "uncertainty": float(y.mean() * (1 - y.mean())),
        "calibration_error": float((weight * abs(mean - observed)).sum()),
        "bins": [{"mean_score": float(m), "observed": float(o), "patches": int(n)} for m, o, n in zip(mean, observed, count)],
    }


def temperature(y, p):
    """Over all classes: y and p are N x C."""
    x, y = log_odds(p).ravel(), y.ravel()
    loss = lambda t: np.mean(np.logaddexp(0, np.exp(t) * x) - y * np.exp(t) * x)
    found = scipy.optimize.minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-12})
    return float(np.exp(found.x))


def case(rows, prevalence, slope, shift, places=None):
    y = (rng.random((rows, 2)) < prevalence).astype(int)
    x = slope * (rng.standard_normal((rows, 2)) + 2.0 * (y - 0.5)) + shift
    p = 1 / (1 + np.exp(-x))
    if places is not None:  # ties
        p = np.clip(np.round(p, places), 0.01, 0.99)
    platt = [_sigmoid_calibration(log_odds(p[:, k]), y[:, k]) for k in range(2)]
    return {
        "scores": p.tolist(),
        "labels": y.tolist(),
        "temperature": temperature(y, p),
        "platt": [{"slope": -float(a), "intercept": -float(b)} for a, b in platt],
        "log_loss": [float(log_loss(y[:, k], p[:, k])) for k in range(2)],
        "reliability": [reliability(y[:, k], p[:, k]) for k in range(2)],
    }


cases = [case(120, 0.5, 1.0, 0.0), case(97, 0.2, 3.0, 1.0), case(150, 0.1, 0.5, 0.5), case(101, 0.3, 2.0, -1.0, places=1),
         case(60, 0.4, 1.5, 2.0, places=2)]
path = pathlib.Path(__file__).with_name("calibration.json")
path.write_text(json.dumps({"versions": {"sklearn": sklearn.__version__, "scipy": scipy.__version__}, "cases": cases}) + "\n")
