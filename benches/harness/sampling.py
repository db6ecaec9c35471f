"""The candidates of a sampled softmax that all samples of a batch share."""

import math

import torch


def candidates(distinct, wanted, total, generator=None):
    """The labels `distinct` (increasing) first, then different uniform negatives, about `wanted` of `total` in all; and what is
    added to each one's logit: a negative stands for all that were not drawn (log-Q correction)."""
    count = max(wanted - len(distinct), 0)
    drawn = torch.unique(torch.randint(total, (count,), generator=generator, device=distinct.device))
    # Where a sorted label would stand tells whether a negative is one.
    at = torch.searchsorted(distinct, drawn).clamp_max_(max(len(distinct) - 1, 0))
    if len(distinct):
        drawn = drawn[distinct[at] != drawn]
    correction = torch.zeros(len(distinct) + len(drawn), device=distinct.device)
    if len(drawn):
        correction[len(distinct):] = math.log((total - len(distinct)) / len(drawn))
    return torch.cat([distinct, drawn]), correction
