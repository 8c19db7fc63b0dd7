"""All that a fit leaves: the network, what it was trained on, and the evidence. Static in traced programs."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..._errors import SpanaxError
from .data import Data, Scale
from .jumps import Jump, measured_again
from .network import Ensemble, Single, with_dtype
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
        return _mean(self.network, u)

    def members(self, U: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k m"]:
        """Of many points, standardised."""
        return np.asarray(_many(self.network, jnp.asarray(U, float)), np.float64)

    def predict(self, U: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n m"]:
        return np.mean(self.members(U), axis=1)

    def line(self, U: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n m"]:
        """The prediction in units of y, but for the mean."""
        return self.predict(U) * self.scale.sd

    def along(self, U: Float[np.ndarray, "n d"], move: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n m"]:
        """The change that the gradient at U predicts for a move, standardised."""
        return np.asarray(_pushed(self.network, jnp.asarray(U, float), jnp.asarray(move, float)), np.float64)

    def jumps_again(self) -> Fitted:
        """With the widths over which this network smooths the jumps that are known."""
        jumps = tuple(measured_again(jump, self.line) for jump in self.evidence.jumps)
        return dataclasses.replace(self, evidence=dataclasses.replace(self.evidence, jumps=jumps))


def _mean(network: Any, u: Float[Array, " d"]) -> Float[Array, " m"]:
    return jnp.mean(with_dtype(network, u.dtype).members(u), axis=0)


# Compiled for the form of a network, not for each one of that form.
@eqx.filter_jit
def _many(network: Any, U: Float[Array, "n d"]) -> Float[Array, "n k m"]:
    return jax.vmap(with_dtype(network, U.dtype).members)(U)


@eqx.filter_jit
def _pushed(network: Any, U: Float[Array, "n d"], move: Float[Array, "n d"]) -> Float[Array, "n m"]:
    return jax.vmap(lambda u, v: jax.jvp(lambda u: _mean(network, u), (u,), (v,))[1])(U, move)


def fit(name: str, space: Space, form: Form, data: Data, evidence: Evidence, model: Any, key: Key) -> Fitted:
    """Trains on what is not held out. `model`: None, a module of the user's, or the network of an earlier fit to go on from."""
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
    table = trained.U, scale.z(trained.Y), slope, trained.output
    if model is None or isinstance(model, Ensemble):
        # In single precision the ridge would have to be so strong that the gradient is off by several times as much.
        with jax.enable_x64(True):
            start = None if model is None else model.hidden
            network: Any = train_ensemble(key, rows(*table, dtype=jnp.float64), start, name)
    else:
        module = model.module if isinstance(model, Single) else model
        network = train_module(module, form.size, rows(*table, 1, dtype=jnp.result_type(float)), name)
    frozen = jax.tree.map(lambda x: np.asarray(x) if eqx.is_array(x) else x, network)
    return Fitted(name, space, form, scale, frozen, data, evidence)
