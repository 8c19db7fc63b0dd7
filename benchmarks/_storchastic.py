# pyright: reportMissingImports=false
"""The same work in Storchastic 0.3.7 (PyTorch), the library closest to Spanax in what it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import storch
import torch
from storch.method import Expect, ScoreFunction
from torch.distributions import Bernoulli, Independent
from torch.nn.functional import logsigmoid, softplus

deterministic: Any = storch.deterministic  # its own annotation says None


class VAE:
    """The model of `vae_step`, with `ScoreFunction` and its batch average: leave-one-out over the samples."""

    def __init__(self, params: dict[str, np.ndarray], x: np.ndarray, samples: int):
        self.params = {name: torch.tensor(p, requires_grad=True) for name, p in params.items()}
        self.x, self.samples = torch.tensor(x), samples
        self.default_threads = torch.get_num_threads()

    def threads(self, count: int) -> None:
        if torch.get_num_threads() != count:
            torch.set_num_threads(count)

    def step(self) -> None:
        """One gradient, into the parameters' `grad`."""
        for p in self.params.values():
            p.grad = None
        x = storch.denote_independent(self.x, 0, "data")
        logits = x @ self.params["encode"] + self.params["encode_bias"]
        method = ScoreFunction("z", n_samples=self.samples, baseline_factory="batch_average")
        z = method(Independent(Bernoulli(logits=logits), 1))
        storch.add_cost(_reconstruction(z @ self.params["decode"] + self.params["decode_bias"], x), "reconstruction")
        storch.add_cost(_divergence(logits), "divergence")
        storch.backward()

    def gradient(self, seed: int) -> np.ndarray:
        torch.manual_seed(seed)
        self.step()
        return torch.cat([p.grad.ravel() for p in self.params.values() if p.grad is not None]).numpy().copy()


@deterministic
def _reconstruction(logits, x):
    return (softplus(logits) - x * logits).sum(-1)


@deterministic
def _divergence(logits):
    up, down = logsigmoid(logits), logsigmoid(-logits)
    return (up.exp() * up + down.exp() * down + np.log(2.0)).sum(-1)


class Toy:
    """The toy of `toy`: E[(b - .499)^2] for b ~ Bernoulli(sigmoid(theta))."""

    def __init__(self, theta: float, target: float, samples: int):
        torch.set_num_threads(1)  # the faster choice for tensors this small
        self.theta, self.target, self.samples = torch.tensor(theta, requires_grad=True), target, samples

    def _method(self, name: str):
        if name == "exact":
            return Expect("b")
        baseline = "batch_average" if name == "leave-one-out" else None
        return ScoreFunction("b", n_samples=self.samples, baseline_factory=baseline)

    def step(self, name: str) -> float:
        """The gradient by "score function", "leave-one-out" or "exact"."""
        self.theta.grad = None
        b = self._method(name)(Bernoulli(logits=self.theta))
        storch.add_cost((b - self.target) ** 2, "cost")
        storch.backward()
        assert self.theta.grad is not None
        return self.theta.grad.item()
