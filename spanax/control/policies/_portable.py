"""A network and its bridge as plain data, from which they are made again: for pickles, and for files without pickle.

Activation functions of JAX do not pickle (they are compiled functions, found under another name than their own), so they
are named instead. Only names of this file's tables are looked up, and only bridges of `spanax.bridges` are made: data from
somebody else can do no more than choose among them.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._errors import SpanaxError
from ...bridges import (
    Componentwise,
    DisARM,
    Enumerate,
    GumbelSoftmax,
    LeaveOneOut,
    Pathwise,
    Perturbed,
    ReinMax,
    ScoreFunction,
    Soft,
    StraightThrough,
)

# Of jax.numpy, which has more functions than activations.
_NUMPY = frozenset("sin cos tan arctan arcsinh sinh exp abs absolute square sign tanh".split())

# Those that a policy can have. A table, and not the names of a module: data from somebody else can name no other class.
_KINDS = (
    *(Pathwise, ScoreFunction, Enumerate, LeaveOneOut, DisARM, Componentwise),
    *(GumbelSoftmax, StraightThrough, ReinMax, Soft, Perturbed),
)
_BRIDGES: dict[Any, Any] = {kind.__name__: kind for kind in _KINDS}


class MLP(NamedTuple):
    """What makes an `equinox.nn.MLP` with these weights. `activation`: its name, or the function itself where it has none."""

    # Inputs, outputs, width and depth, as `equinox.nn.MLP` takes them.
    sizes: tuple[Any, Any, int, int]
    activation: Any
    weights: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, network: Any) -> MLP | None:
        """None for a network that its sizes and activation do not determine."""
        if type(network) is not eqx.nn.MLP:
            return None
        sizes = network.in_size, network.out_size, network.width_size, network.depth
        # A final activation, or a layer that was replaced, has another structure than what the sizes make.
        made = cls(sizes, name_of(network.activation) or network.activation, ())
        if jax.tree.structure(made.skeleton()) != jax.tree.structure(network):
            return None
        return made._replace(weights=tuple(map(np.asarray, arrays_of(network))))

    def skeleton(self) -> eqx.nn.MLP:
        """The network without its numbers."""
        activation: Any = function_of(self.activation) if isinstance(self.activation, str) else self.activation
        # Under `eval_shape` no weights are drawn.
        return eqx.filter_eval_shape(lambda: eqx.nn.MLP(*self.sizes, activation, key=jax.random.key(0)))

    def network(self) -> eqx.nn.MLP:
        return with_arrays(self.skeleton(), self.weights)


def pickled(policy: Any) -> dict[str, Any]:
    """The fields of a policy, for `unpickled`: a compiled activation does not pickle, so networks go as what makes them."""
    fields = {field.name: getattr(policy, field.name) for field in dataclasses.fields(policy)}

    def is_network(x):
        return isinstance(x, eqx.nn.MLP)

    return {name: jax.tree.map(_made, value, is_leaf=is_network) for name, value in fields.items()}


def _made(x: Any) -> Any:
    return (MLP.of(x) or x) if isinstance(x, eqx.nn.MLP) else x


def unpickled(kind: type, fields: dict[str, Any]) -> Any:
    # As Equinox itself makes modules of leaves: the constructor would draw new weights.
    policy = object.__new__(kind)

    def is_made(x):
        return isinstance(x, MLP)

    for name, value in fields.items():
        again = jax.tree.map(lambda x: x.network() if isinstance(x, MLP) else x, value, is_leaf=is_made)
        object.__setattr__(policy, name, again)
    return policy


def _is_array(x: Any) -> bool:
    return eqx.is_array(x) or isinstance(x, jax.ShapeDtypeStruct | np.ndarray)


def arrays_of(tree: Any) -> list[Any]:
    """Its leaves that are arrays, of JAX or NumPy."""
    return [x for x in jax.tree.leaves(tree) if _is_array(x)]


def with_arrays(tree: Any, arrays: Iterable[np.ndarray]) -> Any:
    """The tree with these arrays in the place of its own, in order, as JAX arrays except where it has NumPy's."""
    rest = iter(arrays)
    return jax.tree.map(
        lambda x: (next(rest) if isinstance(x, np.ndarray) else as_jax(next(rest))) if _is_array(x) else x, tree
    )


def as_jax(array: np.ndarray) -> Array:
    """The array in JAX, of the same dtype; raises `SpanaxError` where JAX does not have it now."""
    converted = jnp.asarray(array)
    # Rounded to float32, it would be another policy.
    if converted.dtype != array.dtype:
        raise SpanaxError(
            f"a policy in {array.dtype}, and JAX computes in {converted.dtype} now",
            "jax.config.update('jax_enable_x64', True), before anything is computed",
        )
    return converted


def name_of(function: Any) -> str | None:
    """A name that `function_of` knows, of this very function."""
    # `jax.nn.tanh` is `jnp.tanh` under another name: the first that is the very same function.
    name = getattr(function, "__name__", "")
    names = (f"{module}.{name}" for module in ("jax.nn", "jax.numpy"))
    return next((full for full in names if function_of(full) is function), None)


def function_of(name: str) -> Any:
    """The function of `jax.nn`, or one of those of `jax.numpy` that a network may use; None for any other name."""
    module, _, own = name.rpartition(".")
    if module == "jax.nn" and own.isidentifier() and not own.startswith("_"):
        function = getattr(jax.nn, own, None)
        return function if callable(function) else None
    return getattr(jnp, own) if module == "jax.numpy" and own in _NUMPY else None


def describe_bridge(via: Any) -> Any:
    """A bridge of `spanax.bridges`, with numbers and other such bridges in its fields, as JSON; `TypeError` for another."""
    if via is None or isinstance(via, bool | int | float | str):
        return via
    name = type(via).__name__
    if _BRIDGES.get(name) is not type(via):
        raise TypeError(f"{via!r} is not one of spanax.bridges")
    description = {
        "bridge": name,
        "fields": {f.name: _describe_field(getattr(via, f.name)) for f in dataclasses.fields(via)},
    }
    if jax.tree.structure(bridge_of(description)) != jax.tree.structure(via):
        raise TypeError(f"{via!r} holds what its fields do not say")
    return description


def _describe_field(value: Any) -> Any:
    # A constructor may convert its argument: "auto" becomes an object, whose repr is what the user wrote.
    try:
        return describe_bridge(value)
    except TypeError:
        try:
            return ast.literal_eval(repr(value))
        except (ValueError, SyntaxError):
            raise TypeError(f"{value!r} is not plain data") from None


def bridge_of(description: Any) -> Any:
    """The inverse of `describe_bridge`; raises `TypeError` for what it cannot have written."""
    if not isinstance(description, dict):
        return description
    kind = _BRIDGES.get(description.get("bridge"))
    if kind is None:
        raise TypeError(f"there is no bridge {description.get('bridge')!r} of draws or hard operations")
    return kind(**{name: bridge_of(field) for name, field in description["fields"].items()})
