"""One timed run of PyTorch, in a process of its own: `run.py` starts it. Reads a JSON object from stdin, prints the result as one.

The clock runs from the first batch on and holds reading of batches, steps and evaluation. Loading (parsed samples, weights, the move to
the device) and compiling stand beside it, and in the total. Samples were parsed by hotrow before: that is not counted, in PyTorch's favour.
"""

import json
import math
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "xmc"))

import xc

xc.restart_with_allocator()

import hashlib
import resource

import numpy as np
import torch

import formats
from classification import stage
from data import ahead
from metrics import Ranking, inverse_propensities, language
from network import make
from optimisers import Optimiser, learning_rate

# Samples, or tokens, that are evaluated together.
EVALUATED = {"xmc": 512, "lm": 8192}


class Run:
    def __init__(self, order):
        self.order, self.task, self.device = order, order["task"], order["device"]
        self.folder = Path(order["folder"])
        self.config = formats.resolved(self.folder)
        start = time.perf_counter()
        options = {"bf16": order["precision"] == "bf16", "device": self.device}
        if order["compile"] and self.task == "lm":
            options["compiled"] = True
        weights = formats.weights(self.folder)
        if order["batch"]:
            self.enlarge(order["batch"])
        self.network, self.data = make(self.task, self.folder, weights, self.config, order["mode"], order["batch"], **options)
        self.optimiser = Optimiser(self.network.parameters, self.config["optim"], getattr(self.network, "undecayed", ()),
                                   sparse=self.network.sparse)
        self.seconds = {"load": 0.0, "compile": 0.0, "train": 0.0, "eval": 0.0, "index": 0.0, "read": 0.0}
        self.wait()
        self.seconds["load"] = time.perf_counter() - start
        self.curve, self.metrics, self.steps = [], {}, min(order["steps"] or self.data.steps, self.data.steps)

    def enlarge(self, batch):
        """A batch so many times the workload's: the learning rate grows with the root of that (Malladi et al. 2022, of Adam and its kin),
        and what is counted in steps comes as much earlier."""
        train, optim = self.config["train"], self.config["optim"]
        times = batch / (train.get("batch_size") or train["batch_tokens"])
        optim["lr"], optim["final_lr"] = (optim[key] * times**0.5 for key in ("lr", "final_lr"))
        optim["warmup_steps"] = math.ceil(optim["warmup_steps"] / times)
        train["log_every"] = max(round(train["log_every"] / times), 1)
        if self.task == "lm" and train["eval_every"]:
            train["eval_every"] = max(round(train["eval_every"] / times), 1)

    def wait(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def warm(self):
        """Compiles, and makes the device ready, on the first batch; no weight moves."""
        start = time.perf_counter()
        self.network.gradients(self.network.put(self.data.batch(0)))
        self.wait()
        for parameter in self.network.parameters.values():
            parameter.grad = None
        self.network.active = self.network.active * 0
        self.seconds["compile"] = time.perf_counter() - start

    def train(self):
        """Every step; whether all losses were numbers."""
        begin, total, since = time.perf_counter(), self.data.steps, 0
        loss = torch.zeros((), device=self.device)
        log_every = max(self.config["train"]["log_every"], 1)
        batches = ahead(lambda step: stage(self.data.batch(step), self.device), range(self.steps))
        for step in range(1, self.steps + 1):
            asked = time.perf_counter()
            batch = next(batches)
            self.seconds["read"] += time.perf_counter() - asked
            loss += self.network.gradients(self.network.put(batch)).detach()
            self.optimiser.step(learning_rate(self.config["optim"], step, total))
            since += 1
            last = step == self.steps
            if step % log_every == 0 or last or self.due(step):
                mean = loss.item() / since
                if not math.isfinite(mean):
                    return False
                self.seconds["train"] += time.perf_counter() - asked
                self.curve.append([time.perf_counter() - begin, step, None, mean])
                loss.zero_()
                since = 0
            else:
                self.seconds["train"] += time.perf_counter() - asked
            if self.due(step) or last:
                start = time.perf_counter()
                self.metrics = self.evaluate()
                self.seconds["eval"] += time.perf_counter() - start
                metric = self.metrics.get(self.order["target"]["metric"])
                self.curve.append([time.perf_counter() - begin, step, metric, None])
        return True

    def due(self, step):
        every = self.config["train"]["eval_every"]
        return every > 0 and step % (every * getattr(self.data, "per_epoch", 1)) == 0

    def evaluate(self):
        """The whole validation set, all labels."""
        data = self.data
        if self.task == "lm":
            # Windows one after the other, the last one shorter; every token but the first is predicted once.
            nats, end, context = 0.0, len(data.valid) - 1, data.context
            starts = list(range(0, end, context))
            per = max(EVALUATED["lm"] // context, 1)
            whole = [start for start in starts if start + context <= end]
            groups = [(np.array(whole[i:i + per]), context) for i in range(0, len(whole), per)]
            groups += [(np.array([start]), end - start) for start in starts if start + context > end]
            for at, length in groups:
                places = at[:, None] + np.arange(length)
                tokens, targets = (torch.from_numpy(np.asarray(data.valid.tokens[places + shift], np.int64)).to(self.device)
                                   for shift in (0, 1))
                nats += self.network.nats(tokens, targets)
            return language(nats, end, data.valid.source_bytes)
        valid = data.valid
        counts = np.bincount(data.train.label_ids, minlength=self.network.labels)
        ranking = Ranking(inverse_propensities(counts, len(data.train)))
        for start in range(0, len(valid), EVALUATED["xmc"]):
            samples = np.arange(start, min(start + EVALUATED["xmc"], len(valid)))
            top = self.network.top(self.network.put(valid.batch(samples))).cpu().numpy()
            at = valid.label_starts[start:samples[-1] + 2]
            ranking.add(top, valid.label_ids[at[0]:at[-1]], at - at[0])
        return ranking.metrics()

    def flops(self):
        """Of one step, by PyTorch's own counter: products only. Lookups, softmax and updates are not in it."""
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            self.network.gradients(self.network.put(self.data.batch(0)))
        return counter.get_total_flops()

    def digest(self):
        hash = hashlib.blake2b(digest_size=16)
        for name in sorted(self.network.parameters):
            hash.update(self.network.parameters[name].detach().cpu().contiguous().view(torch.uint8).numpy().data)
        return hash.hexdigest()


def bandwidth(device):
    """Bytes a second that are read from memory: the best of five sums over 256 MiB (1 GiB on a GPU)."""
    x = torch.ones((1 << 28 if device == "cuda" else 1 << 26), device=device)
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        x.sum().item()
        best = min(best, time.perf_counter() - start)
    return x.numel() * 4 / best


def main():
    order = json.load(sys.stdin)
    begin = time.perf_counter()
    torch.set_num_threads(order["threads"])
    torch.manual_seed(order["seed"])
    cuda = order["device"] == "cuda"
    outcome = order["outcome"]
    level = torch.backends.cpu.get_cpu_capability().lower()
    outcome["machine"] = formats.machine(level, torch.get_num_threads(), bandwidth(order["device"]))
    if cuda:
        outcome["machine"] |= {"gpu": torch.cuda.get_device_name(), "gpu_memory_bytes": torch.cuda.get_device_properties(0).total_memory}
        outcome["software"]["cuda"] = torch.version.cuda
        torch.cuda.reset_peak_memory_stats()
    outcome["software"]["torch"] = torch.__version__
    outcome["started"] = formats.now()
    run = Run(order)
    run.warm()
    finite = run.train()
    seconds, network, steps = run.seconds, run.network, run.curve[-1][1] if run.curve else 0
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    clock = run.curve[-1][0] if run.curve else 0.0
    outcome |= {
        "seconds": seconds | {"total": seconds["load"] + seconds["compile"] + clock, "process": time.perf_counter() - begin},
        "curve": run.curve, "metrics": run.metrics, "steps": steps,
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if cuda else resident,
        "parameters": sum(parameter.numel() for parameter in network.parameters.values()), "digest": run.digest(),
    }
    if run.task == "xmc":
        trained = sum(len(run.data.samples(step)) for step in range(steps))
    else:
        trained = steps * run.data.starts.shape[1]
        outcome["tokens_per_second"] = trained * run.data.context / max(seconds["train"], 1e-9)
    outcome["samples_per_second"] = trained / max(seconds["train"], 1e-9)
    active = network.labels
    if order["mode"] == "sampled" and steps:
        # Of language models a micro-batch has a sample of its own.
        active = network.active.item() / max(getattr(network, "samples", 0) or steps, 1)
    outcome["union_rows"], outcome["active_share"] = float(active), active / network.labels
    executed = run.flops() * steps
    width = network.parameters.get("output.weight", network.parameters.get("embedding.weight")).shape[1]
    unit = 1 if run.task == "xmc" else run.data.context
    left_out = int(6 * (network.labels - active) * width * trained * unit)
    outcome["flops"] = {"executed": executed, "dense_equivalent": executed + left_out}
    print(json.dumps(formats.conclude(outcome, not finite)))


if __name__ == "__main__":
    main()
