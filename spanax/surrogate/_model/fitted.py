"""All that a fit leaves: the network, what it was trained on, and the evidence. Static in traced programs."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..._errors import SpanaxError
from .data import Data, Scale
from .jumps import Jump, measured_again
from .network import Ensemble, Single
from .probing import Probes
from .source import Form
from .space import Space
from .training import rows, train_ensemble, train_module


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What was measured of fn, apart from what is trained on. `noise`: its standard deviation, (m,); `probed`: whether the
    probes were evaluated, or taken from a table; `region`: lower and upper corner of the last box refined in."""

    probes: Probes
    jumps: tuple[Jump, ...]
    noise: Float[np.ndarray, " m"]
    evaluations: int
    failures: int
    probed: bool
    refinements: int = 0
    region: Float[np.ndarray, "2 d"] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """`network` has arrays of NumPy, which no transformation of JAX sees."""

    name: str
    space: Space
    form: Form
    scale: Scale
    network: Any
    data: Data
    evidence: Evidence

    def mean(self, u: Float[Array, " d"]) -> Float[Array, " m"]:
        """The standardised result, in u's precision."""
        return jnp.mean(self._members(u), axis=0)

    def _members(self, u: Float[Array, " d"]) -> Float[Array, "k m"]:
        cast = jax.tree.map(lambda x: jnp.asarray(x, u.dtype) if eqx.is_inexact_array(x) else x, self.network)
        return cast.members(u)

    def members(self, U: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k m"]:
        """Of many points, standardised."""
        return np.asarray(self._many(jnp.asarray(U, float)), np.float64)

    def predict(self, U: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n m"]:
        return np.mean(self.members(U), axis=1)

    def along(self, U: Float[np.ndarray, "n d"], move: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n m"]:
        """The change that the gradient at U predicts for a move, standardised."""
        return np.asarray(self._pushed(jnp.asarray(U, float), jnp.asarray(move, float)), np.float64)

    @functools.cached_property
    def _many(self) -> Any:
        return jax.jit(jax.vmap(self._members))

    @functools.cached_property
    def _pushed(self) -> Any:
        return jax.jit(jax.vmap(lambda u, v: jax.jvp(self.mean, (u,), (v,))[1]))

    def jumps_again(self) -> Fitted:
        """With the widths over which this network smooths the jumps that are known."""
        line = lambda rows: self.predict(rows) * self.scale.sd
        jumps = tuple(measured_again(jump, line) for jump in self.evidence.jumps)
        return dataclasses.replace(self, evidence=dataclasses.replace(self.evidence, jumps=jumps))


def fit(name: str, space: Space, form: Form, data: Data, evidence: Evidence, model: Any, key: Key) -> Fitted:
    """Trains on what is not held out. `model`: None, a module of the user's, or the network of an earlier fit to go on from."""
    dtype = jnp.result_type(float)
    trained = data.where(~data.held)
    scale = Scale.of(trained.Y, form.dtypes, form.sizes)
    if np.all(scale.constant):
        raise SpanaxError(
            f"{name} has the same value at all {len(trained.U)} points of the design: there is no gradient to learn",
            "bounds within which it changes",
            "no surrogate, if it is meant to be constant",
        )
    slope = trained.slope / scale.sd[trained.output][:, None]
    slope = np.where(scale.constant[trained.output][:, None], np.nan, slope)
    known = model is None or isinstance(model, Ensemble)
    table = rows(trained.U, scale.z(trained.Y), slope, trained.output, *(() if known else (1,)), dtype=dtype)
    if known:
        network: Any = train_ensemble(key, table, None if model is None else model.hidden, name)
    else:
        module = model.module if isinstance(model, Single) else model
        network = train_module(module, form.size, table, name)
    frozen = jax.tree.map(lambda x: np.asarray(x) if eqx.is_array(x) else x, network)
    return Fitted(name, space, form, scale, frozen, data, evidence)
