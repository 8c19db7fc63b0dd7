"""A lifted program, traced and compiled once for each form of its arguments and each state of what it reads beside them."""

from __future__ import annotations

import dataclasses
import functools
import threading
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import SpanaxError
from .._jaxprs import defined
from ._derivatives.unreached import careful
from ._effort import Tuned
from ._guard import UnknownStateError, state_of
from ._python import calls, hooks
from ._session import RaisedError, Session, under
from ._values.values import Array, Number, Value, as_jax


class Outcome(eqx.Module):
    """What a run gives: the result, and which fault came first, 0 for none."""

    leaves: list
    code: jax.Array
    tree: Any = eqx.field(static=True)
    rest: tuple = eqx.field(static=True)  # leaves that are no arrays, as (place, value)
    messages: tuple = eqx.field(static=True)
    gradients: list = eqx.field(default_factory=list)  # one for each traced argument with a derivative
    has_nan: Any = False  # do the gradients hold NaN?

    @property
    def result(self) -> Any:
        leaves = list(self.leaves)
        for place, value in self.rest:
            leaves.insert(place, value.value)
        return jax.tree.unflatten(self.tree, leaves)


class Static:
    """A value that tells programs apart: equal where it is the same object, or an equal immutable one."""

    def __init__(self, value: Any):
        self.value = value

    def _token(self) -> Any:
        value = self.value
        return (type(value), value) if isinstance(value, (str, bytes, bool, int, float, complex)) else id(value)

    def __hash__(self):
        return hash(self._token())

    def __eq__(self, other):
        return isinstance(other, Static) and self._token() == other._token()


@dataclass
class _Entry:
    compiled: Callable
    functions: list  # those that were lifted, whose surroundings are looked at
    objects: list  # static arguments, and what a bound method belongs to
    state: Any


class Program:
    """A function with its options, and its compiled forms.

    `derive`: "gradient" for the derivatives alone, "both" for the value as well, "" for the value.
    """

    def __init__(self, function: Callable, max_iterations: int, recursive: bool, derive: str = ""):
        if not callable(function):
            raise SpanaxError(f"lift() takes a function, not {function!r}", "sx.lift(f)(x)")
        if isinstance(max_iterations, bool) or not isinstance(max_iterations, int) or max_iterations < 1:
            raise SpanaxError(f"max_iterations is a whole number from 1 up, not {max_iterations!r}")
        self.function, self.max_iterations, self.recursive, self.derive = function, max_iterations, recursive, derive
        self.entries: dict[Any, list[_Entry]] = {}
        self.counts: dict[Any, bool] = {}  # forms of arguments whose integers are counts

    def __call__(self, args: tuple, kwargs: dict, *, ints: str = "static") -> Outcome:
        """`ints="float"`: Python's ints are traced, as numbers with a derivative."""
        form, given = _form(args, kwargs, ints)
        entries = self.entries.setdefault(form, [])
        for entry in entries:
            if _same_state(entry):
                return entry.compiled(given)
        return self.traced(form, given, entries)

    def scalar(self, args: tuple, ints: str) -> tuple[Callable, list]:
        """The value as a function of the numbers with a derivative, and these."""
        form, given = _form(args, {}, ints)
        inexact = [jnp.issubdtype(x.dtype, jnp.inexact) for x in map(jnp.asarray, given)]
        run, place = self._run(form, {}), _place(self.function)

        def value(*chosen: Any) -> jax.Array:
            numbers = iter(chosen)
            return scalar_of(run([next(numbers) if d else x for x, d in zip(given, inexact, strict=True)]), place)

        return value, [jnp.asarray(x) for x, d in zip(given, inexact, strict=True) if d]

    def _run(self, form: Any, functions: dict[int, Any]) -> Callable[[list], Outcome]:
        """The program as a function of the numbers given; `functions` is told which are lifted."""
        tree, kinds, static = form

        @careful
        def run(given: list) -> Outcome:
            rest, numbers = iter(static), iter(given)
            leaves = [next(rest).value if kind is None else _value(next(numbers), kind) for kind in kinds]
            outcome, session = traced_run(self, *jax.tree.unflatten(tree, leaves))
            functions.update(session.functions)
            return outcome

        return run

    def traced(self, form: Any, given: list, entries: list) -> Outcome:
        functions: dict[int, Any] = {}
        run, static = self._run(form, functions), form[2]
        compiled = Tuned(
            functools.partial(_with_gradients, run, _place(self.function), self.derive) if self.derive else run
        )
        outcome = compiled(given)
        found = list(functions.values())
        try:
            objects = [self.function, *(s.value for s in static)]
            entries.append(_Entry(compiled, found, objects, state_of(found, objects, keep=True)))
        except UnknownStateError:
            pass
        del entries[:-4]
        return outcome


def _form(args: tuple, kwargs: dict, ints: str) -> tuple[Any, list]:
    """What tells programs apart, and the numbers that are given."""
    leaves, tree = jax.tree.flatten((args, kwargs))
    dynamic = [_is_dynamic(x, ints) for x in leaves]
    static = tuple(Static(x) for x, d in zip(leaves, dynamic, strict=True) if not d)
    return (tree, tuple(map(_kind, leaves, dynamic)), static), [
        _dynamic(x) for x, d in zip(leaves, dynamic, strict=True) if d
    ]


_ONE = threading.RLock()


def traced_run(program: Program, args: tuple, kwargs: dict) -> tuple[Outcome, Session]:
    """The function on values, in a traced program. One at a time: it writes objects of the world, and takes that back."""
    with _ONE, under(Session(hooks.Rules(), program.max_iterations, program.recursive)) as now:
        now.place, now.only_derived = _place(program.function), bool(program.derive)
        args, kwargs = jax.tree.map(lambda x: x() if isinstance(x, _Later) else x, (args, kwargs))
        with now.block(), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            try:
                result = calls.start(program.function, args, kwargs)
            except RaisedError as error:
                raise error.error from None
            result = hooks.returned(result)
            leaves, tree = jax.tree.flatten(result)
            rest = tuple((i, Static(x)) for i, x in enumerate(leaves) if not _is_number(x))
            arrays = [as_jax(x) for x in leaves if _is_number(x)]
            code = jnp.asarray(now.fault.code, jnp.int32)
    return Outcome(arrays, code, tree, rest, tuple(now.fault.messages)), now


def _with_gradients(run: Callable, where: str, derive: str, given: list) -> Outcome:
    """The outcome, with the derivatives of its value by all numbers given."""
    inexact = [jnp.issubdtype(x.dtype, jnp.inexact) for x in given]

    def value(chosen: list) -> tuple[jax.Array, Outcome]:
        numbers = iter(chosen)
        outcome = run([next(numbers) if d else x for x, d in zip(given, inexact, strict=True)])
        return scalar_of(outcome, where), outcome

    gradients, outcome = jax.grad(value, has_aux=True)([x for x, d in zip(given, inexact, strict=True) if d])
    leaves = outcome.leaves if derive == "both" else []  # what is not asked for is not computed
    has_nan = functools.reduce(jnp.logical_or, (jnp.isnan(x).any() for x in gradients), jnp.asarray(False))
    return dataclasses.replace(outcome, leaves=leaves, gradients=gradients, has_nan=has_nan)


def scalar_of(outcome: Outcome, where: str) -> jax.Array:
    """The value, which is to be one real number."""
    if len(outcome.leaves) != 1 or outcome.rest or outcome.leaves[0].size != 1:
        forms = [f"an array of shape {x.shape}" if x.ndim else "a number" for x in outcome.leaves]
        forms += [repr(x.value) for _, x in outcome.rest]
        raise SpanaxError(
            f"a gradient is that of one number; the function returns {', '.join(forms) or 'None'}",
            "one number: a sum, a mean, or one part of the result",
            "jax.jacobian(sx.lift(f))",
            where=where,
        )
    leaf = outcome.leaves[0].reshape(())
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
        raise SpanaxError(
            "a gradient is that of a real number; the function returns a complex one", ".real, or abs()", where=where
        )
    return leaf if jnp.issubdtype(leaf.dtype, jnp.inexact) else jnp.asarray(leaf, float)


def _place(function: Any) -> str:
    return defined(function) if isinstance(function, (types.FunctionType, types.MethodType)) else ""


class _Later:
    """A value that is made once the session has begun."""

    def __init__(self, data: jax.Array, kind: Any):
        self.data, self.kind = data, kind

    def __call__(self) -> Any:
        if self.kind is np.ndarray or self.data.ndim:
            return Array(self.data)
        number = Number(self.data, self.kind if self.kind in (float, complex) else float if self.kind is int else None)
        number.declared = int if self.kind is int else None
        return number


def _value(data: jax.Array, kind: Any) -> _Later:
    return _Later(data, kind)


def _is_number(x: Any) -> bool:
    return isinstance(x, (Value, bool, int, float, complex, np.generic, jax.Array, np.ndarray))


def _is_dynamic(x: Any, ints: str) -> bool:
    if isinstance(x, (jax.Array, float, complex)):
        return True
    if isinstance(x, int) and not isinstance(x, bool):
        return ints == "float"
    return isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind in "biufc"


def _kind(x: Any, dynamic: bool) -> Any:
    """What a traced argument stands for: a Python number, an array or a NumPy scalar; None for a static one."""
    if not dynamic:
        return None
    if type(x) in (float, int, complex):
        return type(x)
    if isinstance(x, jax.Array) and getattr(jax.typeof(x), "weak_type", False) and not x.ndim and x.dtype.kind == "f":
        return float
    return np.ndarray if isinstance(x, np.ndarray) else np.generic


def _dynamic(x: Any) -> Any:
    return jnp.asarray(x, float) if type(x) is int else x


def _same_state(entry: _Entry) -> bool:
    try:
        return state_of(entry.functions, entry.objects) == entry.state
    except UnknownStateError:
        return False
