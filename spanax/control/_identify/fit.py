"""The data as a problem of least squares, in windows, of which some are held out."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from ..._errors import SpanaxError
from ..env import Env
from .episodes import Episode, read
from .estimate import Estimate, estimate, warm_up
from .parameters import Parameters
from .prediction import Prediction, predict
from .shooting import Model, Problem, Simulator
from .solve import Bounds
from .starts import guesses
from .windows import cut, default_length, held_out, stack

# Steps of the windows that give the parameters to start from.
_WARM_UP = 5


class Fit:
    """Windows of the data, with guesses of their first `states`. `held`: which of them are held out."""

    def __init__(self, env: Env, data: Any, fields: Parameters, window: int | None, key: Key[Array, ""]):
        self.fields, self.key, example = fields, key, env.reset(key)
        episodes, by_states = read(env, data, example)
        if not episodes:
            raise SpanaxError("the data have no step between two measurements", "longer episodes")
        self.model = Model(Simulator(env, example, by_states), fields.names, fields.shapes)
        measured = np.concatenate([episode.measured for episode in episodes])
        self.spread = np.std(measured, 0)
        # What never changes is compared in its own unit, and predicts nothing.
        self.scale = np.where(self.spread > 0, self.spread, 1.0)
        self.steps = default_length(episodes) if window is None else window
        self.pieces = cut(episodes, self.steps)
        self.held = held_out(len(self.pieces))
        self.problem, self.states = self._problem(self.pieces, ~self.held)

    def _problem(self, pieces: list[Episode], counted: np.ndarray) -> tuple[Problem, np.ndarray]:
        windows, simulator = stack(pieces), self.model.simulator
        states = guesses(simulator, windows, jnp.asarray(self.scale, simulator.dtype), self.key)
        vectors, others = jax.vmap(simulator.split)(states)
        return Problem(self.model, windows, others, windows.valid & counted[:, None]), np.asarray(vectors, np.float64)

    def estimate(self, bounds: Bounds) -> Estimate:
        theta = self.fields.vector
        if len(theta) and self.steps > _WARM_UP:
            # Over short windows there are few other minima. Those that are held out have no part in this either.
            short = cut([piece for piece, held in zip(self.pieces, self.held, strict=True) if not held], _WARM_UP)
            theta = warm_up(*self._problem(short, np.ones(len(short), bool)), theta, self.scale, bounds)
        return estimate(self.problem, theta, self.states, self.scale, bounds, self.fields.labels)

    def predict(self, model: Model, theta: np.ndarray, noise: np.ndarray) -> Prediction:
        """Of the windows that are held out, by this model."""
        return predict(self.problem.of(model), theta, self.states, noise, self.spread, self.held)
