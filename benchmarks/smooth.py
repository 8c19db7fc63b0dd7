"""`smooth`: how much its control variates save, in variance, in seconds to an accuracy, and in evaluations to a cost.

Ten programs with jumps (tests/smoothing/programs.py), against plain antithetic smoothing with independent directions, and
against evosax's OpenES.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax import lax

import spanax as sx
from benchmarks import _timing
from tests.smoothing.programs import MANY, ONE, Case

PAIRS, STEP = 32, 0.05  # STEP: of sigma, Adam's learning rate along the trajectories
CHECKPOINTS = (4, 9, 14, 19, 29, 39)
PLAIN, ORTHOGONAL, SOFTENED, AVERAGE = "plain", "orthogonal", "softened gradient", "moving average"

Gradient = Callable[[jax.Array, jax.Array, sx.Guide], jax.Array]


def _gradients(case: Case) -> dict[str, Gradient]:
    """(x, key, guide) -> one estimate, by each method."""
    best, independent = sx.Smoothing(case.sigma, PAIRS), sx.Smoothing(case.sigma, PAIRS, "gaussian")
    bare = {PLAIN: independent, ORTHOGONAL: best}
    methods = {name: functools.partial(_unguided, case.f, via, None) for name, via in bare.items()}
    return {
        **methods,
        SOFTENED: functools.partial(_unguided, case.f, best, "auto"),
        AVERAGE: functools.partial(_guided, case.f, best),
    }


def _unguided(f, via, control_variate, x, key, guide):
    return jax.grad(sx.smooth(f, via=via, control_variate=control_variate))(x, key=key)


def _guided(f, via, x, key, guide):
    return jax.grad(sx.smooth(f, via=via, guide=guide))(x, key=key)


def _trajectory(case: Case, gradient: Gradient, key: jax.Array) -> tuple[jax.Array, sx.Guide]:
    """Where Adam has been after each step, and the guide it had there."""
    optimiser, x = optax.adam(STEP * case.sigma), jnp.asarray(case.x, jnp.float32)

    def step(carry, key):
        x, state, guide = carry
        slope = gradient(x, key, guide)
        updates, state = optimiser.update(slope, state)
        return (x + updates, state, guide.update(slope)), (x, guide)

    keys = jax.random.split(key, max(CHECKPOINTS) + 1)
    return jax.jit(lambda keys: lax.scan(step, (x, optimiser.init(x), sx.Guide(like=x)), keys)[1])(keys)


def _variances(gradient: Gradient, n: int) -> Callable[[jax.Array, sx.Guide], float]:
    @jax.jit
    def run(x, guide):
        keys = jax.random.split(jax.random.key(2), n)
        return jnp.sum(jnp.var(lax.map(lambda key: gradient(x, key, guide), keys), axis=0))

    return lambda x, guide: float(run(x, guide))


def one_number(n: int) -> None:
    rows = []
    for name, case in ONE.items():
        _timing.stage(f"one number: {name}")
        via, x = sx.Smoothing(case.sigma, 50), jnp.asarray(case.x, jnp.float32)
        variance = [
            _variances(functools.partial(_unguided, case.f, via, control), n)(x, sx.Guide(like=x))
            for control in (None, "auto", "softened")
        ]
        rows.append([name, *(f"{variance[0] / v:.3g}" for v in variance[1:])])
    _timing.table(["one number, 50 pairs", "softened gradient", '"softened"'], rows)
    print("\nVariance of plain antithetic smoothing over that of each.\n")


def many_numbers(d: int, n: int, repeats: int) -> tuple[int, float]:
    """The table for d numbers; how many programs the moving average makes faster, and the least gain."""
    rows, gains = [], []
    for name, make in MANY.items():
        _timing.stage(f"{d} numbers: {name}")
        case = make(d)
        methods = _gradients(case)
        xs, guides = _trajectory(case, methods[AVERAGE], jax.random.key(1))
        variance = {}
        for method, gradient in methods.items():
            run = _variances(gradient, n)
            variance[method] = [run(xs[t], jax.tree.map(lambda leaf, t=t: leaf[t], guides)) for t in (0, *CHECKPOINTS)]
        calls = {
            method: _timed(gradient, xs[9], jax.tree.map(lambda leaf: leaf[9], guides))
            for method, gradient in methods.items()
        }
        seconds = _timing.interleaved(calls, repeats=repeats)
        # At the start for what needs no past; along the trajectory for the moving average, in sums over its checkpoints.
        at_start = [variance[PLAIN][0] / variance[method][0] for method in (ORTHOGONAL, SOFTENED)]
        along = sum(variance[PLAIN][1:]) / sum(variance[AVERAGE][1:])
        least = min(p / a for p, a in zip(variance[PLAIN][1:], variance[AVERAGE][1:], strict=True))
        slower = _timing.ratio(seconds, AVERAGE, PLAIN)
        gains.append(along / slower)
        times = [_timing.ratio(seconds, SOFTENED, PLAIN), slower]
        rows.append([name, *(f"{v:.2f}" for v in (*at_start, along, least, *times, gains[-1]))])
    head = [f"{d} numbers, {PAIRS} pairs", ORTHOGONAL, SOFTENED, AVERAGE, "least", "time: softened", "average", "gain"]
    _timing.table(head, rows)
    print()
    return sum(gain > 1 for gain in gains), min(gains)


def _timed(gradient: Gradient, x: jax.Array, guide: sx.Guide) -> Callable[[], object]:
    run, key = jax.jit(gradient), jax.random.key(3)
    return lambda: jax.block_until_ready(run(x, key, guide))


def main() -> None:
    options = _timing.parser(__doc__, repeats=15)
    options.add_argument("--keys", type=int, default=300, help="gradients for each variance (default: %(default)s)")
    options.add_argument("--without-openes", action="store_true", help="leave the optimisations out")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("jax", "jaxlib", "optax", "numpy", "evosax")

    one_number(10 * args.keys)
    faster = {d: many_numbers(d, args.keys, args.repeats) for d in (20, 100)}
    print(
        "Variance of plain antithetic smoothing (independent directions, no control variate) over that of each: at the start;"
    )
    print(
        f"for the moving average along {max(CHECKPOINTS) + 1} steps of Adam, and the least at {len(CHECKPOINTS)} checkpoints."
    )
    print(
        "time: seconds an estimate by plain's. gain: plain's seconds to an accuracy by those of the moving average.\n"
    )
    for d, (count, least) in faster.items():
        _timing.verdict(
            f"{d} numbers, programs where the moving average is faster, of {len(MANY)}", count, 8, at_least=True
        )
        _timing.verdict(f"{d} numbers, least gain in time", least, 0.95, at_least=True)
    if not args.without_openes:
        _openes()


def _openes() -> None:
    try:
        from benchmarks import _openes as openes
    except ImportError as error:
        print(f"OpenES is left out: {error}")
        return
    openes.compare()


if __name__ == "__main__":
    main()
