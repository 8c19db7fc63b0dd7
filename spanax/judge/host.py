"""`compare_gradients`: the judge's measurements of gradients that are computed outside of JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from .._jaxprs import here
from .._pytree import PyTree
from ._measure.arguments import Arguments
from ._measure.candidates import Candidate
from ._measure.gradients import HostGradient
from ._measure.groups import groups_of
from ._measure.measure import compare_candidates
from ._truth.problem import Problem
from .comparison import Comparison

Run = Callable[[int], Sequence[np.ndarray]]


class OnHost(NamedTuple):
    """One way to a gradient.

    - `run`: run(seed) returns the leaves of one gradient, NumPy arrays in the order of `jax.tree.leaves(parameters)`;
    - `code`: what to paste for it; `unbiased`: by what is known of it; None where nothing is.

    >>> import numpy as np, spanax as sx
    >>> from spanax.judge.host import OnHost
    >>> OnHost(lambda seed: [np.ones(2)], "f()", None).unbiased
    """

    run: Run
    code: str
    unbiased: bool | None


def compare_gradients(
    candidates: Mapping[str, OnHost],
    parameters: PyTree[np.ndarray],
    *,
    draws: int,
    truth: PyTree[np.ndarray] | Run,
    accuracy: float,
    seed: int,
) -> Comparison:
    """`spanax.compare` for gradients of another library.

    **Arguments:**

    - `candidates`: by label;
    - `parameters`: arrays of floats, of the structure, shapes and dtypes of a gradient;
    - `draws`: gradients of each candidate, 100 or more;
    - `truth`: a gradient, or a function of a seed as in `OnHost`, of which the mean of 4 `draws` gradients is taken;
    - `accuracy`: as in `spanax.compare`;
    - `seed`: of all seeds.

    **Returns:**

    A `Comparison`, whose truth is float64 NumPy arrays in the structure of `parameters`.

    **Raises:**

    - `SpanaxError`: no candidate runs; a truth of other shapes, or one that is not finite.

    >>> import numpy as np
    >>> from spanax.judge.host import OnHost, compare_gradients
    >>> def noisy(seed):
    ...     return [1 + np.random.default_rng(seed).normal(size=2)]
    >>> ways = {"noisy": OnHost(noisy, "noisy()", None), "off": OnHost(lambda seed: [np.full(2, 1.5)], "off()", None)}
    >>> found = compare_gradients(ways, np.zeros(2), draws=200, truth=np.ones(2), accuracy=0.1, seed=0)
    >>> [(row.label, row.verdict) for row in found.rows]
    [('noisy', 'no bias found'), ('off', 'biased')]
    """
    where = here()

    def f(parameters):
        raise AssertionError("it is never run")

    # What is kept of the gradients is float64, whatever JAX computes in.
    with jax.enable_x64(True):
        arguments = Arguments.of(f, (parameters,), {}, 0, where)
        for_truth, for_candidates = jax.random.split(jax.random.key(seed))
        given = [
            Candidate(label, HostGradient(way.run, arguments), way.code, None, None, way.unbiased)
            for label, way in candidates.items()
        ]
        # No leaf is known to be without draws: which of them are ranked shows in the gradients.
        problem = Problem(f, arguments, [], for_truth, draws, where, groups_of(arguments, None, where), [])
        random: Any = truth
        reference = HostGradient(random, arguments) if callable(truth) else truth
        return compare_candidates(given, problem, reference, for_candidates, accuracy, [])
