"""Expected values for patches with exactly one class: accuracy, balanced accuracy, kappa and confusion by scikit-learn, loss and gradient by
PyTorch's CrossEntropyLoss.

Writes single.json next to itself.
"""
import json
import pathlib

import numpy as np
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score, confusion_matrix

rng = np.random.default_rng(20261201)


def case(n, classes, missing, smoothing, weighted):
    truth = rng.integers(0, classes - missing, n)
    logits = np.round(rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[truth], 3).astype(np.float32)
    predicted = logits.argmax(1)
    weights = np.round(rng.random(classes) + 0.5, 2) if weighted else np.ones(classes)
    x = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    loss = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights), label_smoothing=smoothing)(x, torch.tensor(truth))
    loss.backward()
    return {"classes": classes, "truth": truth.tolist(), "logits": logits.ravel().tolist(), "weights": weights.tolist(),
            "smoothing": smoothing, "loss": loss.item(), "gradient": x.grad.ravel().tolist(),
            "confusion": confusion_matrix(truth, predicted, labels=range(classes)).tolist(),
            "accuracy": accuracy_score(truth, predicted),
            "balanced_accuracy": float(np.mean([(predicted[truth == k] == k).mean() for k in np.unique(truth)])),
            "quadratic_kappa": cohen_kappa_score(truth, predicted, weights="quadratic", labels=range(classes))}


cases = [case(60, 5, 0, 0.0, False), case(40, 3, 0, 0.1, True), case(25, 5, 2, 0.0, True), case(30, 2, 0, 0.2, False)]
for one in cases[:2]:
    predicted = np.array(one["logits"]).reshape(-1, one["classes"]).argmax(1)
    assert abs(balanced_accuracy_score(one["truth"], predicted) - one["balanced_accuracy"]) < 1e-12
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps({"cases": cases}, separators=(",", ":")) + "\n")
