"""`blackbox`: a function of the host as one step of a traced program, with the derivative that its bridge gives."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import types
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Key

from .._checks import check_key, is_key_array
from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from .._jaxprs import defined, here
from .._pytree import PyTree
from ..bridges import Bounded, Bridge, Manual, Probing, Tuned
from ._bounds import bounds_of, check_bounds
from ._evaluation import evaluate
from ._host import Host
from ._request import takes_seed
from ._traced.crossing import Crossing
from ._traced.derivative import cross, tune
from ._traced.keys import seed_of
from ._traced.manual import pull_back_rows
from .check import Check, compare_with_changes
from .command.command import Command
from .stats import Stats
from .store.store import Store
from .workers.run import Run


def blackbox(
    fn: Callable[..., Any],
    out: PyTree[jax.ShapeDtypeStruct] | Callable[[Any], Any],
    *,
    via: Probing | Manual,
    batched: bool = False,
    noisy: bool = False,
    constant: bool = False,
    bounds: tuple[Any, Any] | None = None,
    run: Run | None = None,
    store: Store | None = None,
    name: str | None = None,
) -> BlackBox:
    """A function that JAX cannot see (a simulator, a legacy program, a metric) as one step of a differentiable program.

    The value is `fn(x)`, exactly; the derivative is that of the bridge `via`, whose `facts` say what it is unbiased for and how
    many evaluations it takes. A value with its derivative takes one evaluation more than that, in one call of the host; a bridge
    that chooses its step first (`FiniteDifference()`) makes a second call. Only leaves of x that are differentiated are probed.

    **Arguments:**

    - `fn`: `fn(x)` takes a pytree of NumPy arrays and returns one. It may not use JAX itself, which can deadlock.
    - `out`: the structure, shapes and dtypes of the result, as `jax.ShapeDtypeStruct`s, or a function of x that gives them,
      x being ShapeDtypeStructs as well. Results that are integers have no derivative, as in JAX: declare as floats what is
      to have one; fn's integers are converted.
    - `via`: the bridge: `Smoothing` (recommended for noisy functions and many parameters), `FiniteDifference` (few parameters),
      `SPSA`, or `Manual`, a derivative of your own.
    - `batched`: fn takes and returns arrays with a leading axis, one row for each point, and so all points at once. Axes
      mapped by vmap become rows as well.
    - `noisy`: fn gives different values at the same x. All evaluations of one call share a seed made from `key`, so that f is a
      function of x and `key`; fn gets it as `fn(x, seed=seed)` where it has a parameter `seed` (an integer, or with
      `batched` a list of one for each row). The store then keeps a value for each seed.
    - `constant`: fn may be constant where it is called: numbers of its result that are the same at all points, or differ in their
      last digits only, then have the derivative 0. Without it, that is an error (see below).
    - `bounds`: (lower, upper) of x, inclusive: numbers, or pytrees of x's structure with a number or an array for each leaf, None
      or infinite for no bound. fn is never evaluated outside them, neither to choose a step nor for the derivative, and an x
      outside them raises. Near a bound the derivative is one-sided: central `FiniteDifference` takes two points on the
      other side, also biased by O(step^2), forward goes backward; `SPSA` and `Smoothing` move the middle of their points
      away from the bound, by a step or 2 sigma at most, and `Smoothing` clips what would still go beyond: it is then unbiased
      for the slopes of the best linear fit to f at such points, and for the derivative at x biased by O(step) or O(sigma).
    - `run`: workers, timeouts, and what happens to points that fail. By default fn runs in this process.
    - `store`: keeps each evaluation on disk; none is made twice.
    - `name`: in messages and in the store; by default fn's own.

    **Returns:**

    A `BlackBox`, called as `f(x, key=key)`, which works under jit, grad, vmap, scan and among differentiable steps, in
    reverse and forward mode. `key` is for random bridges and noisy functions, and may be left out for others. Give each
    call a key of its own: two calls at the same x with the same key have the same random directions.

    **Raises:**

    - `SpanaxError` for arguments that do not fit. When the result is called: for points that fail (see `Run`), a missing
      key, an x without arrays. When it is differentiated: for a second derivative, for complex numbers, for a function that
      returns integers alone, and where the points do not show how f changes, so that the derivative would be 0 or rounding
      noise:
      - all numbers of the result are the same at x and at all points of the bridge, at every index of a vmap (one index
        may lie on a plateau while others do not). A few random points may all miss what f depends on: `SPSA` with fewer than 4
        samples raises only once calls in a row make that improbable (1e-4), `Smoothing(directions="coordinate")` with fewer
        pairs than coordinates never does;
      - at some vmap index a number differs by no more than 4 units in the last place, of its own type, of float32 held in
        float64, or of a decimal of 6 to 12 digits (what a program printed), and no other number of the result by more than
        that. So a stationary point is not an error where the curvature shows; a difference of 5 units is known to a tenth or so.

    All points of one vmap index are looked at together. So a number of x without an effect is not an error where others have one,
    nor is a number of the result that stays the same where others change: its derivative is taken to be 0.

    Float64 needs `jax.enable_x64`: without it x arrives as float32, which leaves few digits for differences. Inside jit, an
    error arrives as JAX's own, with this library's message in it. The compiler may leave out a call whose result nothing needs.

    >>> import jax, numpy as np, spanax as sx
    >>> def simulator(x):  # no JAX in it
    ...     return np.sum(np.asarray(x) ** 2)
    >>> f = sx.blackbox(simulator, jax.ShapeDtypeStruct((), float), via=sx.FiniteDifference(step=0.5))
    >>> value, slope = jax.jit(jax.value_and_grad(f))(jax.numpy.array([1.0, 2.0]))
    >>> print(value, slope)
    5.0 [2. 4.]
    >>> f.stats().evaluations
    5
    """
    _check_arguments(fn, out, via, constant, run, store)
    if bounds is not None:
        _check_bounds(bounds, via)
    shown, identity = _names(fn, name, store)
    # Read once here, and not at each evaluation.
    takes = noisy and takes_seed(fn)
    return BlackBox(via, Host(fn, out, shown, identity, run or Run(), store, batched, noisy, takes, constant, bounds))


class BlackBox(eqx.Module):
    """A function of the host with a derivative: `f(x, key=key)`. Made by `blackbox`.

    - `via`: the bridge that gives the derivative;
    - `host`: what evaluates the function, and counts; shared by all copies of this black box.

    Under `vmap` the points of all indices go to the host together, in one call.

    >>> import jax, jax.numpy as jnp, numpy as np, spanax as sx
    >>> f = sx.blackbox(lambda x: x**2, jax.ShapeDtypeStruct((), float), via=sx.FiniteDifference(step=0.5))
    >>> print(jax.vmap(jax.grad(f))(jnp.array([1.0, 2.0])), f.stats().calls)
    [2. 4.] 1
    """

    via: Bridge
    host: Host = eqx.field(static=True)

    def __call__(self, x: PyTree[Array], *, key: Key[Array, ""] | None = None) -> PyTree[Array]:
        """fn(x), of the structure, shapes and dtypes of `out`; see `blackbox`."""
        refuse_foreign(x)
        x, key = jax.tree.map(jnp.asarray, x), self._checked_key(key)
        crossing, arrays = self._crossing(x)
        return jax.tree.unflatten(crossing.result, cross(crossing, jax.tree.leaves(x), key, arrays))

    def evaluate(
        self, X: PyTree[Array], *, key: Key[Array, ...] | None = None
    ) -> tuple[PyTree[np.ndarray], Bool[np.ndarray, " n"]]:
        """fn at many points, without a derivative and outside of traced programs: for designs, scans and tables of one's own.

        **Arguments:**

        - `X`: a pytree of x's structure, with a leading axis of one row for each point.
        - `key`: for noisy functions: one key, from which each row gets a seed of its own, or an array of keys, one for each row.

        **Returns:**

        The results with that leading axis, and which of them there are: all, unless `Run(on_failure="drop")` left some out, whose
        rows are NaN.

        **Raises:** `SpanaxError` for rows that do not fit together, and for points that fail, as a call does.

        >>> import jax, numpy as np, spanax as sx
        >>> f = sx.blackbox(np.sum, jax.ShapeDtypeStruct((), float), via=sx.FiniteDifference(step=0.5))
        >>> f.evaluate(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32))
        (array([3., 7.], dtype=float32), array([ True,  True]))
        """
        crossing, rows, seeds = self._rows(X, key)
        results, kept = evaluate(self.host, crossing.rows_request(len(rows[0])), [*rows, *seeds])
        return jax.tree.unflatten(crossing.result, results), kept

    def pull_back(
        self, X: PyTree[Array], Y: PyTree[Array], ct: PyTree[Array], *, key: Key[Array, ...] | None = None
    ) -> PyTree[np.ndarray]:
        """The derivative of <ct, f> in each row, by the user's own derivative: for black boxes with `Manual`.

        `X`, `key` as in `evaluate`, `Y` its results; `ct` has Y's structure and rows. Raises `SpanaxError` without `Manual`, and
        where the derivative fails.
        """
        if not isinstance(self.via, Manual):
            raise SpanaxError(
                f"the black box {self.host.name!r} has no derivative of its own", "via=sx.Manual(vjp=...)"
            )
        crossing, rows, seeds = self._rows(X, key)
        arrays = [
            [jnp.asarray(leaf) for leaf in leaves] for leaves in (rows, jax.tree.leaves(Y), seeds, jax.tree.leaves(ct))
        ]
        slopes = pull_back_rows(crossing, self.via, *arrays)
        return jax.tree.unflatten(crossing.tree, [np.asarray(slope) for slope in slopes])

    def _rows(self, X: PyTree[Array], key: Any) -> tuple[Crossing, list[np.ndarray], list[np.ndarray]]:
        """The static part of a call with these rows, the rows, and a seed for each where fn is noisy."""
        refuse_foreign(X)
        X = jax.tree.map(lambda leaf: np.asarray(jnp.asarray(leaf)), X)
        lengths = {leaf.shape[:1] for leaf in jax.tree.leaves(X)}
        if len(lengths) != 1 or lengths <= {(), (0,)}:
            raise SpanaxError(
                f"rows of x with the leading axes {sorted(lengths)}", "one row for each point, in every array"
            )
        (n,) = lengths.pop()
        crossing, _ = self._crossing(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), X))
        return crossing, jax.tree.leaves(X), self._seeds_of_rows(key, n)

    def _seeds_of_rows(self, key: Any, n: int) -> list[np.ndarray]:
        if not self.host.noisy:
            return []
        keys = key if key is not None and np.shape(key)[:1] == (n,) and is_key_array(key) else None
        if keys is None:
            keys = jax.random.split(self._checked_key(key), n)
        return [np.asarray(jax.vmap(seed_of)(keys))]

    def fitted(self, x: PyTree[Array], *, key: Key[Array, ""] | None = None) -> BlackBox:
        """The same black box with its bridge's step chosen, at x, once for all derivatives to come.

        It shares counts, store and workers with this one.
        """
        if not isinstance(self.via, Tuned):
            return self
        refuse_foreign(x)
        x, key = jax.tree.map(jnp.asarray, x), self._checked_key(key)
        via = tune(self._crossing(x)[0], self.via, jax.tree.leaves(x), key)
        return BlackBox(via, self.host)

    def between(self, bounds: tuple[Any, Any]) -> BlackBox:
        """The same black box, counts and store included, with these bounds of x in the place of its own."""
        _check_bounds(bounds, self.via)
        return BlackBox(self.via, dataclasses.replace(self.host, bounds=bounds))

    def check(self, x: PyTree[Array], *, key: Key[Array, ""], directions: int = 32, draws: int = 8) -> Check:
        """How well the bridge's derivative at x predicts the change of f in random directions; see `Check`."""
        return compare_with_changes(self, x, key, directions, draws)

    def stats(self) -> Stats:
        """What it has done so far, in this process, and why points failed; `print` shows it in words."""
        return self.host.counter.total()

    def __repr__(self):
        return f"BlackBox({self.host.name!r}, via={self.via!r})"

    def _checked_key(self, key: Any) -> Any:
        if key is not None:
            check_key(key)
        # Without a key every call would have the same noise, and an average over calls would not converge.
        elif self.host.noisy:
            raise SpanaxError(f"the noisy black box {self.host.name!r} without a key", "f(x, key=key)")
        return key

    def _crossing(self, x: PyTree[Array]) -> tuple[Crossing, Any]:
        """The static part of a call, and the arrays of the bridge."""
        leaves, tree = jax.tree.flatten(x)
        if not leaves:
            raise SpanaxError(
                f"the black box {self.host.name!r} of an x without arrays", "an array, or a pytree of them"
            )
        out = self.host.out
        if callable(out):
            out = out(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), x))
            _check_out(out)
        # At tracing time already: inside the compiled program the message would be one of JAX's.
        if isinstance(self.host.fn, Command):
            self.host.fn.check(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), x))
        # A bridge may hold arrays (a step, a surrogate's weights): they are operands of the equation, so that they may be traced;
        # all else is static.
        outs, result = jax.tree.flatten(out)
        arrays, via = eqx.partition(self.via, eqx.is_array)
        bounds = None if self.host.bounds is None else bounds_of(self.host.bounds, leaves, tree)
        return Crossing(self.host, tree, result, tuple(map(_canonical, outs)), via, here(), bounds), arrays


def _canonical(out: Any) -> jax.ShapeDtypeStruct:
    """In the precision that JAX has now."""
    return jax.ShapeDtypeStruct(out.shape, jax.dtypes.canonicalize_dtype(out.dtype))


def _check_arguments(fn: Any, out: Any, via: Any, constant: Any, run: Any, store: Any) -> None:
    if not callable(fn):
        raise SpanaxError(f"blackbox(fn={fn!r})", "a function of NumPy arrays")
    if not isinstance(via, Probing | Manual):
        raise SpanaxError(
            f"blackbox(via={via!r}), which is not a bridge of a black box",
            "sx.Smoothing(sigma=0.1, pairs=16)",
            "sx.FiniteDifference()",
            "sx.SPSA(step=0.1, samples=16)",
            "sx.Manual(vjp=...)",
        )
    if not isinstance(constant, bool):
        raise SpanaxError(f"blackbox(constant={constant!r})", "True", "False")
    # A function `out` is asked at each call, when the shapes of x are known.
    if not callable(out):
        _check_out(out)
    if not isinstance(run, Run | None):
        raise SpanaxError(f"blackbox(run={run!r})", "sx.Run(executor=sx.processes(4), timeout=60)")
    if not isinstance(store, Store | None):
        raise SpanaxError(f"blackbox(store={store!r})", 'sx.Store("runs.db", version="1")')


def _check_bounds(bounds: Any, via: Any) -> None:
    check_bounds(bounds)
    # `Manual` has no points of its own; any other bridge has to say how it keeps them inside, or fn would be run out of bounds.
    if not isinstance(via, Bounded | Manual):
        problem = f"blackbox(bounds=...) with {via!r}, which does not say how its points stay inside"
        own = "a bridge derived from sx.bridges.Bounded, with a method within(box)"
        raise SpanaxError(problem, "sx.FiniteDifference(), sx.Smoothing(...) or sx.SPSA(...)", own)


def _check_out(out: Any) -> None:
    leaves = jax.tree.leaves(out)
    if not leaves or not all(hasattr(leaf, "shape") and hasattr(leaf, "dtype") for leaf in leaves):
        raise SpanaxError(
            f"blackbox(out={out!r})",
            "jax.ShapeDtypeStruct((3,), float), or a pytree of them, one for each array that fn returns",
            "a function of the shapes of x that gives them",
        )


def _names(fn: Callable, name: str | None, store: Store | None) -> tuple[str, str]:
    """The name in messages, and one that tells functions apart in the store."""
    if name is not None:
        if not isinstance(name, str) or not name:
            raise SpanaxError(f"blackbox(name={name!r})", 'name="solver"')
        return name, name
    own = getattr(fn, "__qualname__", None)
    shown = own or type(fn).__name__
    if store is not None and not _has_own_name(fn):
        raise SpanaxError(
            f"{shown} has no name of its own, by which the store could tell its evaluations from others'",
            'sx.blackbox(..., name="solver")',
            "a function defined at the top of a module",
            where=defined(fn) or here(),
        )
    return shown, f"{_module(fn)}.{shown}"


def _has_own_name(fn: Callable) -> bool:
    """Does its qualified name mean this function only?"""
    # Two lambdas, two closures of one factory (`make.<locals>.f`) or one method of two objects share a name, and would be given
    # each other's evaluations. A built-in function is bound to its module, which has no state of its own.
    own, bound = getattr(fn, "__qualname__", None), getattr(fn, "__self__", None)
    return own is not None and "<" not in own and (bound is None or isinstance(bound, types.ModuleType))


def _module(fn: Callable) -> str:
    """Of a script the file's name, so that the store finds its rows whether the script runs or is imported."""
    name = getattr(fn, "__module__", None) or ""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return pathlib.Path(file).stem if name == "__main__" and file else name
