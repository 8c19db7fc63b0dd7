"""CartPole by backpropagation through time: episodes, seconds and returns of 20 seeds, judged by Gymnasium itself.

By the defaults alone, and by recipes that need a few episodes: a policy that is its own mirror image, and short windows of one
episode; with the environment's own loss, which says how to catch a pole, and with others.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import _timing
from spanax import control

STARTS, SOLVED = 100, 475
UNITS = np.array([2.4, 2.0, 0.21, 2.0])  # of an observation: about the largest that a pole which stays up has
HORIZON, RATE = 4, 0.03
EPS = 1e-3  # of Adam: once the pole stands its gradients are tiny, and steps of full size would forget the way there


def upright(state, action, after):
    """The pole is to stand, and the cart to be in the middle: no word of how."""
    return after[2] ** 2 + 0.003 * after[0] ** 2


def triangles(state, action, after):
    """The same by the 2019 article: the gap to the maximum of a product of two triangles."""
    env = control.CartPole()
    place, angle = 1 - jnp.abs(after[0]) / env.x_threshold, 1 - jnp.abs(after[2]) / env.theta_threshold_radians
    return (1 - jnp.maximum(place, 0) * jnp.maximum(angle, 0)) ** 2


@dataclasses.dataclass(frozen=True)
class Recipe:
    """None: the environment's own loss."""

    loss: Callable | None
    updates: int
    mirrored: bool = True


RECIPES = {
    "the defaults": None,
    "leaning": Recipe(None, 150),
    "leaning, not mirrored": Recipe(None, 150, mirrored=False),
    "upright": Recipe(upright, 500),
    "triangles": Recipe(triangles, 500),
}


@dataclasses.dataclass(frozen=True)
class Trained:
    score: float
    episodes: int
    steps: int
    compiling: float
    running: float


def trained(recipe: Recipe | None, seed: int) -> Trained:
    """A budget of updates, and one judgement at its end: nothing is looked at before."""
    env, (first, rest) = control.CartPole(), jax.random.split(jax.random.key(seed))
    if recipe is None:
        policy = control.MLPPolicy(env, key=first)
        result = control.train(env, policy, via=control.BPTT(), key=rest, progress=False)
    else:
        policy = control.MLPPolicy(env, key=first, width=32, depth=1, scale=1 / UNITS)
        policy = control.mirrored(policy, env) if recipe.mirrored else policy
        optimizer = optax.adam(optax.cosine_decay_schedule(RATE, recipe.updates), eps=EPS)
        via, updates, loss = control.BPTT(horizon=HORIZON, truncate=True), recipe.updates, recipe.loss
        result = control.train(
            env, policy, via=via, key=rest, updates=updates, batch=1, optimizer=optimizer, loss=loss, progress=False
        )
    score = judged(jax.jit(lambda observations: jax.vmap(result.policy)(observations)))
    return Trained(score, result.episodes, result.env_steps, result.compile_seconds, result.run_seconds)


def judged(act: Callable) -> float:
    """The mean return of one episode each from 100 starts, in Gymnasium's own CartPole-v1."""
    envs = gymnasium.make_vec("CartPole-v1", num_envs=STARTS, vectorization_mode="vector_entry_point")
    observations, _ = envs.reset(seed=0)
    alive, returns = np.ones(STARTS, bool), np.zeros(STARTS)
    while alive.any():
        observations, rewards, terminated, truncated, _ = envs.step(np.asarray(act(observations)).astype(int))
        returns += alive * rewards
        alive &= ~(terminated | truncated)
    return float(np.mean(returns))


# -- the peer -----------------------------------------------------------------------------------------------------------


def ppo(seed: int, rollout: int = 2048, most: int = 40) -> Trained | None:
    """Stable-Baselines3's PPO as it comes, judged after every rollout until it has solved the problem."""
    try:
        import stable_baselines3  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    start = time.perf_counter()
    agent = stable_baselines3.PPO("MlpPolicy", gymnasium.make("CartPole-v1"), seed=seed, device="cpu")
    score, judging = 0.0, 0.0
    for _ in range(most):
        agent.learn(rollout, reset_num_timesteps=False)
        judging -= time.perf_counter()
        score = judged(functools.partial(_best, agent))
        judging += time.perf_counter()
        if score >= SOLVED:
            break
    vector: Any = agent.get_env()
    begun = 1 + len(vector.envs[0].get_episode_lengths())
    return Trained(score, begun, agent.num_timesteps, 0.0, time.perf_counter() - start - judging)


def _best(agent, observations: np.ndarray) -> np.ndarray:
    return agent.predict(observations, deterministic=True)[0]


def row(name: str, runs: Sequence[Trained]) -> list[str]:
    scores = [r.score for r in runs]
    return [
        name,
        f"{sum(s >= SOLVED for s in scores)}/{len(runs)}",
        f"{min(scores):.0f}",
        f"{np.median([r.episodes for r in runs]):g}  {min(r.episodes for r in runs)}..{max(r.episodes for r in runs)}",
        f"{np.median([r.steps for r in runs]):,.0f}",
        f"{np.median([r.compiling for r in runs]):.2f}",
        f"{np.median([r.running for r in runs]):.3f}",
    ]


def main() -> None:
    options = _timing.parser(__doc__, repeats=20)
    options.add_argument("--recipes", nargs="*", choices=RECIPES, default=list(RECIPES), help="which (default: all)")
    options.add_argument("--no-peer", action="store_true", help="without PPO, which takes 10 s a seed")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("jax", "jaxlib", "equinox", "optax", "gymnasium", "numpy", "spanax", "stable-baselines3")
    runs: dict[str, list[Trained]] = {name: [] for name in args.recipes}
    peers: list[Trained] = []
    for seed in range(args.repeats):
        _timing.stage(f"seed {seed + 1} of {args.repeats}")
        for name, found in runs.items():
            found.append(trained(RECIPES[name], seed))
        if not args.no_peer and (peer := ppo(seed)) is not None:
            peers.append(peer)
    rows = [row(name, found) for name, found in runs.items()]
    if peers:
        rows.append(row("PPO, Stable-Baselines3", peers))
    head = ["loss", "solved", "worst mean", "episodes  min..max", "steps", "compile s", "run s"]
    _timing.table(head, rows)
    print(
        f"\nsolved: a mean of {SOLVED} or more over {STARTS} starts. PPO's episodes are those until first judged solved.\n"
    )
    if (defaults := runs.get("the defaults")) is not None:
        _timing.verdict(
            "the defaults, share solved", sum(r.score >= SOLVED for r in defaults) / len(defaults), 0.9, at_least=True
        )
    best = runs.get("leaning")
    if best is None:
        return
    _timing.verdict("seeds solved", sum(r.score >= SOLVED for r in best), args.repeats, at_least=True)
    _timing.verdict("episodes, median", float(np.median([r.episodes for r in best])), 5)
    _timing.verdict("episodes, worst", max(r.episodes for r in best), 10)
    _timing.verdict("seconds with compiling, worst", max(r.compiling + r.running for r in best), 5)


if __name__ == "__main__":
    main()
