"""The smallest problem: E[(b - .499)^2], b ~ Bernoulli(sigmoid(theta)), theta = 0, 1000 draws. True gradient 5e-4."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import lax

import spanax as sx
from benchmarks import _timing

THETA, TARGET, DRAWS, TRUE = 0.0, 0.499, 1000, 5e-4


def _cost(b):
    return (b - TARGET) ** 2


# -- hand-written ---------------------------------------------------------------------------------------------------


def _hand(theta, key, *, leave_one_out):
    b = (jax.random.uniform(key, (DRAWS,)) < lax.stop_gradient(jax.nn.sigmoid(theta))).astype(theta.dtype)
    costs = _cost(b)
    advantage = (costs - jnp.mean(costs)) * (DRAWS / (DRAWS - 1)) if leave_one_out else costs
    score = b * theta - jax.nn.softplus(theta)
    return jnp.mean(costs + advantage * (score - lax.stop_gradient(score)))


def _hand_exact(theta, key):
    p = jax.nn.sigmoid(theta)
    return p * _cost(1.0) + (1 - p) * _cost(0.0)


# -- Spanax -----------------------------------------------------------------------------------------------------------


def _spanax(theta, key, *, via, samples):
    def f(theta, *, key):
        return _cost(sx.sample(key, dist.Bernoulli(logits=theta), via=via))

    return sx.expectation(f, samples=samples)(theta, key=key)


# -- the comparison -----------------------------------------------------------------------------------------------

SCORE, LOO, EXACT = "score function", "leave-one-out", "exact"
OBJECTIVES: dict[str, dict[str, Callable[[jax.Array, jax.Array], jax.Array]]] = {
    SCORE: {
        "hand-written": functools.partial(_hand, leave_one_out=False),
        "Spanax": functools.partial(_spanax, via=sx.ScoreFunction(baseline=None), samples=DRAWS),
    },
    LOO: {
        "hand-written": functools.partial(_hand, leave_one_out=True),
        "Spanax": functools.partial(_spanax, via=sx.ScoreFunction(), samples=DRAWS),
        "Spanax, one site": functools.partial(_spanax, via=sx.LeaveOneOut(samples=DRAWS), samples=1),
    },
    EXACT: {"hand-written": _hand_exact, "Spanax": functools.partial(_spanax, via=sx.Enumerate(), samples=1)},
}


def timed_call(objective: Callable) -> Callable[[], object]:
    step, theta, key = jax.jit(jax.grad(objective)), jnp.asarray(THETA), jax.random.key(1)
    return lambda: jax.block_until_ready(step(theta, key))


def gradients(objective: Callable, n: int) -> np.ndarray:
    one = jax.grad(objective)
    run = jax.jit(lambda keys: lax.map(lambda key: one(jnp.asarray(THETA), key), keys))
    return np.asarray(run(jax.random.split(jax.random.key(2), n)), float)


def _storchastic():
    try:
        from benchmarks import _storchastic
    except ImportError as error:
        print(f"Storchastic is left out: {error}\n")
        return None
    return _storchastic.Toy(THETA, TARGET, DRAWS)


def _check(name: str, g: np.ndarray) -> None:
    """Within 5 standard errors of the truth (a false alarm in 1.7 million), or within rounding where nothing varies."""
    error, allowed = abs(np.mean(g) - TRUE), 5 * np.std(g) / np.sqrt(len(g)) + 1e-7
    if error > allowed:
        raise AssertionError(f"{name}: mean gradient off by {error:.2e}, at most {allowed:.2e}")


def main() -> None:
    options = _timing.parser(__doc__, repeats=41)
    options.add_argument("--keys", type=int, default=2000, help="gradients for the variance (default: %(default)s)")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("jax", "jaxlib", "numpyro", "numpy", "torch", "storchastic")

    model = _storchastic()
    calls, variance = {}, {}
    for kind, objectives in OBJECTIVES.items():
        for who, objective in objectives.items():
            name = f"{kind}: {who}"
            calls[name], g = timed_call(objective), gradients(objective, args.keys)
            _check(name, g)
            variance[name] = np.var(g)
        if model is not None:
            name = f"{kind}: Storchastic"
            calls[name] = functools.partial(model.step, kind)
            g = np.array([model.step(kind) for _ in range(args.keys)])
            _check(name, g)
            variance[name] = np.var(g)
    seconds = _timing.interleaved(calls, repeats=args.repeats, round_seconds=0.01)

    rows = []
    for name in calls:
        hand = f"{name.split(':')[0]}: hand-written"
        rows.append([name, *_timing.times(seconds, name, hand, 1e-6), f"{variance[name]:.2e}"])
    _timing.table(["gradient", *_timing.times_head("us"), "variance"], rows)
    print("\nratio: time by that of the hand-written one of the same kind.")


if __name__ == "__main__":
    main()
