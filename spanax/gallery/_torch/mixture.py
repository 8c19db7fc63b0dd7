"""The mixture of experts, and what is asked of its parts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn.functional import one_hot

from .digits import DIGIT

EXPERTS, HIDDEN = 8, 2


class Mixture(nn.Module):
    def __init__(self):
        super().__init__()
        self.router = nn.Linear(DIGIT**2, EXPERTS)
        self.first = nn.Parameter(torch.randn(EXPERTS, DIGIT**2, HIDDEN) / DIGIT)
        self.last = nn.Parameter(torch.randn(EXPERTS, HIDDEN, 10) / HIDDEN**0.5)
        self.shifts = nn.ParameterList([torch.zeros(EXPERTS, 1, HIDDEN), torch.zeros(EXPERTS, 1, 10)])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The router's scores, (images, experts), and what each expert says, (images, experts, 10)."""
        pixels = images.flatten(1)
        hidden = torch.relu(pixels @ self.first + self.shifts[0])
        return self.router(pixels), (hidden @ self.last + self.shifts[1]).transpose(0, 1)


def gates(scores: Tensor, chosen: Tensor, k: int) -> Tensor:
    """How much each expert counts, (..., images, experts): nothing unless `chosen` is 1."""
    p = scores.softmax(-1) * chosen
    return p if k == 1 else p / p.sum(-1, keepdim=True)


def costs(weights: Tensor, says: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of each image, (..., images)."""
    answers = torch.einsum("...be,beo->...bo", weights, says).log_softmax(-1)
    return -answers.gather(-1, labels.expand(answers.shape[:-1])[..., None]).squeeze(-1)


def best(scores: Tensor, k: int) -> Tensor:
    return torch.zeros_like(scores).scatter(-1, scores.topk(k).indices, 1.0)


def follow(scores: Tensor, k: int, pick: Callable[[Tensor, int], Tensor]) -> tuple[Tensor, Tensor]:
    """Experts picked one after the other from those that are left; which they are, and the log-probability of each pick."""
    left, chosen, log_probs = scores, torch.zeros_like(scores), []
    for place in range(k):
        expert = pick(left, place)
        log_probs.append(Categorical(logits=left).log_prob(expert))
        one = one_hot(expert, EXPERTS)
        chosen, left = chosen + one, left.masked_fill(one == 1, -torch.inf)
    return chosen, torch.stack(log_probs, -1)
