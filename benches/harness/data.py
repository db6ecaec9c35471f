"""What a run begins with, read from the folder that `hotrow train .. --init-only` has written, and its batches in hotrow's order."""

import json
import queue
import threading
from pathlib import Path

import numpy as np

import formats

# Batches that wait, as in hotrow's own loader.
AHEAD = 3


class Samples:
    """Sparse samples with labels, as the network gets them. `scale` is what the network's pooling multiplies values by."""

    def __init__(self, path, pooling):
        tensors = formats.safetensors(path)
        self.starts, self.label_starts = (tensors[f"{name}_offsets"].astype(np.int64) for name in ("feature", "label"))
        self.indices, self.label_ids = (tensors[name].astype(np.int64) for name in ("features", "labels"))
        self.values = tensors["values"].astype(np.float32)
        counts = np.diff(self.starts)
        rows = np.repeat(np.arange(len(self)), counts)
        if pooling == "normalized":
            squares = np.bincount(rows, self.values.astype(np.float64) ** 2, minlength=len(self))
            scale = np.divide(1, np.sqrt(squares), out=np.zeros(len(self)), where=squares > 0)
        else:
            scale = 1 / np.maximum(counts, 1) if pooling == "mean" else np.ones(len(self))
        self.pooled = scale.astype(np.float32)[rows] * self.values

    def __len__(self):
        return len(self.starts) - 1

    def batch(self, samples):
        """(indices, values, offsets, labels, label rows, label shares) of these samples."""
        at, counts = places(self.starts, samples)
        label_at, label_counts = places(self.label_starts, samples)
        label_rows = np.repeat(np.arange(len(samples)), label_counts)
        shares = (1.0 / np.repeat(label_counts, label_counts)).astype(np.float32)
        return (self.indices[at], self.pooled[at], np.cumsum(counts) - counts, self.label_ids[label_at], label_rows, shares)


def places(starts, samples):
    """Where the items of the samples are, and how many each has."""
    counts = starts[samples + 1] - starts[samples]
    before = np.cumsum(counts) - counts
    return np.repeat(starts[samples] - before, counts) + np.arange(counts.sum()), counts


class Classification:
    """Training and validation samples of a run, and which are in each step."""

    def __init__(self, folder, batch_size=None):
        config = formats.resolved(folder)
        pooling, own = config["model"]["pooling"], config["train"]["batch_size"]
        self.train = Samples(folder / "train.safetensors", pooling)
        self.valid = Samples(folder / "valid.safetensors", pooling)
        self.order = formats.safetensors(folder / "order.safetensors")["order"].astype(np.int64)
        self.batch_size = batch_size or own
        self.per_epoch = -(-len(self.train) // self.batch_size)
        self.steps = self.per_epoch * len(self.order)

    def samples(self, step):
        """The samples of step `step`, from 0; the last batch of an epoch may be smaller."""
        start = step % self.per_epoch * self.batch_size
        return self.order[step // self.per_epoch, start:start + self.batch_size]

    def batch(self, step):
        return self.train.batch(self.samples(step))


class Language:
    """Token files of a run, and where the sequences of each step begin."""

    def __init__(self, folder, batch_tokens=None):
        inputs = json.loads((folder / "env.json").read_text())["inputs"]
        config = formats.resolved(folder)
        self.context = config["data"]["context"] or config["model"]["context"]
        self.train = formats.Tokens(inputs["train"])
        self.valid = formats.Tokens(inputs["valid"]) if Path(inputs.get("valid", "")).is_file() else None
        starts = formats.safetensors(folder / "order.safetensors")["starts"].astype(np.int64)
        per_step = (batch_tokens or starts.shape[1] * self.context) // self.context
        self.steps = starts.size // per_step
        self.starts = starts.reshape(-1)[:self.steps * per_step].reshape(self.steps, per_step)

    def batch(self, step):
        """Tokens and targets, each (sequences, context)."""
        ring = len(self.train) - 1
        at = (self.starts[step][:, None] + np.arange(self.context)) % ring
        return tuple(np.asarray(self.train.tokens[at + shift], np.int64) for shift in (0, 1))


def ahead(make, steps):
    """`make(step)` for each step, made by a thread while the step before is trained on."""
    ready = queue.Queue(AHEAD)

    def work():
        try:
            for step in steps:
                ready.put((make(step), None))
            ready.put((None, None))
        except BaseException as error:
            ready.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    while True:
        batch, error = ready.get()
        if error:
            raise error
        if batch is None:
            return
        yield batch
