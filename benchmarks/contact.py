"""Contacts: what `trust`, `find_gaps` and `find_jumps` say of steps beforehand, and `Mixed` beside its two parts.

Two problems: a ball against a wall, and a block that is pushed. Errors are of one gradient at the first policy, against the mean of
many of the score function's; the policy search is measured by the return of the policy's mean action.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

import spanax as sx
from benchmarks import _timing
from benchmarks._contact_problems import STEPS, BlockPush, WallBall, start
from spanax import control
from spanax.control._training.method import Task
from spanax.control._training.updates import Progress, Training

WARM, GRADIENTS, TRUTH = 100, 60, 300
BATCH, PIECE = 8, 50


def policy_of(env, seed=0):
    return control.MLPPolicy(env, key=jax.random.key(seed), width=32)


def split(policy):
    return eqx.partition(policy, lambda x: eqx.is_inexact_array(x) and isinstance(x, jax.Array))


def gradients(method, env, count, batch, carry=None, seed=0):
    """`count` gradients at the first policy, and the carry after them."""
    task, policy = Task(env, batch, None), policy_of(env)
    arrays, static = split(policy)

    @jax.jit
    def one(carry, key):
        objective = lambda arrays: method.objective(task, eqx.combine(arrays, static), carry, key)
        gradient, (carry, _) = jax.grad(objective, has_aux=True)(arrays)
        return carry, ravel_pytree(gradient)[0]

    carry, rows = method.start(task, policy, jax.random.key(1)) if carry is None else carry, []
    for key in jax.random.split(jax.random.key(seed), count):
        carry, row = one(carry, key)
        rows.append(np.asarray(row, float))
    return np.array(rows), carry


def analytic(env, count, batch):
    """The derivative through the simulation alone, of the same objective."""
    policy = policy_of(env)
    arrays, static = split(policy)

    def objective(arrays, key):
        policy, (reset, *keys) = eqx.combine(arrays, static), jax.random.split(key, STEPS + 1)

        def one(state, key):
            action = policy.distribution(env.observe(state)).rsample(key)
            arrived = env.step(state, action)
            return arrived, -env.reward(state, action, arrived)

        return jnp.mean(jax.lax.scan(one, env.reset(reset), jnp.stack(keys))[1])

    batched = lambda arrays, key: jnp.mean(jax.vmap(lambda k: objective(arrays, k))(jax.random.split(key, batch)))
    one = jax.jit(lambda key: ravel_pytree(jax.grad(batched)(arrays, key))[0])
    return np.array([np.asarray(one(key), float) for key in jax.random.split(jax.random.key(5), count)])


def errors(env, batch=32):
    score = control.PolicyGradient("leave-one-out")
    truth = gradients(score, env, TRUTH, 256, seed=11)[0].mean(0)
    _, warm = gradients(control.Mixed(), env, WARM, batch)
    rows = {
        "analytic": analytic(env, GRADIENTS, batch),
        "score function": gradients(score, env, GRADIENTS, batch, seed=5)[0],
        "Mixed": gradients(control.Mixed(), env, GRADIENTS, batch, warm, seed=5)[0],
    }
    size = np.linalg.norm(truth)
    cosine = lambda mean: float(mean @ truth / np.linalg.norm(mean) / size)
    root = lambda r: float(np.sqrt(np.mean(np.sum((r - truth) ** 2, axis=1))) / size)
    return [[type(env).__name__, name, f"{root(r):.2f}", f"{cosine(r.mean(0)):.2f}"] for name, r in rows.items()]


def search(env, method, rate, updates, seeds):
    """The median return over seeds, after every piece of updates."""
    starts = jax.vmap(env.reset)(jax.random.split(jax.random.key(9), 64))
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))

    @eqx.filter_jit
    def piece(training, progress):
        progress, _ = jax.lax.scan(lambda p, _: (training.update(p)[0], None), progress, None, PIECE)
        policy = eqx.combine(progress.arrays, training.static)
        returns = jax.vmap(lambda s: control.rollout(env, policy, s, STEPS).rewards.sum())(starts)
        return progress, jnp.mean(returns)

    curves = []
    for seed in range(seeds):
        policy = policy_of(env, seed)
        arrays, static = split(policy)
        task, (begin, go) = Task(env, BATCH, None), jax.random.split(jax.random.key(seed))
        training = Training(task, method, optimizer, static, go, jnp.asarray(1e30))
        progress = Progress(arrays, optimizer.init(arrays), method.start(task, policy, begin), jnp.zeros((), jnp.int32))
        curve = []
        for _ in range(updates // PIECE):
            progress, value = piece(training, progress)
            curve.append(float(value))
        curves.append(curve)
    return np.median(curves, axis=0)


def beforehand(env):
    """What the finders say of the return of a whole episode by a constant action, and `trust` of one step at the contact."""

    def total(action):
        return control.rollout(env, lambda observation: action, start(env), STEPS).rewards.sum()

    action = jnp.full(env.action_space.shape, 0.3 if isinstance(env, WallBall) else 2.0)
    at = {"WallBall": [1.77, 0.0, 1.2, 0.0, 0.7, 0.7, 0.3], "BlockPush": [0.36, 0.4, 1.0, 0.0, 0.4]}[type(env).__name__]
    print(sx.find_gaps(total, action))
    print(sx.find_jumps(total, action, key=jax.random.key(0), radius=0.5, lines=5))
    print(sx.trust(env.step, jnp.asarray(at), action, key=jax.random.key(0), sigma=(0.05, 0.1)))
    print(sx.trust(total, action, key=jax.random.key(0), sigma=0.2))


def main() -> None:
    options = _timing.parser(__doc__, repeats=3)
    options.add_argument("--updates", type=int, default=1200)
    given = options.parse_args()
    _timing.limit_cores(given.cores)
    for env in (WallBall(), BlockPush()):
        beforehand(env)
    rows = [row for env in (WallBall(), BlockPush()) for row in errors(env)]
    for row in (["problem", "gradient", "rms error / |truth|", "cosine of its mean"], *rows):
        print("  ".join(cell.ljust(20) for cell in row))
    for name, method, rate in (
        ("score function, 3e-3", control.PolicyGradient(), 3e-3),
        ("score function, 1e-2", control.PolicyGradient(), 1e-2),
        ("Mixed, 1e-2", control.Mixed(), 1e-2),
        ("Mixed, 3e-3", control.Mixed(), 3e-3),
        ("BPTT, 3e-3", control.BPTT(horizon=STEPS, truncate=False), 3e-3),
    ):
        print(name, np.round(search(WallBall(), method, rate, given.updates, given.repeats), 2).tolist(), flush=True)


if __name__ == "__main__":
    main()
