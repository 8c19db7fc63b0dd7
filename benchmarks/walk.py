"""A random walk of 50 steps with a cost at each, 32 replicates: variance and time of the gradient.

Each step goes up with probability sigmoid(theta) and down otherwise, and costs (x - 10)^2/500. Hand-written: the total
return, the reward-to-go, and the reward-to-go with a leave-one-out baseline. Spanax finds the last by itself.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import lax

import spanax as sx
from benchmarks import _timing

STEPS, REPLICATES, THETA = 50, 32, 0.3


def cost(x: jax.Array) -> jax.Array:
    return (x - 10.0) ** 2 / 500


# -- hand-written ---------------------------------------------------------------------------------------------------


def _step(theta, x, u):
    up = u < lax.stop_gradient(jax.nn.sigmoid(theta))
    x = x + jnp.where(up, 1.0, -1.0)
    return x, (jax.nn.log_sigmoid(jnp.where(up, theta, -theta)), cost(x))


def _block(theta, key):
    """Log-probabilities and costs, (steps, replicates): all replicates in one scan, one key a step."""

    def step(x, key):
        return _step(theta, x, jax.random.uniform(key, x.shape))

    return lax.scan(step, jnp.zeros(REPLICATES), jax.random.split(key, STEPS))[1]


def _vmapped(theta, key):
    """The same, from one replicate vmapped."""

    def one(key):
        return lax.scan(lambda x, k: _step(theta, x, jax.random.uniform(k)), 0.0, jax.random.split(key, STEPS))[1]

    return jax.vmap(one, out_axes=1)(jax.random.split(key, REPLICATES))


def _surrogate(log_p, costs, advantage):
    """The mean over replicates of the total cost; its gradient is that of `advantage` times the scores."""
    scores = log_p - lax.stop_gradient(log_p)
    return jnp.mean(jnp.sum(costs + lax.stop_gradient(advantage) * scores, 0))


def total_return(theta: jax.Array, key: jax.Array) -> jax.Array:
    log_p, costs = _block(theta, key)
    return _surrogate(log_p, costs, jnp.sum(costs, 0))


def reward_to_go(theta: jax.Array, key: jax.Array) -> jax.Array:
    log_p, costs = _block(theta, key)
    return _surrogate(log_p, costs, lax.cumsum(costs, reverse=True))


def _leave_one_out(log_p, costs):
    togo = lax.cumsum(costs, reverse=True)
    advantage = (togo - jnp.mean(togo, 1, keepdims=True)) * (REPLICATES / (REPLICATES - 1))
    return _surrogate(log_p, costs, advantage)


def hand_written(theta: jax.Array, key: jax.Array) -> jax.Array:
    return _leave_one_out(*_block(theta, key))


def hand_written_vmap(theta: jax.Array, key: jax.Array) -> jax.Array:
    return _leave_one_out(*_vmapped(theta, key))


# -- Spanax -----------------------------------------------------------------------------------------------------------


def _walk(theta, *, key):
    def step(x, key):
        up = sx.sample(key, dist.Bernoulli(logits=theta), name="up")
        x = x + jnp.where(up > 0, 1.0, -1.0)
        sx.cost(cost(x))
        return x, None

    lax.scan(step, 0.0, jax.random.split(key, STEPS))
    return 0.0


def spanax(theta: jax.Array, key: jax.Array) -> jax.Array:
    return sx.expectation(_walk, samples=REPLICATES)(theta, key=key)


# -- the comparison -----------------------------------------------------------------------------------------------

OBJECTIVES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "total return": total_return,
    "reward-to-go": reward_to_go,
    "reward-to-go, LOO": hand_written,
    "reward-to-go, LOO, vmap": hand_written_vmap,
    "Spanax": spanax,
}
RIVALS = ["reward-to-go, LOO", "reward-to-go, LOO, vmap"]


def timed_call(objective: Callable) -> Callable[[], object]:
    step, theta, key = jax.jit(jax.value_and_grad(objective)), jnp.asarray(THETA), jax.random.key(1)
    return lambda: jax.block_until_ready(step(theta, key))


def gradients(objective: Callable, n: int) -> np.ndarray:
    one = jax.grad(objective)
    run = jax.jit(lambda keys: lax.map(lambda key: one(jnp.asarray(THETA), key), keys))
    return np.asarray(run(jax.random.split(jax.random.key(2), n)), float)[:, None]


def main() -> None:
    options = _timing.parser(__doc__, repeats=41)
    options.add_argument("--keys", type=int, default=20_000, help="gradients for the variance (default: %(default)s)")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("jax", "jaxlib", "numpyro", "numpy")

    found = {}
    for name, objective in OBJECTIVES.items():
        _timing.stage(f"gradients of {name} for {args.keys} keys")
        found[name] = gradients(objective, args.keys)
    for name, g in found.items():
        _timing.assert_agree(name, g, found[RIVALS[0]])
    seconds = _timing.interleaved({name: timed_call(o) for name, o in OBJECTIVES.items()}, repeats=args.repeats)

    best = _timing.fastest(seconds, RIVALS)
    variance = {name: _timing.trace_of_covariance(g) for name, g in found.items()}
    rows = [
        [
            name,
            *_timing.times(seconds, name, best, 1e-6),
            f"{np.mean(found[name]):.3f}",
            f"{variance[name]:.2f}",
            f"{variance[name] / variance[RIVALS[0]]:.3f}",
        ]
        for name in OBJECTIVES
    ]
    _timing.table(["gradient", *_timing.times_head("us"), "mean", "variance", "ratio"], rows)
    print(f"\nratio: by '{best}' (time), by '{RIVALS[0]}' (variance).\n")
    for rival in RIVALS:
        _timing.verdict(f"time: Spanax by {rival}", _timing.ratio(seconds, "Spanax", rival), 1.1)
    _timing.verdict("variance: Spanax by hand-written", variance["Spanax"] / variance[RIVALS[0]], 1.05)


if __name__ == "__main__":
    main()
