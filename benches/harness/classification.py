"""hotrow's network of extreme classification in PyTorch: bag of features -> ReLU -> [Linear -> ReLU]* -> one logit a label.

    dense              every parameter has a dense gradient: what most people write
    sparse-embedding   the table of features has gradients of rows (`nn.EmbeddingBag(sparse=True)`)
    sampled            that, and of the output layer a step computes the labels of the batch and uniform negatives, which all of its
                       samples share; log-Q correction

Loss and gradient of the output layer are written by hand on one buffer of logits: autograd would keep three of them. In bf16 the
products have bf16 factors, as under autocast; softmax, weights and moments stay f32.
"""

import numpy as np
import torch
import torch.nn.functional as F

from optimisers import rows_of
from sampling import candidates

MODES = ("dense", "sparse-embedding", "sampled")


def stage(batch, device):
    """A batch of arrays as tensors that are ready to be put on the device: the loader's thread does this."""
    tensors = [torch.from_numpy(item) for item in batch]
    return tensors if device == "cpu" else [tensor.pin_memory() for tensor in tensors]


def put(batch, device):
    tensors = batch if torch.is_tensor(batch[0]) else stage(batch, device)
    return tensors if device == "cpu" else [tensor.to(device, non_blocking=True) for tensor in tensors]


class Network:
    def __init__(self, weights, config, mode, bf16=False, device="cpu", seed=1):
        model, sparse = config["model"], config["sparse"]
        if model["sampled_hidden"]:
            raise ValueError("model.sampled_hidden: hidden layers are dense here")
        if mode == "sampled" and model["loss"] != "softmax":
            raise ValueError("model.loss: only the softmax is sampled here")
        self.parameters = {name: torch.nn.Parameter(torch.from_numpy(np.array(weight)).float().to(device))
                           for name, weight in weights.items()}
        self.hidden = [f"hidden.{i}" for i in range(1, len(model["hidden"]))]
        self.softmax, self.mode = model["loss"] == "softmax", mode
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        self.device, self.labels = device, len(self.parameters["output.weight"])
        self.candidates = sparse["active"] or min(max(self.labels // 20, 1024), 4096)
        self.generator = torch.Generator(device).manual_seed(seed)
        self.active = torch.zeros((), dtype=torch.int64)
        self.scores = self.cast = None

    @property
    def sparse(self):
        """Names of parameters whose gradients are of rows."""
        names = {"dense": (), "sparse-embedding": ("input.weight",)}
        return names.get(self.mode, ("input.weight", "output.weight", "output.bias"))

    def put(self, batch):
        """A batch of arrays, or of tensors, on the device."""
        return put(batch, self.device)

    def embed(self, batch):
        indices, values, offsets = batch[:3]
        table, w = self.parameters["input.weight"], self.parameters
        x = F.embedding_bag(indices, table, offsets, mode="sum", per_sample_weights=values, sparse=self.mode != "dense")
        x = F.relu(x + w["input.bias"])
        for name in self.hidden:
            x = F.relu(F.linear(x.to(self.dtype), w[f"{name}.weight"].to(self.dtype)).float() + w[f"{name}.bias"].squeeze(1))
        return x

    def gradients(self, batch):
        """Sets `grad` of every parameter to that of the mean loss of the batch's samples; gives the loss, on the device."""
        for name, parameter in self.parameters.items():
            # The output layer's is written over, which saves its memory from being asked for anew.
            if not (name == "output.weight" and self.mode != "sampled"):
                parameter.grad = None
        x = self.embed(batch)
        with torch.no_grad():
            loss, dx = (self.sampled if self.mode == "sampled" else self.all)(x, *batch[3:])
        x.backward(dx)
        return loss

    def all(self, x, labels, rows, shares):
        weight, bias, count = self.parameters["output.weight"], self.parameters["output.bias"], len(x)
        if self.scores is None or self.scores.shape[0] < count:
            self.scores = torch.empty(count, self.labels, dtype=self.dtype, device=self.device)
            self.cast = weight.data if self.dtype == weight.dtype else torch.empty_like(weight, dtype=self.dtype)
        w = self.cast if self.cast is weight.data else self.cast.copy_(weight)
        h, out = x.to(self.dtype), self.scores[:count]
        z = torch.addmm(bias.squeeze(1).to(self.dtype), h, w.t(), out=out)
        loss, dz = self.loss(z, labels, rows, shares)
        if weight.grad is None or weight.grad.is_sparse:
            weight.grad = torch.empty_like(weight)
        if self.dtype == torch.float32:
            torch.mm(dz.t(), h, out=weight.grad)
        else:
            weight.grad.copy_(dz.t() @ h)
        bias.grad = dz.sum(0, dtype=torch.float32)[:, None]
        return loss, (dz @ w).float()

    def sampled(self, x, labels, rows, shares):
        weight, bias = self.parameters["output.weight"], self.parameters["output.bias"]
        distinct, columns = torch.unique(labels, return_inverse=True)
        active, correction = candidates(distinct, self.candidates, self.labels, self.generator)
        # Increasing, as gradients of rows have to be.
        active, order = active.sort()
        columns, correction = order.argsort()[columns], correction[order]
        self.active = self.active + len(active)
        w, h = weight.index_select(0, active).to(self.dtype), x.to(self.dtype)
        z = (h @ w.t()).float().add_(bias.index_select(0, active).squeeze(1) + correction)
        loss, dz = self.loss(z, columns, rows, shares)
        dz = dz.to(self.dtype)
        for parameter, grad in ((weight, (dz.t() @ h).float()), (bias, dz.sum(0, dtype=torch.float32)[:, None])):
            parameter.grad = rows_of(active, grad, parameter.shape)
        return loss, (dz @ w).float()

    def loss(self, z, labels, rows, shares):
        """Mean loss, and the gradient at the logits, in their place."""
        count, places = len(z), rows * z.shape[1] + labels
        if self.softmax:
            chances = torch.softmax(z, 1, dtype=torch.float32)
            loss = -(shares * torch.log(chances.view(-1)[places].clamp_min(1e-30))).sum() / count
            # A sample without labels has no loss.
            labelled = torch.zeros(count, 1, device=z.device).index_fill_(0, rows, 1.0)
            chances.mul_(labelled).view(-1).index_add_(0, places, -shares)
        else:
            wide = z.float()
            loss = (F.softplus(wide).sum() - wide.view(-1)[places].sum()) / count
            chances = torch.sigmoid(wide)
            chances.view(-1).index_add_(0, places, -torch.ones_like(shares))
        chances.mul_(1 / count)
        return loss, z.copy_(chances) if z.dtype != torch.float32 else chances

    @torch.no_grad()
    def top(self, batch, k=5):
        """The best labels of each sample, over all labels, in f32."""
        dtype, self.dtype = self.dtype, torch.float32
        x = self.embed(batch)
        self.dtype = dtype
        w, b = self.parameters["output.weight"], self.parameters["output.bias"]
        return torch.addmm(b.squeeze(1), x, w.t()).topk(min(k, self.labels), dim=1).indices
