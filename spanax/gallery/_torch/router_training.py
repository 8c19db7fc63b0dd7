"""Training a mixture with a loss, and comparing the gradients that its router gets from several."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from .digits import Labelled, load, turned
from .mixture import EXPERTS, Mixture, best, gates
from .reproducible import reproducible
from .router_result import Cosine, Outcome

# (scores, what the experts say, labels, k) to a scalar
Loss = Callable[[Tensor, Tensor, Tensor, int], Tensor]

BATCH, RATE = 128, 5e-3
LATER = 100  # steps of training with the exact gradient, after which gradients are compared again
REPEATS = 100  # gradients of a way that draws


def train(name: str, loss: Loss, seed: int, k: int, steps: int, balance: float) -> Outcome:
    """The mixture trained with a loss, and how it does, and how it uses its experts, on digits that were held out."""
    with reproducible(seed):
        digits, held_out = map(turned, load(seed))
        mixture, began = Mixture(), time.perf_counter()
        _descend(mixture, loss, digits, k, steps, balance)
        seconds = time.perf_counter() - began
        with torch.no_grad():
            scores, says = mixture(held_out.images)
            chosen = best(scores, k)
            routed = _accuracy(gates(scores, chosen, k), says, held_out.labels)
            everyone = _accuracy(scores.softmax(-1), says, held_out.labels)
        return Outcome(name, k, seed, routed, everyone, (chosen.mean(0) / k).tolist(), seconds)


def _descend(mixture: Mixture, loss: Loss, digits: Labelled, k: int, steps: int, balance: float) -> None:
    optimizer = torch.optim.Adam(mixture.parameters(), RATE)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        images, labels = digits.batch(BATCH)
        scores, says = mixture(images)
        shares = scores.softmax(-1).mean(0)
        # What the entropy of the shares lacks. It is differentiable, and the same for all ways.
        lacks = (shares * (EXPERTS * shares).log()).sum()
        optimizer.zero_grad()
        (loss(scores, says, labels, k) + balance * lacks).backward()
        optimizer.step()
        rate.step()


def _accuracy(weights: Tensor, says: Tensor, labels: Tensor) -> float:
    answers = torch.einsum("be,beo->bo", weights, says)
    return float((answers.argmax(-1) == labels).float().mean())


def compare_gradients(losses: Mapping[str, Loss], exact: Loss, seed: int, k: int, balance: float) -> list[Cosine]:
    """The router's gradients at one batch beside that of `exact`, before training and after its first steps."""
    with reproducible(seed):
        digits, _ = map(turned, load(seed))
        mixture, batch, found = Mixture(), digits.batch(BATCH), []
        for steps in (0, LATER):
            if steps:
                _descend(mixture, exact, digits, k, steps, balance)
            right = _gradient(mixture, exact, batch, k)
            for name, loss in losses.items():
                every = _repeated(mixture, loss, batch, k)
                single = float(cosine_similarity(every, right[None]).mean())
                found.append(
                    Cosine(name, k, seed, steps, single, float(cosine_similarity(every.mean(0), right, dim=0)))
                )
        return found


def _repeated(mixture: Mixture, loss: Loss, batch: Labelled, k: int) -> Tensor:
    """Gradients of one batch, (repeats, parameters): one of them where nothing is drawn."""
    first, *others = (_gradient(mixture, loss, batch, k) for _ in range(2))
    if not torch.equal(first, others[0]):
        others += [_gradient(mixture, loss, batch, k) for _ in range(REPEATS - 2)]
    return torch.stack([first, *others])


def _gradient(mixture: Mixture, loss: Loss, batch: Labelled, k: int) -> Tensor:
    """By the router's parameters, of the loss alone, in one long vector."""
    scores, says = mixture(batch.images)
    slopes = torch.autograd.grad(loss(scores, says, batch.labels, k), list(mixture.router.parameters()))
    return torch.cat([slope.flatten() for slope in slopes])
