"""Pendulum-v1: regret to the optimum of backpropagation through time, alone and with a learned choice among three heads.

A policy trained through the simulator moves well, and still loses at a few starts: whether to swing once more, or the other way
round, is a discrete choice, at whose boundary the return jumps; no derivative of the motion sees a jump. `control.Choice` trains
a gate, which picks one of three heads at every observation (a network, full torque, full torque the other way).

`--peers TD3 SAC` trains those of Stable-Baselines3 as well, one seed each, with the settings of RL Baselines3 Zoo.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import _timing
from benchmarks._pendulum_optimum import OPTIMUM, STARTS
from spanax import control

SEEDS, TARGET_MEDIAN, TARGET_WORST, TARGET_SECONDS = 20, 4.0, 8.0, 15.0
SCALE = [1.0, 1.0, 0.25]  # of the observation
PEERS, PEER_STEPS = ("TD3", "SAC"), 20_000


# -- the comparison ---------------------------------------------------------------------------------------------------------


class Run(NamedTuple):
    regret: float
    steps: int
    seconds: float
    compiling: float


def bptt(seed: int, updates: int, symmetric: bool = False) -> Run:
    env, (first, rest) = control.Pendulum(), jax.random.split(jax.random.key(seed))
    policy = control.MLPPolicy(env, key=first, activation=jax.nn.swish, scale=SCALE)
    policy = control.mirrored(policy, env) if symmetric else policy
    rate = optax.cosine_decay_schedule(1e-2, updates, 0.05)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    via = control.BPTT(horizon=40, truncate=False)
    return _run(
        lambda: control.train(env, policy, via=via, key=rest, updates=updates, optimizer=optimizer, progress=False)
    )


def choice(seed: int, updates: int, symmetric: bool = True) -> Run:
    env, (first, rest) = control.Pendulum(), jax.random.split(jax.random.key(seed))
    policy = control.ChoicePolicy(env, heads=3, key=first, symmetric=symmetric)
    return _run(lambda: control.train(env, policy, via=control.Choice(choice=updates), key=rest, progress=False))


def _run(train: Callable[[], control.Result]) -> Run:
    start = time.perf_counter()
    result = train()
    seconds = time.perf_counter() - start
    return Run(regret(result.policy), int(result.env_steps), seconds, result.compile_seconds)


def regret(policy) -> float:
    """The optimum's mean return over the fixed starts, less the policy's; in float64."""
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64) if eqx.is_array(x) else x, policy)
        return OPTIMUM - float(np.mean(control.evaluate(control.Pendulum(), exact, jnp.asarray(STARTS))))


WAYS = {
    **{f"BPTT, {n}": functools.partial(bptt, updates=n) for n in (100, 200, 500, 1500, 4000)},
    "BPTT, 500, mirrored": functools.partial(bptt, updates=500, symmetric=True),
    **{f"and a choice, {n}": functools.partial(choice, updates=n) for n in (500, 1000, 2000, 4000)},
    "and a choice, 4000, not mirrored": functools.partial(choice, updates=4000, symmetric=False),
}
HEADLINE = "and a choice, 4000"


# -- the peers ----------------------------------------------------------------------------------------------------------


def peer(name: str, seed: int) -> Run:
    """Stable-Baselines3's agent after `PEER_STEPS` steps of Gymnasium's Pendulum-v1."""
    import gymnasium
    import stable_baselines3  # pyright: ignore[reportMissingImports]
    from stable_baselines3.common.noise import NormalActionNoise  # pyright: ignore[reportMissingImports]

    settings: dict[str, dict[str, Any]] = {
        "TD3": {
            "gamma": 0.98,
            "buffer_size": 200_000,
            "learning_starts": 10_000,
            "action_noise": NormalActionNoise(np.zeros(1), np.full(1, 0.1)),
            "train_freq": 1,
            "gradient_steps": 1,
            "policy_kwargs": {"net_arch": [400, 300]},
        },
        "SAC": {},
    }
    start = time.perf_counter()
    kind, env = getattr(stable_baselines3, name), gymnasium.make("Pendulum-v1")
    agent = kind("MlpPolicy", env, learning_rate=1e-3, seed=seed, device="cpu", **settings[name])
    agent.learn(PEER_STEPS)
    seconds = time.perf_counter() - start
    return Run(_regret_of(lambda seen: agent.predict(seen, deterministic=True)[0]), PEER_STEPS, seconds, 0.0)


def _regret_of(act: Callable[[np.ndarray], np.ndarray]) -> float:
    """The same for a policy that is not of JAX: whole episodes in our pendulum, step by step."""
    env = control.Pendulum()
    with jax.enable_x64(True):
        observe, step, reward = (jax.jit(jax.vmap(f)) for f in (env.observe, env.step, env.reward))
        states, total = jnp.asarray(STARTS), 0.0
        for _ in range(env.max_steps):
            actions = jnp.asarray(act(np.asarray(observe(states), np.float32)), float)
            after = step(states, actions)
            total += float(jnp.mean(reward(states, actions, after)))
            states = after
    return OPTIMUM - total


def _draw(runs: dict[str, list[Run]], path: str) -> None:
    """Regret against steps of the simulator: medians, and all seeds as dots."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    ax = figure.add_subplot()
    for label, prefix, style in (
        ("backpropagation through time", "BPTT", "o--"),
        ("and a choice", "and a choice", "s-"),
    ):
        points = [some for name, some in runs.items() if name.startswith(prefix) and "mirrored" not in name]
        steps = [some[0].steps for some in points]
        ax.plot(steps, [np.median([r.regret for r in some]) for some in points], style, color="black", label=label)
        for x, some in zip(steps, points, strict=True):
            ax.plot([x] * len(some), [r.regret for r in some], ".", color="0.6", markersize=4)
    ax.axhline(TARGET_MEDIAN, color="0.4", linewidth=0.8, linestyle=":")
    ax.set(xscale="log", yscale="log", xlabel="steps of the simulator", ylabel="regret to the optimum")
    ax.set_title(
        "Pendulum-v1, 100 fixed starts: a jump that no derivative sees, and a choice that crosses it", fontsize=10
    )
    ax.grid(alpha=0.3, which="both")
    ax.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main():
    options = _timing.parser(__doc__, repeats=1)
    options.add_argument("--seeds", type=int, default=SEEDS, help="(default: %(default)s)")
    options.add_argument("--headline", action="store_true", help="only the recipe that the figures are for")
    options.add_argument("--peers", nargs="*", choices=PEERS, default=[], help="one seed each: about 3 and 15 min")
    options.add_argument("--plot", help="draw both curves into this file")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("spanax", "jax", "equinox", "optax", "stable-baselines3")
    rows, runs = [], {name: [] for name in WAYS if name == HEADLINE or not args.headline}
    for seed in range(args.seeds):
        for name in runs:
            runs[name].append(WAYS[name](seed))
            _timing.stage(f"seed {seed}, {name}: {runs[name][-1]}")
    for name in args.peers:
        _timing.stage(f"{name}, {PEER_STEPS:,} steps")
        runs[f"{name}, Stable-Baselines3, one seed"] = [peer(name, 0)]
    for name, some in runs.items():
        regrets = np.array([r.regret for r in some])
        steps = [f"{np.median(regrets):.2f}", f"{regrets.max():.2f}", f"{some[0].steps / 1e6:.2f}"]
        seconds = [f"{np.median([r.seconds for r in some]):.1f}", f"{np.median([r.compiling for r in some]):.1f}"]
        rows.append([name, *steps, *seconds])
    _timing.table(["updates", "regret, median", "worst", "10^6 steps", "s with compile", "s compile"], rows)
    if args.plot:
        _draw(runs, args.plot)
    last = runs[HEADLINE]
    _timing.verdict("regret, median", float(np.median([r.regret for r in last])), TARGET_MEDIAN)
    _timing.verdict("regret, worst", max(r.regret for r in last), TARGET_WORST)
    _timing.verdict("seconds with compile", float(np.median([r.seconds for r in last])), TARGET_SECONDS)


if __name__ == "__main__":
    main()
