"""Others' optimisers: CMA-ES, Nelder-Mead, and SPSA with the decaying gains of its author.

They may be judged by the best point that they have evaluated, as well as by where they are: whichever is earlier counts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from benchmarks._optimisation.problems import Problem


class ReachedError(Exception):
    """Ends an optimiser that has no other way to be stopped."""


class Counted:
    """f of one seed in NumPy: adds the noise, counts, and knows when f without noise was at the target for the first time.

    `at_points`: also the points that are evaluated may be the first ones at the target; otherwise only what is told by `at`.
    """

    def __init__(self, problem: Problem, f, noise: float, seed: int, at_points: bool, budget: float):
        self.problem, self.f, self.noise, self.at_points, self.budget = problem, f, noise, at_points, budget
        self.normal = np.random.default_rng(1000 + seed).standard_normal
        self.count = 0

    def __call__(self, x: np.ndarray) -> float:
        value = self.f(x)
        self.count += 1
        if self.count > self.budget:
            self.give_up()
        if self.at_points and value <= self.problem.target:
            raise ReachedError
        return value + self.noise * self.normal()

    def give_up(self) -> None:
        self.count = np.inf  # pyright: ignore[reportAttributeAccessIssue]
        raise ReachedError

    def at(self, x: np.ndarray) -> None:
        if self.f(x) <= self.problem.target:
            raise ReachedError


def cma_es(f: Counted, x: np.ndarray, seed: int, sigma: float, population: int | None) -> None:
    import cma  # pyright: ignore[reportMissingImports]

    options = {"seed": seed + 1, "verbose": -9, "tolfun": 0, "tolfunhist": 0, "tolx": 0, "tolstagnation": 10**6}
    if population is not None:
        options["popsize"] = population
    es = cma.CMAEvolutionStrategy(x, sigma, options)
    # It stops only when its budget is used up: what ends a run otherwise is the numbers' precision, after the target.
    while True:
        X = es.ask()
        es.tell(X, [f(x) for x in X])
        f.at(es.mean)


def nelder_mead(f: Counted, x: np.ndarray, seed: int, edge: float, adaptive: bool) -> None:
    """Started again, with fresh edges, wherever it ends. It has no randomness, so the seed turns the simplex's edges."""
    turned = np.linalg.qr(np.random.default_rng(seed).standard_normal((x.size, x.size)))[0] if seed else np.eye(x.size)
    while True:
        simplex = np.concatenate([x[None], x + edge * turned])
        options = {"initial_simplex": simplex, "adaptive": adaptive, "maxfev": 10**7, "maxiter": 10**7}
        x = minimize(f, x, method="Nelder-Mead", options=options, callback=f.at).x


def spall(f: Counted, x: np.ndarray, seed: int, rate: float, width: float, pairs: int = 1) -> None:
    """Gains a/(k + 1 + A)^.602 and c/(k + 1)^.101, A a tenth of the steps (Spall 1998, IEEE Trans. Aerosp. 34, 817)."""
    draw = np.random.default_rng(seed)
    later = 0.1 * f.problem.budget / (2 * pairs)
    for k in itertools.count(1):
        a, c = rate * ((1 + later) / (k + later)) ** 0.602, width / k**0.101
        slope = np.zeros_like(x)
        for _ in range(pairs):
            signs = draw.choice([-1.0, 1.0], x.size)
            slope += (f(x + c * signs) - f(x - c * signs)) / (2 * c * pairs) * signs
        x = x - a * slope
        if not np.all(np.isfinite(x)) or np.max(np.abs(x)) > 1e6:
            f.give_up()
        f.at(x)


SIGMAS = (0.3, 1.0, 0.1, 0.6)  # the likeliest first
PEERS: dict[str, tuple[Callable, list[tuple]]] = {
    "CMA-ES": (cma_es, [(s, n) for s in SIGMAS for n in ("half", None, "double")]),
    "Nelder-Mead": (nelder_mead, [(s, adaptive) for s in SIGMAS for adaptive in (True, False)]),
    "SPSA, decaying": (
        spall,
        [(a, c, n) for n in (1, 2, 5) for c in SIGMAS for a in (0.012, 0.006, 0.003, 0.025, 0.08, 0.2)],
    ),
}


def instances(problem: Problem, seeds: int) -> list[tuple[Callable, np.ndarray]]:
    """f in NumPy and its start, for each seed: the same problems as those of the bridges."""
    import jax

    pairs = []
    for key in jax.random.split(jax.random.key(1), seeds):
        start, Q = (np.asarray(a, float) for a in problem.make(jax.random.split(key)[0]))
        pairs.append((_in_numpy(problem, Q), start))
    return pairs


def _in_numpy(problem: Problem, Q: np.ndarray) -> Callable[[np.ndarray], float]:
    def rosenbrock(z):
        return float(np.sum((z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2))

    def camel(x):
        return float(2 * x[0] ** 2 - 1.05 * x[0] ** 4 + x[0] ** 6 / 6 + x[0] * x[1] + x[1] ** 2)

    if problem.size == 2:
        return camel
    return rosenbrock if Q.ndim == 0 else lambda x: rosenbrock(Q.T @ x)


def evaluations(problem, name: str, setting: tuple, noise: float, at_points: bool, cases, budget: float) -> np.ndarray:
    """(seed): evaluations until the target, infinite beyond the budget; all infinite once half of the seeds are."""
    counts = []
    for seed, (f, start) in enumerate(cases):
        counted = Counted(problem, f, noise, seed, at_points, budget)
        try:
            PEERS[name][0](counted, start, seed, *_population(setting, problem))
        except ReachedError:
            counts.append(float(counted.count))
        if np.sum(np.isinf(counts)) > len(cases) // 2:
            return np.full(len(cases), np.inf)
    return np.array(counts)


def _population(setting: tuple, problem: Problem) -> tuple:
    usual = 4 + int(3 * np.log(problem.size))
    return tuple(
        {"half": max(4, usual // 2), "double": 2 * usual}.get(s, s) if isinstance(s, str) else s for s in setting
    )


def fewest(problem: Problem, name: str, noise: float, at_points: bool, seeds: int) -> tuple[float, tuple | None]:
    """The least median over the settings, and its setting. A setting may take as many evaluations as the best before it."""
    cases, best, setting = instances(problem, seeds), float("inf"), None
    for tried in PEERS[name][1]:
        # The median of an even number of seeds is a mean of two: the later of them may lie over the best.
        budget = min(problem.budget, 1.5 * best)
        median = float(np.median(evaluations(problem, name, tried, noise, at_points, cases, budget)))
        if median < best:
            best, setting = median, tried
    return best, setting
