"""hotrow's update rules in PyTorch, for dense gradients and for gradients of some rows.

Where PyTorch has a tuned implementation of a rule, timed runs take that: fused Adam(W) for dense gradients, SparseAdam for those of
some rows (it counts the steps of the run where hotrow's `adam-lazy` counts those of each row, and that is all it differs in). The
parity test takes the rules as hotrow has them, written out.
"""

import math

import torch


def learning_rate(optim, step, total):
    """The learning rate of step `step` (from 1) of `total`: a rise over the warm-up, then the schedule."""
    lr, final, warmup = optim["lr"], optim["final_lr"], optim["warmup_steps"]
    if step <= warmup:
        return lr * step / warmup
    if total <= 1:
        return lr
    done = min((step - warmup) / max(total - warmup, 1), 1.0)
    left = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[optim["schedule"]]
    return final + (lr - final) * left


def rows_of(rows, values, shape):
    """A gradient of some rows, which are all different and increase."""
    return torch.sparse_coo_tensor(rows[None], values, shape, is_coalesced=True, check_invariants=False)


def clip(parameters, most):
    """Scales all gradients together so that their Euclidean length is at most `most`; gives the factor."""
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    values = [grad.coalesce().values() if grad.is_sparse else grad for grad in grads]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(value) for value in values]))
    factor = torch.clamp(most / norm, max=1.0)
    for parameter, grad, value in zip(parameters, grads, values):
        if grad.is_sparse:
            parameter.grad = rows_of(grad.coalesce().indices()[0], value * factor, grad.shape)
        else:
            grad.mul_(factor)
    return factor


class Optimiser:
    """Moves `parameters` (by name) by the rule that `optim` names. Those in `undecayed` have no weight decay. `exact`: the rule as
    hotrow has it, whatever that costs. `error`, if it is set, is told of each parameter's gradient and movement."""

    def __init__(self, parameters, optim, undecayed=(), exact=False, sparse=()):
        self.parameters, self.optim, self.undecayed, self.exact, self.steps = parameters, optim, set(undecayed), exact, 0
        self.state = {name: {} for name in parameters}
        self.tuned = []
        self.error = None
        adam = optim["name"].startswith("adam") and not exact
        if adam:
            betas, eps, decay = (optim["beta1"], optim["beta2"]), optim["eps"], optim["weight_decay"]
            rows = [parameter for name, parameter in parameters.items() if name in sparse]
            if rows and decay:
                raise ValueError("SparseAdam has no weight decay")
            dense = [name for name in parameters if name not in sparse]
            groups = [{"params": [parameters[name] for name in dense if (name in self.undecayed) == still],
                       "weight_decay": 0.0 if still else decay} for still in (False, True)]
            if rows:
                self.tuned.append(torch.optim.SparseAdam(rows, lr=optim["lr"], betas=betas, eps=eps))
            groups = [group for group in groups if group["params"]]
            self.tuned.append(torch.optim.AdamW(groups, lr=optim["lr"], betas=betas, eps=eps, fused=True))

    @torch.no_grad()
    def step(self, lr):
        self.steps += 1
        if self.optim["clip"] > 0:
            clip([parameter for parameter in self.parameters.values() if parameter.grad is not None], self.optim["clip"])
        for optimiser in self.tuned:
            for group in optimiser.param_groups:
                group["lr"] = lr
            optimiser.step()
        if self.tuned:
            return
        for name, parameter in self.parameters.items():
            if parameter.grad is None:
                continue
            decay = 1.0 if name in self.undecayed else 1 - lr * self.optim["weight_decay"]
            rule, state = self.optim["name"], self.state[name]
            if not state:
                self.start(rule, state, parameter)
            grad, rows = parameter.grad, None
            if grad.is_sparse:
                grad = grad.coalesce()
                if rule in ("adam", "adam-dense"):
                    grad = grad.to_dense()
                else:
                    rows, grad = grad.indices()[0], grad.values()
            if rows is None:
                direction, length = self.update(rule, state, grad, lr)
                if decay != 1.0:
                    parameter.mul_(decay)
                move(parameter, direction, length)
            else:
                part = {key: value.index_select(0, rows) for key, value in state.items()}
                direction, length = self.update(rule, part, grad, lr)
                for key, value in part.items():
                    state[key].index_copy_(0, rows, value)
                parameter.index_copy_(0, rows, move(parameter.index_select(0, rows).mul_(decay), direction, length))
            if self.error:
                self.error(name, grad, direction * length, lr)

    def start(self, rule, state, parameter):
        if rule.startswith("rowwise"):
            state["squares"] = torch.zeros(len(parameter), 1, device=parameter.device)
        elif rule == "momentum":
            state["velocity"] = torch.zeros_like(parameter)
        elif rule.startswith("adam"):
            state |= {"m": torch.zeros_like(parameter), "v": torch.zeros_like(parameter),
                      "steps": torch.zeros(len(parameter), 1, device=parameter.device)}
        elif rule != "sgd":
            raise ValueError(f"optim.name: no rule {rule}")

    def update(self, rule, state, grad, lr):
        """What is subtracted, as two factors, the second of one number for all or for each row; `state` is changed."""
        beta1, beta2, eps = self.optim["beta1"], self.optim["beta2"], self.optim["eps"]
        if rule == "sgd":
            return grad, lr
        if rule == "momentum":
            return state["velocity"].mul_(beta1).add_(grad), lr
        if rule.startswith("rowwise"):
            squares = torch.linalg.vector_norm(grad, dim=1, keepdim=True).square_().div_(grad.shape[1])
            kept, added = (beta2, 1 - beta2) if rule == "rowwise-rmsprop" else (1.0, 1.0)
            state["squares"].mul_(kept).add_(squares, alpha=added)
            return grad, lr / (state["squares"].sqrt() + eps)
        state["steps"] += 1
        m = state["m"].mul_(beta1).add_(grad, alpha=1 - beta1)
        v = state["v"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        steps = state["steps"].double()
        first, second = (1 - beta1**steps).float(), (1 - beta2**steps).float()
        return (m / first).div_((v / second).sqrt_().add_(eps)), lr


def move(weights, direction, length):
    """Subtracts the product in one pass."""
    return weights.addcmul_(direction, length, value=-1) if torch.is_tensor(length) else weights.sub_(direction, alpha=length)
