"""A step of a simulator as a function of one vector: its value and its Jacobian at many points, counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..._errors import SpanaxError
from ..._functions import Differentiated, at_many_points, canonical, takes_key

# What a step in plain Python or NumPy raises when JAX traces it.
_UNTRACED = (
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.ConcretizationTypeError,
)


class Values(NamedTuple):
    """At n points, in double precision: m outputs, and their derivatives by d inputs; None where there are none."""

    outputs: Float[np.ndarray, "n m"]
    slopes: Float[np.ndarray, "n m d"] | None


class Step:
    """`f(*args, key=key, **kwargs)`: the floating-point leaves of some arguments are the inputs, its floats the outputs.

    - `x`: the inputs; `input_names`, `output_names`: of each number; `is_random`: does f take a key?
    - `without`: why f has no derivative; "" where it has one. `on_host`: f is plain Python or NumPy.
    - `evaluations`: of f so far, with its derivative or without.
    """

    def __init__(self, f: Callable[..., Any], args: tuple, kwargs: dict, argnums: Any, where: str):
        at = Differentiated.of(f, args, kwargs, _positions(f, args, argnums), where)
        self.at, self.f, self.evaluations = at, f, 0
        self.paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(canonical((args, kwargs)))[0]]
        self.function = getattr(f, "__qualname__", None) or type(f).__name__
        if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in at.flat):
            raise SpanaxError("trust: arguments that are given by shape only cannot be moved", "arrays", where=where)
        self.leaves = [np.asarray(leaf) for leaf in at.leaves]
        self.x = _flat(self.leaves)
        self.input_names = _names(at.names, [np.shape(x) for x in self.leaves])
        self.is_single = isinstance(argnums, int)
        self.is_random = takes_key(f, args, kwargs)
        self.on_host, self.without = False, ""
        self.arrays, self.static = eqx.partition(list(at.flat), eqx.is_array)
        self._trace(where)

    def _trace(self, where: str) -> None:
        """The shapes of the outputs, and how the derivative is taken."""
        at_x, key = [jnp.asarray(x) for x in self.leaves], jax.random.key(0)
        try:
            out = jax.eval_shape(lambda x, key: self._call(x, self.arrays, key), at_x, key)
        except _UNTRACED:
            self.on_host, self.without = True, "it is not a JAX function"
            # Its outputs are known only when it runs.
            out = self._call(self.leaves, self.arrays, key)
            self.evaluations += 1
        paths, self.tree = jax.tree_util.tree_flatten_with_path(out)
        self.floats = [k for k, (_, leaf) in enumerate(paths) if _is_float(leaf)]
        self._describe([paths[k] for k in self.floats], where)
        self.jacobian = None if self.on_host else self._jacobian(at_x, key)
        self.compiled = eqx.filter_jit(self._at)

    def _describe(self, floats: Sequence[tuple[Any, Any]], where: str) -> None:
        """Names, shapes and precision of the outputs."""
        self.shapes = [np.shape(leaf) for _, leaf in floats]
        self.output_names = _names([_name(path) for path, _ in floats], self.shapes)
        if not self.output_names:
            raise SpanaxError(
                f"trust: {self.function} returns no floating-point number", "a step that returns its state", where=where
            )
        # Numbers of Python have no dtype.
        dtypes = [np.dtype(getattr(leaf, "dtype", float)) for _, leaf in floats]
        widths = [int(np.prod(shape)) for shape in self.shapes]
        self.dtype = jax.dtypes.canonicalize_dtype(np.result_type(*dtypes))
        # A result is no better than what it was made of.
        eps_of_inputs = max(self._eps(x.dtype) for x in self.leaves)
        self.eps = np.maximum(np.repeat([self._eps(d) for d in dtypes], widths), eps_of_inputs)

    def _eps(self, dtype: Any) -> float:
        # JAX computes in the precision that it is set to; NumPy in that of the arguments.
        return float(jnp.finfo(dtype if self.on_host else jax.dtypes.canonicalize_dtype(dtype)).eps)

    def _jacobian(self, x: Sequence[Array], key: Key[Array, ""]) -> Callable[..., Any] | None:
        """In forward or reverse mode, whichever is cheaper and works."""
        modes = [jax.jacfwd, jax.jacrev]
        # A `custom_vjp` has no forward mode, a while loop no reverse mode.
        for mode in modes if len(self.x) <= len(self.output_names) else modes[::-1]:
            try:
                jax.eval_shape(mode(lambda x: self._outputs(x, self.arrays, key)), list(x))
            # Whatever the rule of an operation raises: that there is no derivative is what is to be told.
            except Exception as error:
                self.without = next(iter(str(error).splitlines()), type(error).__name__)
            else:
                self.without = ""
                return mode
        return None

    def _call(self, leaves: Sequence[Any], arrays: list, key: Any) -> Any:
        flat = eqx.combine(arrays, self.static)
        given = self.at._replace(flat=tuple(flat))
        args, kwargs = given.rebuilt(leaves, {})
        return self.f(*args, **kwargs, **({"key": key} if self.is_random else {}))

    def _outputs(self, leaves: Sequence[Array], arrays: list, key: Any) -> list[Array]:
        out = jax.tree.leaves(self._call(leaves, arrays, key))
        return [jnp.ravel(jnp.asarray(out[k])) for k in self.floats]

    def _at(self, X: list[Array], keys: Array, arrays: list) -> Any:
        def one(leaves, key):
            outputs = self._outputs(leaves, arrays, key)
            if self.jacobian is None:
                return outputs, None
            return outputs, self.jacobian(lambda x: self._outputs(x, arrays, key))(leaves)

        return at_many_points(one, X, keys)

    def __call__(self, X: Float[np.ndarray, "n d"], keys: Key[Array, " n"]) -> Values:
        self.evaluations += len(X)
        if self.on_host:
            rows = [self._on_host(x, key) for x, key in zip(X, keys, strict=True)]
            return Values(np.stack(rows), None)
        outputs, slopes = self.compiled([jnp.asarray(x) for x in self.split(X)], keys, self.arrays)
        n = len(X)
        values = np.concatenate([np.asarray(y, float).reshape(n, -1) for y in outputs], 1)
        if slopes is None:
            return Values(values, None)

        def flat(slope):
            # By its own shape: of an output or input without elements -1 would not be known.
            return np.asarray(slope, float).reshape(n, slope.shape[1], math.prod(slope.shape[2:]))

        rows = [np.concatenate([flat(slope) for slope in row], 2) for row in slopes]
        return Values(values, np.concatenate(rows, 1))

    def _on_host(self, x: Float[np.ndarray, " d"], key: Any) -> Float[np.ndarray, " m"]:
        out = jax.tree.leaves(self._call([leaf[0] for leaf in self.split(x[None])], self.arrays, key))
        return np.concatenate([np.ravel(np.asarray(out[k], float)) for k in self.floats])

    def split(self, X: Float[np.ndarray, "n d"]) -> list[np.ndarray]:
        """Rows as the leaves: each in its own shape and dtype, with the leading axis of the rows."""
        sizes = np.cumsum([x.size for x in self.leaves])[:-1]
        parts = np.split(X, sizes, axis=1)
        return [p.reshape(len(X), *x.shape).astype(x.dtype) for p, x in zip(parts, self.leaves, strict=True)]

    def as_jacobian(self, J: Float[np.ndarray, "m d"]) -> Any:
        """As `jax.jacobian` returns it: of each output that of each argument, in a tuple if `argnums` is not one position.

        An output that is not a float has None, and so does a leaf of the arguments that is not.
        """
        rows = np.split(J, np.cumsum([int(np.prod(s)) for s in self.shapes])[:-1])
        leaves: list[Any] = [None] * self.tree.num_leaves
        for k, shape, row in zip(self.floats, self.shapes, rows, strict=True):
            columns = zip(self._columns(row), self.leaves, strict=True)
            parts = [jnp.asarray(np.reshape(c, (*shape, *x.shape)), self.dtype) for c, x in columns]
            given: list[Any] = [None] * len(self.at.flat)
            for place, part in zip(self.at.chosen, parts, strict=True):
                given[place] = part
            args, _ = jax.tree.unflatten(self.at.tree, given)
            of_args = tuple(args[i] for i in self.at.nums)
            leaves[k] = of_args[0] if self.is_single else of_args
        return jax.tree.unflatten(self.tree, leaves)

    def _columns(self, row: Float[np.ndarray, "m d"]) -> list[np.ndarray]:
        return np.split(row, np.cumsum([x.size for x in self.leaves])[:-1], axis=1)

    def argument(self, leaf: int) -> int:
        """The position of the argument that holds this leaf."""
        return int(self.paths[self.at.chosen[leaf]][1].idx)

    def of_vector(self) -> Callable[..., Any]:
        """f of the leaves and a key, for the finder of gaps."""
        return lambda *leaves, key: self._call(leaves, self.arrays, key)


def _positions(f: Callable[..., Any], args: tuple, argnums: Any) -> Any:
    """By default all arguments that hold floats: of a step the state and the action."""
    if argnums is not None:
        return argnums
    floats = [i for i, arg in enumerate(args) if any(map(_is_float, jax.tree.leaves(arg)))]
    return tuple(floats) or 0


def _is_float(x: Any) -> bool:
    dtype = getattr(x, "dtype", None)
    return isinstance(x, float) if dtype is None else bool(jnp.issubdtype(dtype, jnp.floating))


def _flat(leaves: Sequence[np.ndarray]) -> Float[np.ndarray, " d"]:
    return np.concatenate([np.ravel(x).astype(float) for x in leaves])


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path).removeprefix(".") or "the result"


def _names(leaves: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> tuple[str, ...]:
    """Of each number, such as "velocity[0, 1]"."""
    return tuple(
        name + (str(list(map(int, index))) if shape else "")
        for name, shape in zip(leaves, shapes, strict=True)
        for index in np.ndindex(*shape)
    )
