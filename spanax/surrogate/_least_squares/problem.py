"""The residuals as a function of a vector, whitened, with their Jacobian: what the loop sees of a program.

Value and Jacobian come from one linearisation: a black box then sends x and all its probes to the host in one call, whatever
the number of residuals.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import SpanaxError
from ..._functions import at_many_points, needs_key, takes_key
from ..._pytree import PyTree
from ...blackbox import BlackBox
from ...blackbox.discover import discover
from ...bridges import FiniteDifference, Manual
from .vector import Form

Key = Any


class Probed(NamedTuple):
    """Residuals [n] and their Jacobian [n, p], whitened; with a leading axis where several keys were asked for."""

    r: np.ndarray
    J: np.ndarray


@dataclasses.dataclass(eq=False)
class Problem:
    """Residuals of a vector of parameters.

    - `f(tree, key)`: the residuals, a pytree of floats, differentiable;
    - `form`: of x; `out`: shapes and dtypes of the residuals;
    - `box`: the black box in it whose evaluations are counted, if it is one;
    - `noisy`: another key gives other values; `is_random`: another key gives another Jacobian;
    - `whiten`, `raw`: to residuals whose squares are added, and back.
    """

    f: Callable[[Any, Key], Any]
    form: Form
    out: PyTree[jax.ShapeDtypeStruct]
    box: BlackBox | None
    noisy: bool
    is_random: bool
    whiten: Callable[[np.ndarray], np.ndarray] = lambda r: r
    raw: Callable[[np.ndarray], np.ndarray] = lambda r: r
    # Of a JAX function nobody else counts. A first evaluation that no store keeps is made twice.
    own_count: int = 0
    failed: int = 0

    def __post_init__(self):
        self._before = self._counted()

    @property
    def evaluations(self) -> int:
        """Values that were asked for so far; those that the store had are among them, so that a resumed run counts alike."""
        return self._counted() - self._before + self.own_count

    @property
    def resolution(self) -> float:
        """The relative spacing of the numbers of x and of the residuals, the coarser of the two."""
        return max(self.form.resolution, *(float(jnp.finfo(out.dtype).eps) for out in jax.tree.leaves(self.out)))

    @property
    def count(self) -> int:
        """How many residuals there are."""
        return sum(out.size for out in jax.tree.leaves(self.out))

    def rounded(self, x: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
        """The nearest vector between the bounds that x can hold."""
        return self.form.rounded(np.clip(x, lower, upper))

    def value(self, x: np.ndarray, key: Key) -> np.ndarray | None:
        """The residuals; None where their evaluation failed, after all attempts of `Run`."""
        before = self._failures()
        try:
            r = self._flat(self.f(self._tree(x), key))
        except SpanaxError:
            # Any other error is one of the program or of the store, and another step would not help.
            if self._failures() == before:
                raise
            r = None
        if self.box is None:
            self.own_count += 1
        if r is not None and np.all(np.isfinite(r)):
            return self.whiten(r)
        self.failed += 1
        return None

    def probe(self, x: np.ndarray, key: Key) -> Probed:
        """Residuals and Jacobian at x. Raises `SpanaxError` where either is not finite."""
        r, J = self._linearised(self._tree(x), key)
        if self.box is None:
            self.own_count += 1
        return self._whitened(self._flat(r), self._columns(J))

    def probe_many(self, x: np.ndarray, keys: Key) -> Probed:
        """`probe` with each of the keys, in one call of the host."""
        tree = self._tree(x)
        r, J = at_many_points(lambda key: self._linearised(tree, key), keys)
        if self.box is None:
            self.own_count += len(keys)
        each = [self._whitened(self._flat(_row(r, i)), self._columns(_row(J, i))) for i in range(len(keys))]
        return Probed(np.stack([e.r for e in each]), np.stack([e.J for e in each]))

    def values(self, x: np.ndarray, keys: Key) -> np.ndarray | None:
        """The residuals with each of the keys, [keys, n], in one call of the host; None where one of them failed."""
        tree, before = self._tree(x), self._failures()
        try:
            r = at_many_points(lambda key: self.f(tree, key), keys)
        except SpanaxError:
            if self._failures() == before:
                raise
            return None
        if self.box is None:
            self.own_count += len(keys)
        rows = np.stack([self._flat(_row(r, i)) for i in range(len(keys))])
        return np.stack([self.whiten(row) for row in rows]) if np.all(np.isfinite(rows)) else None

    def _linearised(self, tree: PyTree[Any], key: Key) -> tuple[Any, Any]:
        """The residuals and, in rows, their tangents along each number of x."""
        r, along = jax.linearize(lambda x: self.f(x, key), tree)
        # The identity in x's structure: row i of all leaves together is the i-th unit vector.
        rows, start = [], 0
        for shape, dtype in zip(self.form.shapes, self.form.dtypes, strict=True):
            size = int(np.prod(shape))
            rows.append(jnp.eye(self.form.size, size, -start, dtype).reshape(self.form.size, *shape))
            start += size
        return r, jax.vmap(along)(jax.tree.unflatten(self.form.tree, rows))

    def _tree(self, x: np.ndarray) -> PyTree[Any]:
        return jax.tree.map(jnp.asarray, self.form.unflatten(x))

    def _flat(self, r: PyTree[Any]) -> np.ndarray:
        return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(r)])

    def _columns(self, J: PyTree[Any]) -> np.ndarray:
        """[n, p] of tangents whose leading axis is p."""
        rows = [np.asarray(leaf, np.float64).reshape(self.form.size, -1) for leaf in jax.tree.leaves(J)]
        return np.concatenate(rows, axis=1).T

    def _whitened(self, r: np.ndarray, J: np.ndarray) -> Probed:
        for name, array in (("residuals", r), ("Jacobian", J)):
            if not np.all(np.isfinite(array)):
                bad = int(np.sum(~np.isfinite(array)))
                raise SpanaxError(
                    f"least_squares: {bad} of {array.size} numbers of the {name} are not finite",
                    "bounds=..., within which the program has values",
                    "sx.Run(on_failure='drop'), for probes that may fail",
                )
        return Probed(self.whiten(r), self.whiten(J))

    def _counted(self) -> int:
        return 0 if self.box is None else _asked(self.box)

    def _failures(self) -> int:
        return 0 if self.box is None else self.box.stats().failures


def _asked(box: BlackBox) -> int:
    """How many points have been asked for, evaluated or not."""
    stats = box.stats()
    return stats.evaluations + stats.hits + stats.failures


def _row(tree: PyTree[Any], i: int) -> PyTree[Any]:
    return jax.tree.map(lambda leaf: leaf[i], tree)


def make_problem(
    residuals: Any, x0: PyTree[Any], form: Form, via: Any, key: Key, options: Mapping[str, Any]
) -> Problem:
    """The problem of a JAX function (`via` is None), a `BlackBox`, or a function of NumPy, with its `options` of `blackbox`."""
    x0 = jax.tree.map(jnp.asarray, x0)
    is_box = isinstance(residuals, BlackBox)
    if is_box or via is None:
        _refuse_options(residuals, options)
    if is_box and via is None:
        via = residuals.via
    if via is None:
        return _of_jax(residuals, x0, form, key)
    box = discover(residuals, x0, via=via, key=key, **({} if is_box else options))
    # The evaluation that found the form of the result is made again, unless a store has it.
    twice = int(not is_box and options["store"] is None)
    call = lambda x, k: box(x, key=k)  # noqa: E731
    out = _shapes(call, x0, key)
    before = _asked(box)
    # A step that is chosen by many evaluations is chosen once, and not for each Jacobian.
    box = box.fitted(x0, key=key)
    # Another key gives other probes: a bridge that is not known not to draw is taken for one that does.
    is_random = box.host.noisy or not isinstance(via, FiniteDifference | Manual)
    chosen = _asked(box) - before
    return Problem(lambda x, k: box(x, key=k), form, out, box, box.host.noisy, is_random, own_count=twice + chosen)


def _refuse_options(residuals: Any, options: Mapping[str, Any]) -> None:
    """A black box has them already, and a JAX function has no use for them."""
    given = [name for name, value in options.items() if value not in (None, False)]
    if isinstance(residuals, BlackBox):
        if given:
            problem = f"least_squares({given[0]}=...) of a black box, which has its own"
            raise SpanaxError(problem, f"sx.blackbox(..., {given[0]}=...)")
    elif given := [name for name in given if name != "bounds"]:
        problem = f"least_squares({given[0]}=...) with via=None: residuals that JAX differentiates have no use for it"
        raise SpanaxError(problem, "via=sx.FiniteDifference(), or another bridge, for a function of NumPy")


def _of_jax(f: Callable, x0: PyTree[Any], form: Form, key: Key) -> Problem:
    random = key is not None and takes_key(f, (x0,), {})
    if key is None and needs_key(f, (x0,), {}):
        raise SpanaxError("least_squares of residuals that take a key", "key=jax.random.key(0)")
    call = (lambda x, k: f(x, key=k)) if random else (lambda x, k: f(x))
    return Problem(call, form, _shapes(call, x0, key), None, random, random)


def _shapes(call: Callable, x0: PyTree[Any], key: Key) -> PyTree[jax.ShapeDtypeStruct]:
    try:
        out = jax.eval_shape(lambda x: call(x, key), x0)
    except jax.errors.JAXTypeError as error:
        raise SpanaxError(
            "least_squares(residuals, via=None): JAX cannot follow the residuals, which are no program of JAX",
            "via=sx.FiniteDifference(), or another bridge, for a function of NumPy",
            "jax.numpy in place of NumPy",
        ) from error
    leaves = jax.tree.leaves(out)
    if not leaves or not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        kinds = ", ".join(str(leaf.dtype) for leaf in leaves) or "nothing"
        raise SpanaxError(f"least_squares: residuals must be floats, and they are {kinds}", "an array of floats")
    return out
