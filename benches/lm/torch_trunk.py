#!/usr/bin/env python3
"""The dense trunk of hotrow's presets in PyTorch on the CPU, written well: tokens of training per second.

    python3 benches/lm/torch_trunk.py --preset small --steps 6

Fused scaled-dot-product attention, bf16 autocast, fused AdamW, weights and moments in f32. `--head chunked` computes loss and
gradients of the output layer for 512 tokens at a time, which keeps the logits of a batch out of memory; `--head plain` is what most
people write. `--compile` compiles the model. Prints one JSON object with the median of the steps after the first two.
"""

import argparse
import json
import resource
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

PRESETS = {
    "tiny": {"width": 128, "layers": 4, "heads": 4, "context": 128},
    "small": {"width": 384, "layers": 6, "heads": 6, "context": 256},
    "base": {"width": 512, "layers": 8, "heads": 8, "context": 512},
    "gpt2-124m": {"width": 768, "layers": 12, "heads": 12, "context": 1024},
}


class Block(nn.Module):
    def __init__(self, width, heads, layers):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.RMSNorm(width, eps=1e-5) for _ in range(2))
        self.qk_norms = nn.ModuleList(nn.RMSNorm(width // heads, eps=1e-5) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        for layer in (self.qkv, self.out, self.up, self.down):
            deviation = 0.5 / layer.in_features**0.5
            nn.init.normal_(layer.weight, std=deviation / ((2 * layers) ** 0.5 if layer in (self.out, self.down) else 1))

    def forward(self, x, cos, sin):
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norms[0](x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = (rotate(norm(part), cos, sin) for norm, part in zip(self.qk_norms, (q, k)))
        o = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, is_causal=True)
        x = x + self.out(o.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.relu(self.up(self.norms[1](x))).square())


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


class Trunk(nn.Module):
    def __init__(self, width, layers, heads, context, vocabulary):
        super().__init__()
        self.table = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.table.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(width, heads, layers) for _ in range(layers))
        self.norm = nn.RMSNorm(width, eps=1e-5)
        half = width // heads // 2
        angles = torch.arange(context)[:, None] * 10_000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, tokens):
        x = self.table(tokens)
        length = tokens.shape[1]
        for block in self.blocks:
            x = block(x, self.cos[:length], self.sin[:length])
        return self.norm(x)


class Chunk(torch.autograd.Function):
    """Loss of some tokens; their gradients are computed with it, so that logits live no longer."""

    @staticmethod
    def forward(ctx, x, weight, targets):
        z = (x @ weight.t()).float()
        log_z = z.logsumexp(-1)
        loss = (log_z - z.gather(1, targets[:, None]).squeeze(1)).sum()
        z.sub_(log_z[:, None]).exp_()
        z[torch.arange(len(targets)), targets] -= 1
        dz = z.to(x.dtype)
        ctx.save_for_backward(dz @ weight, dz.t() @ x)
        return loss

    @staticmethod
    def backward(ctx, d):
        dx, dw = ctx.saved_tensors
        return d * dx, d * dw, None


def loss_of(trunk, tokens, targets, head):
    x = trunk(tokens).flatten(0, 1)
    targets = targets.flatten()
    if head == "plain":
        return F.cross_entropy(F.linear(x, trunk.table.weight).float(), targets, reduction="sum")
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    weight, x = trunk.table.weight.to(dtype), x.to(dtype)
    with torch.autocast("cpu", enabled=False):
        return sum(Chunk.apply(part, weight, target) for part, target in zip(x.split(512), targets.split(512)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--vocabulary", type=int, default=50_257)
    parser.add_argument("--precision", choices=["bf16", "f32"], default="bf16")
    parser.add_argument("--head", choices=["chunked", "plain"], default="chunked")
    parser.add_argument("--micro", type=int, default=2048, help="tokens of a micro-batch")
    parser.add_argument("--micros", type=int, default=4, help="micro-batches of a step")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    shape = PRESETS[options.preset]
    trunk = Trunk(**shape, vocabulary=options.vocabulary)
    run = torch.compile(trunk) if options.compile else trunk
    run.table = trunk.table
    matrices = [parameter for parameter in trunk.parameters() if parameter.ndim > 1]
    gains = [parameter for parameter in trunk.parameters() if parameter.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": gains, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=True)
    count, length = options.micro * options.micros, shape["context"]
    tokens = torch.randint(options.vocabulary, (count + 1,))
    seconds, cpu_seconds, losses = [], [], []
    for _ in range(options.steps):
        start, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        total = 0.0
        for first in range(0, count, options.micro):
            part = tokens[first : first + options.micro + 1]
            with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
                loss = loss_of(run, part[:-1].view(-1, length), part[1:].view(-1, length), options.head) / count
            loss.backward()
            total += loss.item()
        nn.utils.clip_grad_norm_(trunk.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        end = resource.getrusage(resource.RUSAGE_SELF)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(end.ru_utime + end.ru_stime - used.ru_utime - used.ru_stime)
        losses.append(total)
    measured = seconds[2:] or seconds
    print(json.dumps({
        "preset": options.preset, "precision": options.precision, "head": options.head, "compile": options.compile,
        "tokens_per_second": count / statistics.median(measured), "seconds": seconds, "cpu_seconds": cpu_seconds,
        "losses": losses, "parameters": sum(parameter.numel() for parameter in trunk.parameters()),
        "micro": options.micro, "micros": options.micros, "threads": torch.get_num_threads(),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "torch": torch.__version__,
    }))


if __name__ == "__main__":
    main()
