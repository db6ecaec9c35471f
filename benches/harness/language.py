"""hotrow's GPT in PyTorch, on a dictionary of weights by their names in hotrow's checkpoints: what the golden files of the tests are
made with, and what timed runs train.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from classification import put
from sampling import candidates

sys.path.append(str(Path(__file__).parents[1] / "lm"))

from torch_trunk import Chunk

MODES = ("dense", "sparse-embedding", "sampled")
# Tokens whose logits are in memory at once.
CHUNK = {"cpu": 512, "cuda": 8192}


@dataclass
class Shape:
    layers: int
    heads: int
    swiglu: bool
    window: int
    qk_norm: bool
    tied: bool
    rope_base: float = 10_000.0


def norm(x, gain):
    return F.rms_norm(x, x.shape[-1:], gain.squeeze(0), 1e-5)


def angles_of(tokens, width, base, device, dtype):
    places = torch.arange(tokens, dtype=dtype, device=device)[:, None]
    turns = places * base ** (-2 * torch.arange(width // 2, dtype=dtype, device=device) / width)
    return turns.cos(), turns.sin()


def rotate(x, cos, sin):
    """Pairs `i` and `i + D / 2` of x (..., T, D) by `t * base^(-2 i / D)`."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def hidden(w, shape, tokens, dtype=None):
    """The normalised residual stream (batch, length, width) that the head multiplies. Products have factors of `dtype`."""
    (batch, length), table = tokens.shape, w["embedding.weight"]
    dtype, heads = dtype or table.dtype, shape.heads

    def product(x, name):
        return F.linear(x.to(dtype), w[name].to(dtype)).to(x.dtype)

    x = F.embedding(tokens, table, sparse=getattr(table, "rows_only", False))
    width = x.shape[-1]
    cos, sin = angles_of(length, width // heads, shape.rope_base, x.device, x.dtype)
    seen = None
    if 0 < shape.window < length:
        places = torch.arange(length, device=x.device)
        distance = places[:, None] - places[None, :]
        seen = (distance >= 0) & (distance < shape.window)
    for layer in range(shape.layers):
        attention, feed_forward = f"blocks.{layer}.attention", f"blocks.{layer}.feed_forward"
        qkv = product(norm(x, w[f"{attention}.norm.gain"]), f"{attention}.qkv.weight")
        q, k, v = (part.view(batch, length, heads, -1).transpose(1, 2) for part in qkv.chunk(3, -1))
        if shape.qk_norm:
            q, k = norm(q, w[f"{attention}.query_norm.gain"]), norm(k, w[f"{attention}.key_norm.gain"])
        q, k, v = (part.to(dtype) for part in (rotate(q, cos, sin), rotate(k, cos, sin), v))
        o = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=seen is None).to(x.dtype)
        x = x + product(o.transpose(1, 2).reshape(batch, length, width), f"{attention}.out.weight")
        h = product(norm(x, w[f"{feed_forward}.norm.gain"]), f"{feed_forward}.up.weight")
        if shape.swiglu:
            gate, value = h.chunk(2, -1)
            h = F.silu(gate) * value
        else:
            h = F.relu(h).square()
        x = x + product(h, f"{feed_forward}.down.weight")
    return norm(x, w["norm.gain"])


def head(w, shape):
    return w["embedding.weight" if shape.tied else "head.weight"]


def logits(w, shape, tokens):
    return hidden(w, shape, tokens) @ head(w, shape).T


class Network:
    """The GPT of a run that has begun from hotrow's weights. In bf16 the products have bf16 factors; norms, the residual stream, weights
    and moments stay f32."""

    def __init__(self, weights, config, mode, bf16=False, device="cpu", seed=1, compiled=False):
        model, context = config["model"], config["model"]["context"]
        if config["ngram"]["rows"] or config["memory"]["slots"] or config["feed_forward"]["kind"] != "dense":
            raise ValueError("n-gram tables, memories and sparse feed-forward layers have no counterpart here")
        if mode == "sparse-embedding" and model["tied"]:
            raise ValueError("sparse-embedding: a table that is the output layer too has a dense gradient; set model.tied=false")
        self.shape = Shape(model["layers"], model["heads"], model["activation"] == "swiglu", model["window"] or context,
                           model["qk_norm"], model["tied"], model["rope_base"])
        self.parameters = {name: torch.nn.Parameter(torch.from_numpy(np.array(weight)).float().to(device))
                           for name, weight in weights.items()}
        self.mode, self.device, self.dtype = mode, device, torch.bfloat16 if bf16 else torch.float32
        self.parameters["embedding.weight"].rows_only = mode == "sparse-embedding"
        self.context = config["data"]["context"] or context
        self.labels = len(head(self.parameters, self.shape))
        self.candidates = config["head"]["active"] or -(-self.labels // 10)
        self.micro = config["train"]["micro_batch"] or max(4096 // self.context, 1)
        self.generator = torch.Generator(device).manual_seed(seed)
        self.active, self.samples = torch.zeros((), dtype=torch.int64), 0
        self.hidden = torch.compile(hidden) if compiled else hidden

    @property
    def sparse(self):
        return ("embedding.weight",) if self.mode == "sparse-embedding" else ()

    @property
    def undecayed(self):
        return [name for name in self.parameters if name.endswith(".gain")]

    def put(self, batch):
        return put(batch, self.device)

    def gradients(self, batch):
        """Sets `grad` of every parameter to that of the mean loss of the batch's tokens, micro-batch by micro-batch; gives the loss."""
        tokens, targets = batch
        for parameter in self.parameters.values():
            parameter.grad = None
        loss = torch.zeros((), device=self.device)
        for part, target in zip(tokens.split(self.micro), targets.split(self.micro)):
            x = self.hidden(self.parameters, self.shape, part, self.dtype).flatten(0, 1)
            share = self.loss(x, target.flatten()) / targets.numel()
            share.backward()
            loss += share.detach()
        return loss

    def loss(self, x, targets):
        weight, x = head(self.parameters, self.shape).to(self.dtype), x.to(self.dtype)
        if self.mode == "sampled":
            distinct, columns = torch.unique(targets, return_inverse=True)
            active, correction = candidates(distinct, self.candidates, self.labels, self.generator)
            self.active, self.samples = self.active + len(active), self.samples + 1
            z = (x @ weight.index_select(0, active).t()).float() + correction
            return F.cross_entropy(z, columns, reduction="sum")
        size = CHUNK[self.device]
        return sum(Chunk.apply(part, weight, target) for part, target in zip(x.split(size), targets.split(size)))

    @torch.no_grad()
    def nats(self, tokens, targets):
        """The sum of the losses, in f64."""
        x = hidden(self.parameters, self.shape, tokens).flatten(0, 1)
        weight, total = head(self.parameters, self.shape), 0.0
        for part, target in zip(x.split(4096), targets.flatten().split(4096)):
            total += F.cross_entropy(part @ weight.T, target, reduction="none").double().sum().item()
        return total
