"""A saved policy, of whatever class it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from jaxtyping import Array

from . import choice, mlp
from ._file import Given, read


def load_policy(
    path: str | os.PathLike[str], *, activation: Callable[[Array], Array] | None = None, via: Any = None
) -> mlp.MLPPolicy | choice.ChoicePolicy:
    """The policy that its method `save` wrote. It is safe to load a file from somebody else: nothing in it is run.

    **Arguments:**

    - `path`: of the file;
    - `activation`: the one that the file does not have, since it is your own code; else one in the place of its own;
    - `via`: likewise the bridge.

    **Returns:**

    An `MLPPolicy` or a `ChoicePolicy`, with its mirror if it has one.

    **Raises:**

    - `SpanaxError` for a file that is missing, damaged, not one of these or of another version, for one that lacks an activation
      or a bridge that is not given, and for numbers in float64 where JAX has float32.

    >>> import jax, os, tempfile
    >>> from spanax import control
    >>> policy = control.ChoicePolicy(control.Pendulum(), key=jax.random.key(0), width=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     policy.save(os.path.join(folder, "pendulum.policy"))
    ...     again = control.load_policy(os.path.join(folder, "pendulum.policy"))
    >>> type(again).__name__, bool((again(jax.numpy.ones(3)) == policy(jax.numpy.ones(3))).all())
    ('ChoicePolicy', True)
    """
    # A table, so that a name in a file from somebody else can do no more than choose one of these.
    skeletons: dict[str, Any] = {"MLPPolicy": mlp.skeleton, "ChoicePolicy": choice.skeleton}
    return read(path, "a file that a policy's save wrote", skeletons, Given("load_policy", activation, via))
