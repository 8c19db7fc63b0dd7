"""COCO's bbob functions, counted: after how many evaluations each target is reached."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import cocoex  # pyright: ignore[reportMissingImports]
import numpy as np

# f(x) - f* from 100 to 1e-8, five to a power of 10, as COCO has them.
TARGETS = 10.0 ** np.linspace(2, -8, 51)
GROUPS = {
    "smooth": {
        1: "sphere",
        2: "ellipsoid, separable",
        5: "linear slope",
        6: "attractive sector",
        8: "Rosenbrock",
        9: "Rosenbrock, rotated",
    },
    "ill-conditioned": {10: "ellipsoid", 11: "discus", 12: "bent cigar", 13: "sharp ridge", 14: "different powers"},
    "multimodal, or with steps": {
        3: "Rastrigin, separable",
        4: "Bueche-Rastrigin",
        7: "step ellipsoid",
        15: "Rastrigin",
        16: "Weierstrass",
        17: "Schaffers F7",
        18: "Schaffers F7, ill-conditioned",
        19: "Griewank-Rosenbrock",
        20: "Schwefel",
        21: "Gallagher, 101 peaks",
        22: "Gallagher, 21 peaks",
        23: "Katsuura",
        24: "Lunacek bi-Rastrigin",
    },
}


class UsedUpError(Exception):
    """The budget is used up, or the last target reached."""


class Function:
    """One instance of one function. What is evaluated beyond the budget is a huge number and doesn't count."""

    def __init__(self, number: int, instance: int, dimension: int, budget: int):
        only = f"function_indices:{number} dimensions:{dimension} instance_indices:{instance}"
        self.suite = cocoex.Suite("bbob", "", only)  # kept, as it owns the problem
        self.f, self.dimension, self.budget = self.suite.get_problem(0), dimension, budget * dimension
        self.least = self.f(_minimum(self.f))
        self.seed = 1000 * instance + number
        self.count, self.hits = 0, np.full(len(TARGETS), np.inf)

    @property
    def over(self) -> bool:
        return self.count >= self.budget or bool(np.all(np.isfinite(self.hits)))

    def __call__(self, x: np.ndarray) -> float:
        if self.count >= self.budget:
            return 1e300
        value = float(self.f(x))
        self.count += 1
        self.hits[(value - self.least <= TARGETS) & np.isinf(self.hits)] = self.count
        # The functions overflow to inf far away from where they are defined.
        return value if np.isfinite(value) else 1e300

    def or_raise(self, x: np.ndarray) -> float:
        """For optimisers that have no other way to be stopped."""
        if self.over:
            raise UsedUpError
        return self(x)

    def starts(self):
        """Where each restart begins: the same points for all optimisers."""
        draw = np.random.default_rng(self.seed)
        while True:
            yield draw.uniform(-4, 4, self.dimension)


def _minimum(f) -> np.ndarray:
    # COCO tells where it is in a file of a fixed name in the working folder, and in no other way.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        f._best_parameter("print")
        (file,) = Path(folder).iterdir()
        return np.loadtxt(file)
