#!/usr/bin/env python3
"""Writes ranking.json: a small random set of rankings, and what napkinXC and scikit-learn say about it.

    pip install napkinxc scikit-learn && python3 tests/data/ranking.py > tests/data/ranking.json

Made with napkinxc 0.7.2 and scikit-learn 1.9.1. Each figure that both can compute must be the same from both.
"""

import json

import numpy as np
from napkinxc import metrics as napkin
from sklearn.metrics import ndcg_score, precision_score, recall_score

LABELS, TRAIN, SAMPLES, KS = 60, 300, 150, (1, 3, 5)


def rows(rng, count, popularity):
    """Sorted label sets of 0 to 8 labels, popular labels more often."""
    return [sorted(rng.choice(LABELS, size=rng.integers(0, 9), replace=False, p=popularity).tolist()) for _ in range(count)]


def main():
    rng = np.random.default_rng(20240611)
    popularity = 1 / np.arange(1.0, LABELS + 1)
    popularity /= popularity.sum()
    train, truth = rows(rng, TRAIN, popularity), rows(rng, SAMPLES, popularity)
    dense = np.zeros((SAMPLES, LABELS), dtype=int)
    for sample, labels in enumerate(truth):
        dense[sample, labels] = 1
    scores = rng.normal(size=dense.shape) + 1.2 * dense
    order = np.argsort(-scores, axis=1)[:, : max(KS)]
    predicted = order.tolist()

    counts = np.bincount([label for labels in train for label in labels], minlength=LABELS)
    figures = {}
    for name, (a, b) in {"default": (0.55, 1.5), "amazon": (0.6, 2.6)}.items():
        inverse = napkin.Jain_et_al_inverse_propensity(train, A=a, B=b)
        assert len(inverse) == LABELS and np.array_equal(napkin.count_labels(train), counts)
        figures[name] = {f"psp@{k}": napkin.psprecision_at_k(truth, predicted, inverse, k=k)[-1] for k in KS}
        figures[name]["inverse"] = inverse.tolist()
    plain = {}
    for k in KS:
        chosen = np.zeros_like(dense)
        np.put_along_axis(chosen, order[:, :k], 1, axis=1)
        both = {
            f"p@{k}": (napkin.precision_at_k(truth, predicted, k=k)[-1],
                       precision_score(dense, chosen, average="samples", zero_division=0)),
            f"recall@{k}": (napkin.recall_at_k(truth, predicted, k=k)[-1],
                            recall_score(dense, chosen, average="samples", zero_division=0)),
            f"ndcg@{k}": (napkin.ndcg_at_k(truth, predicted, k=k)[-1], ndcg_score(dense, scores, k=k)),
        }
        for key, (first, second) in both.items():
            assert abs(first - second) < 1e-12, f"{key}: {first} by napkinXC, {second} by scikit-learn"
            plain[key] = first
    print(json.dumps({
        "labels": LABELS, "train": train, "truth": truth, "predicted": predicted, "plain": plain, "scored": figures,
    }))


if __name__ == "__main__":
    main()
