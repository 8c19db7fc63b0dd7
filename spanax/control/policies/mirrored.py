"""A policy that is its own mirror image, as the problem is."""

from __future__ import annotations

from typing import Any

import equinox as eqx

from ..._errors import SpanaxError
from ..._foreign_arrays import refuse_foreign
from ..env import Env
from ._mirror import mirror_of
from .choice import ChoicePolicy
from .mlp import MLPPolicy


def mirrored(policy: Any, env: Env | None = None, *, observation: Any = None, action: Any = None) -> Any:
    """The policy, equivariant: to the mirror image of an observation it answers with the mirror image of the action.

    Half of the states need not be visited in training. What decides the action is averaged over both images: a network's output,
    before its tanh, its threshold or its argmax. So actions stay exact, and draws, bridges and distributions are as before.

    **Arguments:**

    - `policy`: an `MLPPolicy` or a `ChoicePolicy`, whose numbers and files stay as they are;
    - `env`: gives the mirror image of an observation, where it states one (`env.mirror`), as `Pendulum` and `CartPole` do;
    - `observation`: the mirror image of an observation: signs, a matrix, or a linear function. None: that of `env`, or
      -observation. `Pendulum` observes (cos, sin, velocity), whose image is (cos, -sin, -velocity): `[1, -1, -1]`;
    - `action`: the same for an action of a `Box`, measured from the middle of the box; None: -action. Of `Discrete(n)` the
      mirror image of each action, or a function; None: in the opposite order, n - 1 for 0.

    **Returns:**

    A policy of the same class.

    **Raises:**

    - `SpanaxError` for a map that does not undo itself when it is applied twice, for constants of a `ChoicePolicy` whose mirror
      images are not among them, and for policies of other classes, since only they know what decides their action.
      `train` raises it for a mirror that is not the environment's, where that states one.

    >>> import jax, jax.numpy as jnp
    >>> from spanax import control
    >>> env = control.Pendulum()
    >>> policy = control.mirrored(control.MLPPolicy(env, key=jax.random.key(0)), env)
    >>> bool(policy(jnp.array([0.6, 0.8, 1.0])) == -policy(jnp.array([0.6, -0.8, -1.0])))
    True
    """
    refuse_foreign(observation, action)
    if not isinstance(policy, MLPPolicy | ChoicePolicy):
        raise SpanaxError(
            f"mirrored({type(policy).__name__}): what decides its action is not known",
            "control.MLPPolicy(env, key=key), or control.ChoicePolicy(env, key=key)",
            "in your policy, before the last step: output = (network(x) - network(-x)) / 2",
        )
    if observation is None and env is not None:
        observation = env.mirror
    mirror = mirror_of(observation, action, policy.scale.size, policy.space)
    # A constant head has no output to average: its mirror image is another head.
    if isinstance(policy, ChoicePolicy):
        mirror = mirror.with_heads(policy.constants, len(policy.networks), policy.space)
    # A policy without a mirror has None there, which is no leaf unless it is called one.
    return eqx.tree_at(lambda p: p.mirror, policy, mirror, is_leaf=lambda x: x is None)
