"""Expected values of the losses of `pretrain` and of its mean average precision at R: pytorch-metric-learning in f64 where each patch has
one label, and the formulas, written out pair by pair, where patches have several or unknown ones. Writes metric_losses.json next to itself.

    python tests/expected/metric_losses.py          (torch, pytorch-metric-learning)
"""
import itertools, json, pathlib
import torch
from pytorch_metric_learning import distances, losses, miners
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)


def embeddings(count, width):
    return torch.randn(count, width).float().double()


def case(value, x):
    value.backward()
    return dict(value=value.item(), gradient=x.grad.flatten().tolist())


# One label per patch: pytorch-metric-learning.
x, kinds = embeddings(24, 6), torch.arange(24) % 3
single = dict(embeddings=x.flatten().tolist(), classes=3, labels=["pa"[k != c] for k in kinds for c in range(3)], cases={})
for temperature in (0.1, 0.5):
    at = x.clone().requires_grad_(True)
    single["cases"][f"contrastive {temperature}"] = case(losses.SupConLoss(temperature=temperature)(at, kinds), at)
for margin in (0.2, 0.05):
    at = x.clone().requires_grad_(True)
    triplets = miners.TripletMarginMiner(margin=margin, type_of_triplets="semihard")(at, kinds)
    single["cases"][f"semi-hard {margin}"] = case(losses.TripletMarginLoss(margin=margin)(at, kinds, triplets), at)
    at = x.clone().requires_grad_(True)
    single["cases"][f"all {margin}"] = case(losses.TripletMarginLoss(margin=margin, triplets_per_anchor="all")(at, kinds), at)

# Retrieval of 30 references by 12 queries.
queries, references = embeddings(12, 6), embeddings(30, 6)
asked, there = torch.randint(3, (12,)), torch.randint(3, (30,))
normal = torch.nn.functional.normalize
found = AccuracyCalculator(
    include=("mean_average_precision_at_r",), avg_of_avgs=False, return_per_class=True, knn_func=CustomKNN(distances.CosineSimilarity()), k="max_bin_count"
).get_accuracy(normal(queries), asked, normal(references), there)
retrieval = dict(
    queries=queries.flatten().tolist(), references=references.flatten().tolist(), asked=asked.tolist(), there=there.tolist(),
    classes=list(found["mean_average_precision_at_r"]),
)

# Several labels, some unknown: the formulas. A column for healthy patches is added where they are a class.
x = embeddings(20, 5)
labels = [["paau"[i] for i in row] for row in torch.randint(4, (20, 3)).tolist()]
for row in (0, 7, 13):
    labels[row] = ["a"] * 3


def columns(healthy):
    def own(row):
        kind = "a" if "p" in row else "u" if "u" in row else "p"
        return row + [kind] if healthy == "class" else row

    return [own(row) for row in labels]


def contrastive(x, y, temperature, positives):
    z = normal(x)
    s = z @ z.T / temperature
    n = len(y)
    terms = []

    def term(i, weights):
        # Of the patches that can be compared with i, the weight of each as a positive.
        total = sum(weights.values())
        if total > 0:
            below = torch.logsumexp(torch.stack([s[i, a] for a in weights]), 0)
            terms.append(-sum(w / total * (s[i, p] - below) for p, w in weights.items() if w > 0))

    for i in range(n):
        others = [j for j in range(n) if j != i]
        if positives == "each-label":
            for k, label in enumerate(y[i]):
                if label == "p":
                    term(i, {j: float(y[j][k] == "p") for j in others if y[j][k] != "u"})
        elif "u" not in y[i]:
            own = {k for k, label in enumerate(y[i]) if label == "p"}
            weights = {}
            for j in others:
                if "u" not in y[j]:
                    other = {k for k, label in enumerate(y[j]) if label == "p"}
                    jaccard = len(own & other) / len(own | other) if own | other else 0.0
                    weights[j] = jaccard if positives == "overlap" else float(bool(own) and own == other)
            term(i, weights)
    return sum(terms) / len(terms)


def triplet(x, y, margin, mining):
    z = normal(x)
    n = len(y)
    d = [[(z[i] - z[j]).norm() if i != j else None for j in range(n)] for i in range(n)]
    share = lambda i, j: any(a == b == "p" for a, b in zip(y[i], y[j]))
    disjoint = lambda i, j: not any((a, b) in (("p", "p"), ("p", "u"), ("u", "p")) for a, b in zip(y[i], y[j]))
    terms = []
    for a, p in itertools.permutations(range(n), 2):
        if not share(a, p):
            continue
        negatives = [q for q in range(n) if q != a and disjoint(a, q)]
        if mining == "nearest":
            farther = [q for q in negatives if d[a][q] > d[a][p]]
            if negatives:
                chosen = min(farther, key=lambda q: d[a][q]) if farther else max(negatives, key=lambda q: d[a][q])
                terms.append(torch.clamp(d[a][p] - d[a][chosen] + margin, min=0))
            continue
        for q in negatives:
            value = d[a][p] - d[a][q] + margin
            if value > 0 and (mining == "all" or d[a][p] < d[a][q]):
                terms.append(value)
    return sum(terms) / len(terms)


several = dict(embeddings=x.flatten().tolist(), classes=3, labels=[label for row in labels for label in row], cases=[])
for healthy in ("class", "negative"):
    y = columns(healthy)
    for positives in ("each-label", "overlap", "same-set"):
        at = x.clone().requires_grad_(True)
        several["cases"].append(dict(loss="contrastive", healthy=healthy, kind=positives, **case(contrastive(at, y, 0.2, positives), at)))
    for mining in ("semi-hard", "nearest", "all"):
        at = x.clone().requires_grad_(True)
        several["cases"].append(dict(loss="triplet", healthy=healthy, kind=mining, **case(triplet(at, y, 0.3, mining), at)))

path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(dict(single=single, retrieval=retrieval, several=several), indent=1) + "\n")
