"""One throw as a GIF: the machine slowly, then the flight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp

from ... import control


def write_throw(path: Path, target: float, wind: float, action: Any, title: str) -> None:
    """`action`: angle and weight."""
    # An episode of the environment, so that the drawing is the one that users get.
    settings = jnp.array([float(x) for x in action])
    env, shot = control.Trebuchet(), control.trebuchet.Shot(*(jnp.array(x, float) for x in (wind, target, 0.0)))
    thrown = control.rollout(env, lambda observation: settings, shot, 1)
    control.animate(env, thrown, path, title=title)
