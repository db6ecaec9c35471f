#!/usr/bin/env python3
"""Whether hotrow's dense mode and PyTorch compute the same: what has to hold before a speed is compared.

    cargo build --release
    python3 benches/harness/parity.py benches/workloads/xmc-demo.toml --binary target/release/hotrow

Both start from the weights that hotrow wrote before its first step, and take the same batches in the same order, in f32. Compared are

1. the gradient of the first batch, of every tensor: hotrow takes one step of plain gradient descent with a learning rate of 2^10, and the
   weights of before and after tell the gradient;
2. the loss of each of `--steps` steps of the workload's own optimiser, and every tensor after them.

Bounds. A number that comes of sums of n terms in all carries a relative error of at most 8 sqrt(n) u, u = 2^-24, with a probability
of all but 2 n exp(-32) (Higham and Mary 2019, theorem 2.4). Here n counts the terms of all sums on the way through the network and back.
The gradient is the mean of those of many samples. They may have little in common, so that their mean is shorter than they are; but
their errors are independent and shrink with it: the bound is delta = 8 sqrt(n) u of its Euclidean length, tensor by tensor. A step of a
rule that is linear in the gradient of each row, or divides it by its length, moves weights with an error of twice delta of the movement;
one that divides each number by its own average (Adam), with twice delta of a typical number divided by the number itself, and by two
movements at most. To first order the errors of the steps before are in the next gradient, so step j counts j times. A loss is wrong by
delta of itself, and by the length of its gradient times the error of the weights.

The first thing out of bounds is named, and the exit code is 2. hotrow's Adam that lets rows sleep (`optim.name = "adam"`) is compared as
`adam-dense`: a row that sleeps has other weights until it is touched. 8-bit moments are compared as f32, sparse layers as dense ones.
"""

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path

import formats
from formats import Refused, Workload

LAMBDA, UNIT = 8.0, 2.0**-24
LARGE = 1024.0
DENSE = {
    "xmc": ["sparse.index=all", "model.precision=f32", "model.storage=f32", "model.sampled_hidden=[]", "sparse.inspect_every=0"],
    "lm": ["head.mode=dense", "model.precision=f32", "train.sample_tokens=0"],
}
DESCENT = ["optim.name=sgd", f"optim.lr={LARGE}", "optim.final_lr=0.0", "optim.schedule=constant", "optim.warmup_steps=0",
           "optim.weight_decay=0.0", "optim.clip=0.0"]


def parity(workload, cache, seed, steps, sabotage=None):
    """Compares; gives what was compared as (name, difference, bound), or raises `Refused`. `sabotage` may change PyTorch's weights: for the
    test that this finds it."""
    import torch

    from network import make
    from optimisers import Optimiser, learning_rate

    sets = [*DENSE[workload.task], "optim.eight_bit=false", f"train.seed={seed}", "train.save_every=0", "train.log_every=1"]
    folder = workload.initial(cache, seed, sets)
    config = formats.resolved(folder)
    if config["optim"]["name"] == "adam":
        sets.append("optim.name=adam-dense")
        config["optim"]["name"] = "adam-dense"
    before = formats.weights(folder)
    network, data = make(workload.task, folder, before, config, "dense" if workload.task == "lm" else "sparse-embedding")
    if sabotage:
        sabotage(network)
    steps = min(steps, data.steps)
    rows = []

    # 1. The gradient.
    _, after = run(workload, cache, [*sets, *DESCENT], 1)
    network.gradients(network.put(data.batch(0)))
    delta = LAMBDA * math.sqrt(terms_of(network, config, data)) * UNIT
    for name, parameter in network.parameters.items():
        grad = parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad
        start, end = (torch.from_numpy(side[name].copy()).double() for side in (before, after))
        # The weights of after are f32 themselves.
        resolution = UNIT * (torch.linalg.vector_norm(end) + torch.linalg.vector_norm(start)).item() / LARGE
        difference = torch.linalg.vector_norm((start - end) / LARGE - grad.double()).item()
        length = torch.linalg.vector_norm(grad.double()).item()
        check(rows, f"gradient of {name}", difference, delta * length + resolution)

    # 2. Losses, and weights after all steps.
    optimiser = Optimiser(network.parameters, config["optim"], getattr(network, "undecayed", ()), exact=True)
    errors = {name: 0.0 for name in network.parameters}

    def error(name, grad, update, lr):
        share = 2 * delta * optimiser.steps
        if config["optim"]["name"].startswith("adam"):
            moved = grad != 0
            typical = grad[moved].square().mean().sqrt() if moved.any() else 0.0
            wrong = torch.clamp(share * typical / grad.abs(), max=2.0)[moved] * lr
        else:
            wrong = share * update
        errors[name] += torch.linalg.vector_norm(wrong.double()).item()

    optimiser.error = error
    losses, after = run(workload, cache, sets, steps)
    for step in range(steps):
        loss = network.gradients(network.put(data.batch(step))).item()
        grads = [p.grad.coalesce().values() if p.grad.is_sparse else p.grad for p in network.parameters.values()]
        steepness = math.sqrt(sum(torch.linalg.vector_norm(grad.double()).item() ** 2 for grad in grads))
        wrong = math.sqrt(sum(value**2 for value in errors.values()))
        bound = delta * abs(loss) + steepness * wrong
        check(rows, f"loss of step {step + 1}", abs(loss - losses[step]), bound)
        optimiser.step(learning_rate(config["optim"], step + 1, data.steps))
    for name, parameter in network.parameters.items():
        want, got = parameter.detach().double(), torch.from_numpy(after[name].copy()).double()
        rounding = UNIT * steps * torch.linalg.vector_norm(want).item()
        check(rows, f"{name} after step {steps}", torch.linalg.vector_norm(want - got).item(), errors[name] + rounding)
    return rows


def check(rows, name, difference, bound):
    rows.append((name, difference, bound))
    # Also false for what is not a number.
    if not difference <= bound:
        raise Refused(f"{name}: hotrow and PyTorch differ by {difference:.3e}, more than {bound:.3e}; no comparison is made")


def terms_of(network, config, data):
    """Terms of all sums between a weight and the loss and back, for a whole batch."""
    shapes = {name: tuple(parameter.shape) for name, parameter in network.parameters.items()}
    forward = sum(shape[1] for name, shape in shapes.items() if name.endswith(".weight") and not name.startswith("input"))
    if hasattr(data, "per_epoch"):
        indices, _, offsets, *_ = data.batch(0)
        return 2 * (forward + network.labels + len(indices)) + len(offsets)
    # Two norms a layer, one at the end, and a sum over positions in each attention.
    forward += config["model"]["layers"] * (2 * config["model"]["width"] + data.context) + config["model"]["width"]
    return 2 * (forward + network.labels) + data.starts.shape[1] * data.context


def run(workload, cache, sets, steps):
    """The losses of hotrow's first steps, and its weights after them."""
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        out = Path(folder) / "run"
        # Stopped, 75; there were no more steps, 0.
        workload.train(cache, out, sets, "--stop-after", steps, accept=(75, 0))
        log = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        losses = [event["loss"] for event in log if event["event"] == "train"]
        tensors = formats.weights(out, steps)
        return losses, {name: tensor.copy() for name, tensor in tensors.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", type=Path)
    parser.add_argument("--binary", default="target/release/hotrow")
    parser.add_argument("--variant", help="whose options are taken; `dense`, or the first")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--seed", type=int, help="the workload's first if not said")
    options = parser.parse_args()
    workload = Workload(options.workload, options.binary, options.variant)
    workload.check_data()
    with tempfile.TemporaryDirectory() as cache:
        rows = parity(workload, Path(cache), options.seed or workload.seeds[0], options.steps)
    for name, difference, bound in rows:
        print(f"{name:50} {difference:.3e} of {bound:.3e}")
    print(f"{workload.name}: hotrow and PyTorch agree over {options.steps} steps", file=sys.stderr)


if __name__ == "__main__":
    formats.refusing(main)
