"""The optimisers: each takes a `Function` and begins again from its next start, until the budget is used up."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable

import cma  # pyright: ignore[reportMissingImports]
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.optimize import minimize

import spanax as sx
from benchmarks._bbob.functions import Function, UsedUpError
from spanax.surrogate.quasi_newton import quasi_newton

STEP = 1e-9  # of the differences, see `quasi_newton`
STALLED, ROUNDING = 3, 10 * np.finfo(float).eps  # as many steps in a row that gain no more than rounding end a descent

_evaluated: list[Function] = []  # the function that the black box stands for now: one compiled program serves all


def _values(X: np.ndarray) -> np.ndarray:
    return np.array([_evaluated[-1](x) for x in X])


# Far from its minimum and at it a function may be flat, which ends a descent and isn't an error here.
_black_box = sx.blackbox(
    _values,
    jax.ShapeDtypeStruct((), float),
    via=sx.FiniteDifference(STEP, "forward"),
    batched=True,
    constant=True,
)


@functools.cache
def _step(make: Callable[[], optax.GradientTransformationExtraArgs], dimension: int):
    optimizer = make()

    def step(x, state):
        value, slope = jax.value_and_grad(_black_box)(x)
        updates, state = optimizer.update(slope, state, x, value=value, grad=slope, value_fn=_black_box)
        return optax.apply_updates(x, updates), state, value

    return jax.jit(optimizer.init), jax.jit(step)


def descent(make: Callable[[], optax.GradientTransformationExtraArgs], f: Function) -> None:
    """An optax optimizer on gradients by forward differences: the steps of `sx.descend`, bit for bit, compiled once for all."""
    init, step = _step(make, f.dimension)
    _evaluated.append(f)
    for x in f.starts():
        state, least, stalled = init(jnp.asarray(x)), np.inf, 0
        while stalled < STALLED:
            if f.over:
                _evaluated.remove(f)
                return
            x, state, value = step(x, state)
            stalled = 0 if least - float(value) > ROUNDING * abs(float(value)) else stalled + 1
            least = min(least, float(value))


def lbfgs() -> optax.GradientTransformationExtraArgs:
    """What optax has: L-BFGS, and a line search that only ever shortens the step, by values."""
    search = optax.scale_by_backtracking_linesearch(max_backtracking_steps=30)
    return optax.chain(optax.scale_by_lbfgs(memory_size=20), optax.zero_nans(), optax.scale(-1.0), search)


def bfgs(f: Function) -> None:
    with contextlib.suppress(UsedUpError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of huge values
        for x in f.starts():
            minimize(f.or_raise, x, method="BFGS", options={"gtol": 0})


def cma_es(f: Function) -> None:
    """With twice the population at each restart (IPOP)."""
    population = 4 + int(3 * np.log(f.dimension))
    with contextlib.suppress(UsedUpError):
        for restart, x in enumerate(f.starts()):
            options = {"verbose": -9, "seed": f.seed + restart + 1, "popsize": population * 2**restart}
            es = cma.CMAEvolutionStrategy(x, 2.0, options)
            while not es.stop():
                X = es.ask()
                es.tell(X, [f.or_raise(x) for x in X])


METHODS: dict[str, Callable[[Function], None]] = {
    "descend, quasi-Newton": functools.partial(descent, quasi_newton),
    "descend, optax's L-BFGS": functools.partial(descent, lbfgs),
    "SciPy's BFGS": bfgs,
    "CMA-ES": cma_es,
}
