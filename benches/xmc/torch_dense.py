#!/usr/bin/env python3
"""PyTorch on the CPU, exact softmax over all labels: what a user would write, then made as fast as we can.

    python3 benches/xmc/torch_dense.py --train DIR/train.txt --valid DIR/valid.txt --precision bf16 --steps 20
    python3 benches/xmc/torch_dense.py --train DIR/train.txt --valid DIR/valid.txt --epochs 1 --eval

Bag of features (sum of rows times normalised values, sparse gradient, SparseAdam) -> ReLU -> all labels (fused Adam).
The loss and its gradient are written by hand on one buffer of logits: autograd would keep three of them, and add the
labels' share through a fourth. `--precision bf16` computes the three products with the output layer in bf16, as autocast
does, and the softmax between them too; weights and moments stay f32.
"""

import xc

xc.restart_with_allocator()

import torch
import torch.nn.functional as F


class Network:
    def __init__(self, train, options):
        torch.manual_seed(options.seed)
        self.bf16 = options.precision == "bf16"
        hidden = options.hidden
        self.table = torch.nn.Parameter(torch.randn(train.features, hidden) / hidden**0.5)
        self.bias = torch.nn.Parameter(torch.zeros(hidden))
        self.output = torch.nn.Parameter(torch.randn(train.labels, hidden) / hidden**0.5)
        self.output_bias = torch.nn.Parameter(torch.zeros(train.labels))
        dense = [self.bias, self.output, self.output_bias]
        self.optimisers = [torch.optim.SparseAdam([self.table], lr=options.lr),
                           torch.optim.Adam(dense, lr=options.lr, fused=True)]
        dtype = torch.bfloat16 if self.bf16 else torch.float32
        self.scores = torch.empty(options.batch, train.labels, dtype=dtype)
        self.weights = torch.empty(train.labels, hidden, dtype=dtype) if self.bf16 else self.output.data
        self.output.grad = torch.empty_like(self.output)

    def hidden(self, batch):
        indices, values, offsets = batch[:3]
        bag = F.embedding_bag(indices, self.table, offsets, mode="sum", sparse=True, per_sample_weights=values)
        return F.relu(bag + self.bias)

    def step(self, batch):
        labels, rows, shares = batch[3:]
        for parameter in (self.table, self.bias):
            parameter.grad = None
        h = self.hidden(batch)
        loss = self.output_step(h, labels, rows, shares)
        for optimiser in self.optimisers:
            optimiser.step()
        return loss

    def output_step(self, h, labels, rows, shares):
        """The loss; sets the gradients of the output layer and carries the one of `h` back."""
        count = len(h)
        with torch.no_grad():
            if self.bf16:
                self.weights.copy_(self.output)
            x = h.to(self.weights.dtype)
            scores = torch.addmm(self.output_bias.to(x.dtype), x, self.weights.t(), out=self.scores)
            places = rows * scores.shape[1] + labels
            # In place: scores become probabilities, then the gradient.
            torch.softmax(scores, 1, out=scores)
            chance = scores.view(-1)[places].float()
            loss = -(shares * torch.log(chance.clamp_min(1e-30))).sum().item() / count
            scores.view(-1).index_add_(0, places, -shares.to(scores.dtype))
            scores /= count
            if self.bf16:
                self.output.grad.copy_(scores.t() @ x)
            else:
                torch.mm(scores.t(), x, out=self.output.grad)
            self.output_bias.grad = scores.sum(0).float()
            dh = (scores @ self.weights).float()
        h.backward(dh)
        return loss

    @torch.no_grad()
    def logits(self, rows):
        h = self.hidden([torch.from_numpy(item) for item in rows])
        return torch.addmm(self.output_bias, h, self.output.t())


def main():
    parser = xc.arguments(__doc__)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train = xc.Samples(options.train)
    network = Network(train, options)
    xc.run(options, train, network.step, lambda rows: [torch.from_numpy(item) for item in rows], network.logits)


if __name__ == "__main__":
    main()
