"""The floor of the language models: an interpolated Kneser-Ney 3-gram (Chen and Goodman 1999, modified), on as many tokens.

    python3 benches/lm/kneser_ney.py --train DIR/train/train.tokens --valid DIR/valid/train.tokens --tokens 400000 --tokens 0

Prints one JSON line for each `--tokens`: loss in nats a token over the whole validation file, and bits per byte. So many tokens are
taken as windows of 256 that lie evenly in the training file, as training sees windows from all of it; 0 takes the file. Needs NumPy.
"""

import argparse
import json

import numpy as np

HEADER = np.dtype([("magic", "<u8"), ("version", "<u8"), ("width", "<u8"), ("tokens", "<u8"), ("vocabulary", "<u8"), ("bytes", "<u8")])
WINDOW = 256


def read(path):
    head = np.fromfile(path, HEADER, 1)[0]
    tokens = np.fromfile(path, "<u2" if head["width"] == 2 else "<u4", offset=128)
    assert len(tokens) == head["tokens"], f"{path} is no token file of version 1"
    return tokens.astype(np.int64), int(head["vocabulary"]), int(head["bytes"])


class Order:
    """Counts of n-grams, and for each history the mass that discounting leaves to the order below."""

    def __init__(self, grams, counts, vocabulary):
        self.grams, self.counts, self.vocabulary = grams, counts, vocabulary
        n1, n2, n3, n4 = (max(int((counts == n).sum()), 1) for n in (1, 2, 3, 4))
        y = n1 / (n1 + 2 * n2)
        discounts = np.array([0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]).clip(0, None)
        self.discounts = discounts[np.minimum(counts, 3)]
        self.histories, index = np.unique(grams // vocabulary, return_inverse=True)
        self.totals = np.bincount(index, counts)
        self.left = np.bincount(index, self.discounts) / self.totals

    def probability(self, history, word, below):
        at, known = find(self.histories, history)
        gram, seen = find(self.grams, history * self.vocabulary + word)
        own = np.where(seen, self.counts[gram] - self.discounts[gram], 0) / self.totals[at]
        return np.where(known, own + self.left[at] * below, below)


def find(values, wanted):
    at = np.searchsorted(values, wanted).clip(max=len(values) - 1)
    return at, values[at] == wanted


def model(windows, vocabulary):
    """Trigrams are counted; bigrams and words by how many different words stand before them."""
    a, b, c = windows[:, :-2].ravel(), windows[:, 1:-1].ravel(), windows[:, 2:].ravel()
    trigrams, counts = np.unique((a * vocabulary + b) * vocabulary + c, return_counts=True)
    bigrams, continuations = np.unique(trigrams % vocabulary**2, return_counts=True)
    words = np.bincount(bigrams % vocabulary, minlength=vocabulary)
    # One discount for words, and what it leaves to all of them alike.
    discount = 0.75
    left = discount * (words > 0).sum() / words.sum()
    unigram = np.maximum(words - discount, 0) / words.sum() + left / vocabulary
    return unigram, Order(bigrams, continuations, vocabulary), Order(trigrams, counts, vocabulary)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True)
    parser.add_argument("--valid", required=True)
    parser.add_argument("--tokens", type=int, action="append", required=True)
    arguments = parser.parse_args()
    train, vocabulary, _ = read(arguments.train)
    valid, _, text = read(arguments.valid)
    for tokens in arguments.tokens:
        windows = train[: len(train) // WINDOW * WINDOW].reshape(-1, WINDOW) if tokens else train[None]
        if tokens:
            windows = windows[np.linspace(0, len(windows) - 1, tokens // WINDOW).astype(int)]
        unigram, bigrams, trigrams = model(windows, vocabulary)
        b, c = valid[:-1], valid[1:]
        a = np.concatenate([valid[:1], valid[:-2]])
        p = bigrams.probability(b, c, unigram[c])
        p = trigrams.probability(a * vocabulary + b, c, p)
        # The law of total probability, for one history.
        every = np.arange(vocabulary)
        whole = bigrams.probability(np.full(vocabulary, b[9]), every, unigram)
        whole = trigrams.probability(np.full(vocabulary, a[9] * vocabulary + b[9]), every, whole)
        assert abs(whole.sum() - 1) < 1e-9, whole.sum()
        nats = -np.log(p).sum()
        figures = {"tokens": int(windows.size), "loss": nats / len(p), "bits_per_byte": nats / np.log(2) / text}
        print(json.dumps({"contender": "Kneser-Ney 3-gram", **figures}), flush=True)


if __name__ == "__main__":
    main()
