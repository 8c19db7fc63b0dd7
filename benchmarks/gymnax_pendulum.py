"""Pendulum beside gymnax's: steps a second, and the gradient of a return through the simulation.

    pip install gymnax
    python -m benchmarks.gymnax_pendulum

Both are played by the same linear policy from the same starts; values and gradients have to agree before they are timed. gymnax
is used without its automatic reset, and with `with_transition_gradients()`, which its Pendulum supports.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spanax import control

from . import _timing

STARTS, STEPS, HORIZON = 1024, 200, 40
TARGET = 1.1  # times gymnax's


def starts():
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.uniform([-np.pi, -1.0], [np.pi, 1.0], (STARTS, 2)), jnp.float32)


def torque(weights, observation):
    # Smooth, and never at the clamp, where gradients of the two might be taken from different sides.
    return 1.9 * jnp.tanh(weights @ observation)


def ours(steps):
    env = control.Pendulum()

    def mean_return(weights, states):
        def play(state):
            return control.rollout(env, lambda seen: torque(weights, seen)[None], state, steps).rewards.sum()

        return jnp.mean(jax.vmap(play)(states))

    return mean_return


def theirs(steps):
    import gymnax  # pyright: ignore[reportMissingImports]
    from gymnax.environments.classic_control.pendulum import EnvState  # pyright: ignore[reportMissingImports]

    env, params = gymnax.make("Pendulum-v1")
    env, key = env.with_transition_gradients(), jax.random.key(0)

    def play(weights, start):
        zero = jnp.zeros((), jnp.float32)
        clock: Any = jnp.zeros((), jnp.int32)
        state = EnvState(time=clock, theta=start[0], theta_dot=start[1], last_u=zero)

        def one(state, _):
            action = torque(weights, env.get_obs(state))
            _, state, reward, _, _ = env.step_env(key, state, action, params)
            return state, jnp.squeeze(reward)

        return jax.lax.scan(one, state, None, steps)[1].sum()

    return lambda weights, states: jnp.mean(jax.vmap(lambda start: play(weights, start))(states))


def main():
    options = _timing.parser(__doc__, repeats=15)
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("spanax", "jax", "gymnax")
    weights, states = jnp.array([0.5, -2.0, -0.6]), starts()
    programs = {
        f"{STEPS} steps, Spanax": jax.jit(ours(STEPS)),
        f"{STEPS} steps, gymnax": jax.jit(theirs(STEPS)),
        f"gradient of {HORIZON} steps, Spanax": jax.jit(jax.value_and_grad(ours(HORIZON))),
        f"gradient of {HORIZON} steps, gymnax": jax.jit(jax.value_and_grad(theirs(HORIZON))),
    }
    found = {name: jax.tree.map(np.asarray, run(weights, states)) for name, run in programs.items()}
    for what in (f"{STEPS} steps", f"gradient of {HORIZON} steps"):
        mine, other = (jax.tree.leaves(found[f"{what}, {who}"]) for who in ("Spanax", "gymnax"))
        apart = max(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in zip(mine, other, strict=True))
        print(f"{what}: largest relative difference of values and gradients {apart:.1e}")
        # Two simulations of the same motion in float32; a different rule would be far more.
        assert apart < 1e-3
    calls = {name: lambda run=run: jax.block_until_ready(run(weights, states)) for name, run in programs.items()}
    seconds = _timing.interleaved(calls, repeats=args.repeats, round_seconds=0.1)
    rows = []
    for name in programs:
        peer = name.replace("Spanax", "gymnax")
        steps = STARTS * (STEPS if name.startswith(str(STEPS)) else HORIZON)
        rate = steps / float(np.median(seconds[name])) / 1e6
        rows.append([name, f"{rate:.2f}", *_timing.times(seconds, name, peer, 1e-3)])
    _timing.table(["program", "10^6 steps/s", *_timing.times_head("ms")], rows)
    for what in (f"{STEPS} steps", f"gradient of {HORIZON} steps"):
        _timing.verdict(
            f"{what}, time by gymnax's", _timing.ratio(seconds, f"{what}, Spanax", f"{what}, gymnax"), TARGET
        )


if __name__ == "__main__":
    main()
