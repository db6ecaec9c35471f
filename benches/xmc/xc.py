"""What the rivals share: the reader of XC text, batches made before the clock runs, exact evaluation, the JSON report.

A sample's values are divided by their Euclidean length, as `model.pooling = "normalized"` does.
"""

import argparse
import json
import os
import sys
import time

import numpy as np

LINES = 20_000
# Large tensors are neither given back to the system after each step nor mapped anew, and idle threads do not spin.
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
    "OMP_WAIT_POLICY": "passive",
}


def restart_with_allocator():
    """The C library reads these when a process begins, so the script runs itself again."""
    if any(os.environ.get(key) != value for key, value in ALLOCATOR.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ALLOCATOR)


class Samples:
    """Rows in CSR form: features (`indices`, `values`) and labels."""

    def __init__(self, path, normalize=True):
        with open(path, "rb") as file:
            count, self.features, self.labels = map(int, file.readline().split())
            feature_counts, label_counts, pairs, labels = [], [], [], []
            while lines := file.readlines(LINES * 1000):
                rows = [line.partition(b" ") for line in lines]
                label_counts += [row[0].strip().count(b",") + 1 if row[0].strip() else 0 for row in rows]
                feature_counts += [row[2].count(b":") for row in rows]
                labels.append(numbers(b",".join(row[0].strip() for row in rows if row[0].strip()).replace(b",", b" ")))
                pairs.append(numbers(b" ".join(row[2] for row in rows).replace(b":", b" ").replace(b"\n", b" ")))
        if len(feature_counts) != count:
            raise SystemExit(f"{path}: {len(feature_counts)} samples, and the header says {count}")
        pairs = np.concatenate(pairs).reshape(-1, 2)
        self.indices = pairs[:, 0].astype(np.int64)
        self.values = pairs[:, 1].astype(np.float32)
        self.label_ids = np.concatenate(labels).astype(np.int64)
        self.starts = np.concatenate([[0], np.cumsum(feature_counts)])
        self.label_starts = np.concatenate([[0], np.cumsum(label_counts)])
        if normalize:
            rows = np.repeat(np.arange(count), feature_counts)
            lengths = np.sqrt(np.bincount(rows, self.values.astype(np.float64) ** 2, minlength=count))
            self.values /= np.maximum(lengths, 1e-30)[rows].astype(np.float32)

    def __len__(self):
        return len(self.starts) - 1

    def csr(self):
        """Features and labels as scipy matrices."""
        from scipy.sparse import csr_matrix

        x = csr_matrix((self.values, self.indices, self.starts), shape=(len(self), self.features))
        y = csr_matrix((np.ones(len(self.label_ids), np.float32), self.label_ids, self.label_starts),
                       shape=(len(self), self.labels))
        return x, y

    def rows(self, samples):
        """(indices, values, offsets, label ids, label rows, label weights) of these samples."""
        at, counts = positions(self.starts, samples)
        label_at, label_counts = positions(self.label_starts, samples)
        label_rows = np.repeat(np.arange(len(samples)), label_counts)
        weights = (1.0 / np.repeat(label_counts, label_counts)).astype(np.float32)
        return (self.indices[at], self.values[at], np.cumsum(counts) - counts,
                self.label_ids[label_at], label_rows, weights)


def numbers(text):
    return np.fromstring(text.decode(), sep=" ") if text.strip() else np.empty(0)


def positions(starts, samples):
    """Where the items of the samples are, and how many each has."""
    counts = starts[samples + 1] - starts[samples]
    before = np.cumsum(counts) - counts
    return np.repeat(starts[samples] - before, counts) + np.arange(counts.sum()), counts


def plan(options, count):
    """The samples of each step: full batches of a new order in each epoch."""
    rng = np.random.default_rng(options.seed)
    per_epoch = count // options.batch
    if per_epoch == 0:
        raise SystemExit(f"{count} samples make no batch of {options.batch}")
    steps = options.steps or options.epochs * per_epoch
    while steps > 0:
        order = rng.permutation(count)
        now = min(steps, per_epoch)
        yield [order[i * options.batch:(i + 1) * options.batch] for i in range(now)]
        steps -= now


def precision(samples, top, ks=(1, 3, 5)):
    """P@k over all samples; `top` has the best labels of each, best first."""
    hits = np.zeros(max(ks))
    for i, row in enumerate(top):
        truth = samples.label_ids[samples.label_starts[i]:samples.label_starts[i + 1]]
        hits[:len(row)] += np.isin(row, truth)
    return {f"p@{k}": hits[:k].sum() / (k * len(samples)) for k in ks}


def propensity_scored(train, samples, top, a=0.55, b=1.5, ks=(1, 3, 5)):
    """PSP@k over all samples, as `eval xmc` has it: the sum of hits over that of the best answers, both by inverse propensity."""
    count = np.bincount(train.label_ids, minlength=max(train.labels, samples.labels))
    inverse = 1 + max(np.log(len(train)) - 1, 0) * (b + 1) ** a * (count + b) ** -a
    got, best = np.zeros(max(ks)), np.zeros(max(ks))
    for i, row in enumerate(top):
        truth = samples.label_ids[samples.label_starts[i]:samples.label_starts[i + 1]]
        row = np.asarray(row[:max(ks)], dtype=np.int64)
        got[:len(row)] += np.isin(row, truth) * inverse[row]
        largest = np.sort(inverse[truth])[::-1][:max(ks)]
        best[:len(largest)] += largest
    return {f"psp@{k}": got[:k].sum() / best[:k].sum() for k in ks}


def evaluate(samples, logits, batch=128):
    """Exact P@1, 3, 5 over all labels; `logits` maps a batch of rows to scores of all labels."""
    top = []
    for start in range(0, len(samples), batch):
        rows = samples.rows(np.arange(start, min(start + batch, len(samples))))
        top.append(logits(rows).topk(5, dim=1).indices.numpy())
    return precision(samples, np.concatenate(top))


def arguments(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True)
    parser.add_argument("--valid", help="for --eval")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--steps", type=int, help="instead of --epochs")
    parser.add_argument("--warm-up", type=int, default=3, help="first steps that are not timed")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--eval", action="store_true", help="exact P@1, 3, 5 over all labels after each epoch")
    return parser


def run(options, train, step, prepare, logits):
    """Trains and prints the report. `prepare` makes a batch before the clock runs, `step` returns its loss."""
    valid = Samples(options.valid) if options.eval else None
    seconds, timed, done, losses, curve = 0.0, 0, 0, [], []
    for epoch in plan(options, len(train)):
        # Batches are made in slices, so that an epoch of them need not be in memory at once.
        for first in range(0, len(epoch), 64):
            batches = [prepare(train.rows(samples)) for samples in epoch[first:first + 64]]
            for batch in batches:
                start = time.perf_counter()
                loss = step(batch)
                elapsed = time.perf_counter() - start
                done += 1
                if done > options.warm_up:
                    seconds, timed = seconds + elapsed, timed + 1
                losses.append(loss)
        if valid is not None:
            curve.append(evaluate(valid, logits))
            print(f"epoch {len(curve)}: {curve[-1]}", file=sys.stderr)
    report = {
        "samples_per_second": timed * options.batch / seconds if timed else None,
        "steps": done,
        "steps_timed": timed,
        "seconds": seconds,
        "loss": float(np.mean(losses[-50:])),
        "options": vars(options),
        "load": os.getloadavg(),
    }
    if curve:
        report |= curve[-1] | {"by_epoch": curve}
    print(json.dumps(report))
