"""Trains the policies that the page's toys come with: `python -m spanax.gallery.web._toys.make_weights`, about two minutes.

Each is trained by a recipe of the gallery with a fixed key, so that whoever runs this gets policies as good as these (the last
digits depend on the machine), and is saved in the portable format of policies, which runs no code.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .... import control
from ..._throws import aimer
from .policies import REACH, WEIGHTS

UPDATES = {"trebuchet": 4000, "cartpole": 600, "pendulum": 500}
# What the cart of the page meets: pushes, which a pole that starts nearly upright never feels.
KNOCKED = 0.5


def portable(made: aimer.Aimer, env: control.Trebuchet) -> control.MLPPolicy:
    """The same function as a policy that can be saved: its shift of the target goes into the first layer."""
    scale = np.array([1 / 5, 1 / 25])
    first = made.network.layers[0]
    # W ((x - shift) scale) + b = W (x scale) + (b - W (shift scale)); the aimer's own numbers are 0 and 60.
    assert first.bias is not None
    bias = first.bias - first.weight @ jnp.asarray(np.array([0.0, 60.0]) * scale, first.weight.dtype)
    policy = control.MLPPolicy(env, key=jax.random.key(0), width=aimer.WIDTH, depth=2, activation=jnp.tanh, scale=scale)
    return eqx.tree_at(lambda p: p.network, policy, eqx.tree_at(lambda n: n.layers[0].bias, made.network, bias))


def trebuchet(updates: int) -> control.MLPPolicy:
    return portable(aimer.train(updates, jax.random.key(0)).policy, control.Trebuchet())


def cartpole(updates: int) -> control.MLPPolicy:
    import optax

    # Wider limits than those of the rules: it learns to catch poles that the rules have given up.
    env = control.CartPole(reset_bound=KNOCKED, theta_threshold_radians=1.0)
    first, rest = jax.random.split(jax.random.key(0))
    policy = control.mirrored(control.MLPPolicy(env, key=first, width=32), env)
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, updates), eps=1e-3)
    via = control.BPTT(horizon=8, truncate=True)
    return control.train(env, policy, via=via, key=rest, updates=updates, batch=16, optimizer=optimizer).policy


def pendulum(updates: int) -> control.MLPPolicy:
    env, (first, rest) = control.Pendulum(), jax.random.split(jax.random.key(0))
    policy = control.mirrored(control.MLPPolicy(env, key=first, width=32), env)
    return control.train(env, policy, via=control.BPTT(horizon=40), key=rest, updates=updates, batch=64).policy


RECIPES: dict[str, Callable[[int], Any]] = {"trebuchet": trebuchet, "cartpole": cartpole, "pendulum": pendulum}


def main(names: list[str], folder: Path = WEIGHTS) -> None:
    for name in names or RECIPES:
        print(name, flush=True)
        RECIPES[name](UPDATES[name]).save(folder / f"{name}.policy")
    there = aimer.reach(control.Trebuchet())
    # Centimetres are enough: the page only says whether a target is in reach.
    table = {field: np.round(values, 2).tolist() for field, values in there._asdict().items()}
    (folder / REACH).write_text(json.dumps(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
