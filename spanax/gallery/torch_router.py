"""A mixture of 8 experts in PyTorch: which gradient gets the router that sends each image to one or two of them?

Handwritten digits, each turned by 0 to 3 quarters, and 8 experts with two hidden units each: one of them alone is bad at it, but
if the router sends to each what it can do, they are good. The choice of experts has no derivative. Usually the outputs are
multiplied by the router's probabilities, and that product is all that the router learns from.

What would be right? Draw k experts one after the other by the router's probabilities p, without replacement. Let l(S) be the loss
of the outputs of the set S, mixed by the gates of S. The exact objective is its expectation, sum_S P(S) l(S), enumerated: 8 sets
for k = 1, 28 for k = 2. Its gradient by the router's parameters is what each way is compared with. The gates are those in use:
p itself for k = 1 (Switch Transformer), p divided by its sum over S for k = 2 (Mixtral).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import spanax.torch as st  # first: where PyTorch is missing, it says how to install it

# isort: split
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._shared.run import Run
from ._torch.digits import DIGIT, Labelled, load, turned
from ._torch.reproducible import reproducible
from ._torch.router_picture import picture
from ._torch.router_result import Outcome, Row, collect, cosine, report_rows

STEPS, QUICK_STEPS = 1500, 400
SEEDS, QUICK_SEEDS = 3, 1
BATCH, RATE, DRAWS = 128, 5e-3, 4
EXPERTS, HIDDEN = 8, 2
BALANCE = 0.3  # of the entropy that keeps all experts in use: without it, every way ends with two or three of them
REPEATS = 100  # gradients of each way, for its cosine and for that of its mean


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
    """How much each expert counts: 0 unless `chosen`, (..., images, experts), is 1."""
    p = scores.softmax(-1) * chosen
    return p if k == 1 else p / p.sum(-1, keepdim=True)


def losses(weights: Tensor, says: Tensor, labels: Tensor) -> Tensor:
    """Of each image, (..., images)."""
    answers = (weights.unsqueeze(-2) @ says).squeeze(-2)
    return F.cross_entropy(answers.movedim(-1, 1), labels.expand(answers.shape[:-1]), reduction="none") if answers.dim() > 2 else F.cross_entropy(answers, labels, reduction="none")


def best(scores: Tensor, k: int) -> Tensor:
    """1 for the k experts with the highest scores, 0 for the others."""
    return torch.zeros_like(scores).scatter(-1, scores.topk(k).indices, 1.0)


# What nearly everybody does: the router learns from the gates of the experts it chose, and nothing of all others.
def plain(scores: Tensor, says: Tensor, labels: Tensor, k: int) -> Tensor:
    return losses(gates(scores, best(scores, k), k), says, labels).mean()


# Forward the chosen experts, backward the mixture of all (as DenseMixer does): all experts have to be run.
def straight_through(scores: Tensor, says: Tensor, labels: Tensor, k: int) -> Tensor:
    weights = st.straight_through(gates(scores, best(scores, k), k), scores.softmax(-1))
    return losses(weights, says, labels).mean()


# No choice at all: every expert counts by its probability. Another model, that costs 8 experts wherever it is used.
def dense(scores: Tensor, says: Tensor, labels: Tensor, k: int) -> Tensor:
    return losses(scores.softmax(-1), says, labels).mean()


# Draw experts, and make those more probable that did better than the other draws of the same image. Unbiased, and the only one
# of ours that runs no expert but those drawn. The gates' own derivative is kept, and needs no bridge.
def score_function(scores: Tensor, says: Tensor, labels: Tensor, k: int) -> Tensor:
    scores = scores.expand(DRAWS, -1, -1)
    left, chosen, log_probs = scores, torch.zeros_like(scores), []
    for _ in range(k):
        expert = torch.distributions.Categorical(logits=left)
        drawn = expert.sample()
        log_probs.append(expert.log_prob(drawn))
        one = F.one_hot(drawn, EXPERTS)
        chosen, left = chosen + one, left.masked_fill(one == 1, -torch.inf)
    costs = losses(gates(scores, chosen, k), says, labels)
    # Each image is an expectation of its own. For both draws one cost, which comes at the end.
    return torch.func.vmap(st.surrogate_loss, in_dims=1)(costs, torch.stack(log_probs, -1)).mean()


def reinmax(scores: Tensor, says: Tensor, labels: Tensor, k: int) -> Tensor:
    left, chosen = scores, torch.zeros_like(scores)
    for _ in range(k):
        one = st.reinmax(left)
        chosen, left = chosen + one, left.masked_fill(one == 1, -torch.inf)
    return losses(gates(scores, chosen, k), says, labels).mean()


# The exact objective: nothing is drawn, and all experts are run.
def enumerated(scores: Tensor, says: Tensor, labels: Tensor, k: int) -> Tensor:
    sets = torch.stack([F.one_hot(torch.tensor(s), EXPERTS).sum(0) for s in itertools.combinations(range(EXPERTS), k)])
    chosen, p = sets[:, None].float(), scores.softmax(-1)
    total = (p * chosen).sum(-1)
    product = torch.where(chosen == 1, p, 1.0).prod(-1)
    # Of two, either comes first: p_i p_j/(1 - p_i) + p_j p_i/(1 - p_j).
    probability = total if k == 1 else product * (chosen / (1 - p)).sum(-1)
    return (probability * losses(gates(scores, chosen, k), says, labels)).sum(0).mean()


WAYS: dict[str, Callable[[Tensor, Tensor, Tensor, int], Tensor]] = {
    "plain top-k": plain,
    "straight-through": straight_through,
    "dense": dense,
    "score function": score_function,
    "ReinMax": reinmax,
    "enumerated": enumerated,
}
