#!/usr/bin/env python3
"""PyTorch on the CPU, sampled softmax: the labels of the batch and uniform negatives, shared by all of its samples.

    python3 benches/xmc/torch_sampled.py --train DIR/train.txt --valid DIR/valid.txt --candidates 2048 --steps 200
    python3 benches/xmc/torch_sampled.py --train DIR/train.txt --valid DIR/valid.txt --candidates 2048 --epochs 1 --eval

`--candidates` counts labels and negatives together. A negative stands for all that were not drawn: the logarithm of how
many is added to its logit (log-Q correction). Only gathered rows are computed and updated, by hand: no autograd, lazy Adam
through PyTorch's fused kernel on the gathered rows and moments. The distinct features of a batch, and its bags the other
way round for the gradient, are made before the clock runs, with the batch. `--precision bf16` computes the three products
with the output layer in bf16.
"""

import xc

xc.restart_with_allocator()

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "harness"))

import numpy as np
import torch
import torch.nn.functional as F
from torch.optim.adam import adam

from sampling import candidates


class Rows:
    """A table of which each step moves some rows."""

    def __init__(self, table, lr):
        self.table, self.lr = table, lr
        self.first, self.second = torch.zeros_like(table), torch.zeros_like(table)

    def update(self, rows, weights, gradient, step):
        """Lazy Adam: `weights` are the gathered `rows`, which are all different."""
        first, second = self.first.index_select(0, rows), self.second.index_select(0, rows)
        adam([weights], [gradient], [first], [second], [], [torch.tensor(float(step))], foreach=False, fused=True,
             amsgrad=False, beta1=0.9, beta2=0.999, lr=self.lr, weight_decay=0.0, eps=1e-8, maximize=False)
        for table, new in ((self.table, weights), (self.first, first), (self.second, second)):
            table.index_copy_(0, rows, new)


def prepare(rows):
    """The batch with its distinct features, and for each of them the samples it is in."""
    indices, values, offsets, labels, label_rows, shares = rows
    features, places = np.unique(indices, return_inverse=True)
    counts = np.diff(np.append(offsets, len(indices)))
    samples = np.repeat(np.arange(len(offsets)), counts)
    order = np.argsort(places, kind="stable")
    occurrences = np.bincount(places, minlength=len(features))
    batch = (features, places, offsets, values, samples[order], np.cumsum(occurrences) - occurrences, values[order],
             labels, label_rows, shares)
    return [torch.from_numpy(item) for item in batch]


class Network:
    def __init__(self, train, options):
        torch.manual_seed(options.seed)
        hidden = options.hidden
        scale = hidden**-0.5
        self.labels, self.candidates, self.steps = train.labels, options.candidates, 0
        self.table = Rows(torch.randn(train.features, hidden) * scale, options.lr)
        self.bias = Rows(torch.zeros(1, hidden), options.lr)
        self.output = Rows(torch.randn(train.labels, hidden) * scale, options.lr)
        self.output_bias = Rows(torch.zeros(train.labels), options.lr)
        self.only = torch.tensor([0])
        self.bf16 = options.precision == "bf16"

    def product(self, a, b):
        return (a.bfloat16() @ b.bfloat16()).float() if self.bf16 else a @ b

    @torch.inference_mode()
    def step(self, batch):
        features, places, offsets, values, samples, sample_offsets, sample_values, labels, label_rows, shares = batch
        self.steps += 1
        count = len(offsets)

        weights = self.table.table.index_select(0, features)
        h = F.embedding_bag(places, weights, offsets, mode="sum", per_sample_weights=values)
        h.add_(self.bias.table).relu_()

        distinct, columns = torch.unique(labels, return_inverse=True)
        active, correction = candidates(distinct, self.candidates, self.labels)
        rows = self.output.table.index_select(0, active)
        row_bias = self.output_bias.table.index_select(0, active)
        scores = self.product(h, rows.t()).add_(row_bias + correction)
        torch.softmax(scores, 1, out=scores)
        at = label_rows * len(active) + columns
        loss = -(shares * torch.log(scores.view(-1)[at].clamp_min(1e-30))).sum().item() / count
        scores.view(-1).index_add_(0, at, shares, alpha=-1)
        scores.mul_(1 / count)

        dh = self.product(scores, rows)
        dh.mul_(h > 0)
        drows = self.product(scores.t(), h)
        dbias = scores.sum(0)
        dfeatures = F.embedding_bag(samples, dh, sample_offsets, mode="sum", per_sample_weights=sample_values)
        self.output.update(active, rows, drows, self.steps)
        self.output_bias.update(active, row_bias, dbias, self.steps)
        self.table.update(features, weights, dfeatures, self.steps)
        self.bias.update(self.only, self.bias.table.clone(), dh.sum(0, keepdim=True), self.steps)
        return loss

    @torch.inference_mode()
    def logits(self, rows):
        indices, values, offsets = (torch.from_numpy(item) for item in rows[:3])
        h = F.embedding_bag(indices, self.table.table, offsets, mode="sum", per_sample_weights=values)
        return torch.addmm(self.output_bias.table, (h + self.bias.table).relu_(), self.output.table.t())


def main():
    parser = xc.arguments(__doc__)
    parser.add_argument("--candidates", type=int, default=2048, help="labels of the batch and negatives together")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train = xc.Samples(options.train)
    network = Network(train, options)
    xc.run(options, train, network.step, prepare, network.logits)


if __name__ == "__main__":
    main()
