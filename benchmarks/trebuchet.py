"""A network that aims a trebuchet, trained through the throw: its errors over targets in reach, and throws a second.

The article of 2019 that set the problem (https://fluxml.ai/blogposts/2019-03-05-dp-vs-rl/) trained for 5 minutes, and was off by
16 cm in one shot. Judged are 4,000 draws of wind N(0, 5) m/s and a target of 20 to 100 m; those out of reach are left out.
"""

from __future__ import annotations

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from benchmarks import _timing
from spanax import control
from spanax.gallery._throws.aimer import Reach, reach, train
from spanax.gallery.trebuchet import UPDATES

SEEDS = 20
TARGETS = {"mean": 8.0, "median": 4.0, "95%": 20.0}  # cm
SECONDS, INFERENCE = 40.0, 20e-6
THROWS = 1_000_000


@functools.cache
def _throws():
    return jax.jit(jax.vmap(control.shoot))


def _thrown(winds: np.ndarray, angles: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Metres, in float64."""
    with jax.enable_x64(True):
        return np.asarray(_throws()(*(jnp.asarray(x, jnp.float64) for x in (winds, angles, weights))))


def errors(policy, in_reach: Reach) -> Float[np.ndarray, " n"]:
    """Centimetres, over the judge's throws."""
    rng = np.random.default_rng(7)
    wind, target = rng.normal(0, 5, 4000), rng.uniform(20, 100, 4000)
    can = in_reach.has(wind, target)
    wind, target = wind[can], target[can]
    action = np.asarray(jax.vmap(policy)(jnp.asarray(np.stack([wind, target], 1), jnp.float32)), float)
    return 100 * np.abs(_thrown(wind, action[:, 0], action[:, 1]) - target)


def inference(policy) -> float:
    """Seconds for one aim, compiled; the median of 2,000."""
    act, at, seconds = jax.jit(lambda observation: policy(observation)), jnp.array([1.0, 50.0]), []
    act(at).block_until_ready()
    for _ in range(2000):
        start = time.perf_counter()
        act(at).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def throws(count: int, together: int = 256) -> tuple[float, float]:
    """Throws a second, with and without the gradient by angle and weight; in float32."""
    keys = jax.random.split(jax.random.key(0), 3)
    wind = 5 * jax.random.normal(keys[0], (together,))
    angle = jax.random.uniform(keys[1], (together,), minval=20.0, maxval=70.0)
    weight = jax.random.uniform(keys[2], (together,), minval=60.0, maxval=500.0)
    both = jax.jit(jax.vmap(jax.value_and_grad(control.shoot, (1, 2))))
    at, rounds = (wind, angle, weight), max(count // together, 1)
    return _rate(both, at, rounds, together), _rate(_throws(), at, rounds, together)


def _rate(f, args, rounds: int, together: int) -> float:
    jax.block_until_ready(f(*args))
    start = time.perf_counter()
    for _ in range(rounds):
        jax.block_until_ready(f(*args))
    return rounds * together / (time.perf_counter() - start)


def main() -> None:
    options = _timing.parser(__doc__, repeats=SEEDS)
    options.add_argument("--throws", type=int, default=THROWS, help="to be timed (default: %(default)s)")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("jax", "jaxlib", "equinox", "optax", "numpy", "spanax")
    rows, found, seconds, aims, in_reach = [], [], [], [], reach(control.Trebuchet())
    for seed in range(args.repeats):
        result = train(UPDATES, jax.random.key(seed), progress=False)
        found.append(errors(result.policy, in_reach))
        seconds.append((result.compile_seconds, result.run_seconds))
        aims.append(inference(result.policy))
        _timing.stage(f"seed {seed + 1} of {args.repeats}: {result}, {_described(found[-1])}")
    for name, of in (
        ("mean", np.mean),
        ("median", np.median),
        ("95%", lambda e: np.percentile(e, 95)),
        ("worst", np.max),
    ):
        each = [float(of(e)) for e in found]
        rows.append([f"{name}, cm", f"{np.median(each):.2f}", f"{max(each):.2f}"])
    rows.append(["compile, s", *(f"{f([c for c, _ in seconds]):.1f}" for f in (np.median, max))])
    rows.append(["run, s", *(f"{f([r for _, r in seconds]):.1f}" for f in (np.median, max))])
    _timing.table([f"over {len(found[0]):,} throws", f"median of {args.repeats} seeds", "worst seed"], rows)
    for row, (name, target) in zip(rows, TARGETS.items(), strict=False):
        _timing.verdict(f"{name} error in cm, median seed", float(row[1]), target)
    _timing.verdict("seconds with compile, median", float(np.median([sum(s) for s in seconds])), SECONDS)
    _timing.verdict("us for one aim", 1e6 * float(np.median(aims)), 1e6 * INFERENCE)
    both, plain = throws(args.throws)
    device = jax.devices()[0].platform
    print(f"\n{args.throws:,} throws on {device}: {both:,.0f} a second with gradients, {plain:,.0f} without")


def _described(e: np.ndarray) -> str:
    return f"mean {e.mean():.2f}, median {np.median(e):.2f}, 95% {np.percentile(e, 95):.2f} cm"


if __name__ == "__main__":
    main()
