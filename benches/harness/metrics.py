"""Quality on a whole test set, as hotrow's `metrics` module defines it."""

import numpy as np

KS = (1, 3, 5)


def offsets_of(counts):
    return np.concatenate([[0], np.cumsum(counts)])


def inverse_propensities(label_counts, samples, a=0.55, b=1.5):
    """1 / p of each label (Jain et al. 2016), with the constants for data sets that have none of their own."""
    c = max(np.log(samples) - 1, 0.0) * (b + 1) ** a
    return 1 + c * (label_counts + b) ** -a


class Ranking:
    """P, recall, nDCG and PSP at 1, 3, 5 over samples that come in batches. A sample without labels counts as one that is
    wrong in all of them."""

    def __init__(self, inverse):
        self.inverse, self.samples = inverse, 0
        self.sums = {key: np.zeros(max(KS)) for key in ("hits", "recall", "gain", "scored", "best")}

    def add(self, top, labels, offsets):
        """`top` (samples, 5): the best labels of each sample, best first, -1 where there is none; `labels` and `offsets`: the
        true ones."""
        discounts = 1 / np.log2(np.arange(max(KS)) + 2)
        self.samples += len(top)
        for row, start, end in zip(top, offsets[:-1], offsets[1:]):
            truth = labels[start:end]
            if not len(truth):
                continue
            hits = np.isin(row, truth)
            ideal = np.cumsum(discounts * (np.arange(max(KS)) < len(truth)))
            scores = np.sort(self.inverse[truth])[::-1][:max(KS)]
            self.sums["hits"] += np.cumsum(hits)
            self.sums["recall"] += np.cumsum(hits) / len(truth)
            self.sums["gain"] += np.cumsum(hits * discounts) / ideal
            self.sums["scored"] += np.cumsum(np.where(hits, self.inverse[row], 0.0))
            self.sums["best"] += np.cumsum(np.pad(scores, (0, max(KS) - len(scores))))

    def metrics(self):
        count, out = max(self.samples, 1), {}
        for k in KS:
            at = {key: float(values[k - 1]) for key, values in self.sums.items()}
            out |= {f"p@{k}": at["hits"] / k / count, f"recall@{k}": at["recall"] / count, f"ndcg@{k}": at["gain"] / count,
                    f"psp@{k}": at["scored"] / at["best"] if at["best"] else 0.0}
        return out


def language(nats, tokens, source_bytes):
    """`loss` in nats, `perplexity`, `bits_per_byte`."""
    out = {"loss": nats / tokens, "perplexity": float(np.exp(min(nats / tokens, 700.0)))}
    return out | ({"bits_per_byte": nats / np.log(2) / source_bytes} if source_bytes else {})
