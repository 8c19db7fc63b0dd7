"""A lifted program, traced and compiled once for each form of its arguments and each state of what it reads beside them.

The derivative is compiled with the value, in one program: `jax.grad` of a program that was compiled already would compile it
again.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_whole
from .._errors import SpanaxError
from .._jaxprs import defined
from ._derivatives.unreached import careful
from ._effort import Tuned
from ._guard import UnknownStateError, state_of
from ._python import calls, hooks
from ._session import RaisedError, Session, under
from ._values.values import LiftedArray, Number, Value, as_jax


class Outcome(eqx.Module):
    """The result of a run, and the number of the first fault, 0 if there was none."""

    # A pytree, so that `jax.jit` returns it: the parts that are not arrays are static, known when it is traced.

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


# Part of the key of compiled programs, which must be hashable: an object that is not is told apart by its identity.
class Static:
    """A static argument as part of a key: equal to that of the same object, or of an equal immutable one."""

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


class LiftedProgram:
    """A function with its options, and its compiled forms.

    `derive`: "gradient" for the derivatives alone, "both" for the value as well, "" for the value.
    """

    def __init__(self, function: Callable, max_iterations: int, recursive: bool, derive: str = ""):
        check_whole("max_iterations", max_iterations)
        self.function, self.max_iterations, self.recursive, self.derive = function, max_iterations, recursive, derive
        self.entries: dict[Any, list[_Entry]] = {}
        self.counting: set[Any] = set()  # types of arguments whose integers are counts

    def __call__(self, args: tuple, kwargs: dict, *, ints: str = "static", nums: tuple[int, ...] = ()) -> Outcome:
        """`ints="float"`: Python's ints are traced, as real numbers. `nums`: the arguments that are differentiated."""
        form, inputs = _form(args, kwargs, ints, nums)
        # The state of the world is compared, not hashed: arrays are, by their contents, and objects by identity.
        entries = self.entries.setdefault(form, [])
        for entry in entries:
            if _same_state(entry):
                return entry.compiled(inputs)
        return self.compile(form, inputs, entries)

    def scalar(self, args: tuple, kwargs: dict, ints: str, nums: tuple[int, ...]) -> tuple[Callable, list]:
        """The value as a function of the numbers that are differentiated, and these numbers."""
        form, inputs = _form(args, kwargs, ints, nums)
        moves = _is_moving(form, inputs)
        run, place = self._as_function(form, {}), _place(self.function)

        def value(*chosen: Any) -> jax.Array:
            return scalar_of(run(_fill(inputs, moves, chosen)), place)

        return value, [jnp.asarray(x) for x, moving in zip(inputs, moves, strict=True) if moving]

    def compile(self, form: _Form, inputs: list, entries: list) -> Outcome:
        """Compiles the program for arguments of this form, runs it, and keeps it for this state of the world."""
        functions: dict[int, Any] = {}
        # Which functions it lifts is known only after it was traced, which the first run does: their globals are looked at then.
        run = self._as_function(form, functions)
        if self.derive:
            run = functools.partial(_with_gradients, run, form, _place(self.function), self.derive)
        compiled = Tuned(run)
        outcome = compiled(inputs)
        lifted = list(functions.values())
        try:
            objects = [self.function, *(s.value for s in form.static)]
            entries.append(_Entry(compiled, lifted, objects, state_of(lifted, objects, keep=True)))
        except (
            UnknownStateError
        ):  # it reads what cannot be compared with later: never used again, rather than used wrongly
            pass
        del entries[:-_STATES]
        return outcome

    def _as_function(self, form: _Form, functions: dict[int, Any]) -> Callable[[list], Outcome]:
        """The program as a function of its traced inputs; adds the functions that it lifts to `functions`."""

        @careful
        def run(inputs: list) -> Outcome:
            rest, numbers = iter(form.static), iter(inputs)
            leaves = [next(rest).value if kind is None else _Later(next(numbers), kind) for kind in form.kinds]
            outcome, session = traced_run(self, *jax.tree.unflatten(form.tree, leaves))
            functions.update(session.functions)
            return outcome

        return run


class _Form(NamedTuple):
    """What tells compiled programs apart. Shapes and dtypes are not part of it: `jax.jit` tells those apart itself."""

    tree: Any
    kinds: tuple  # what each leaf stands for, None for a static one
    static: tuple[Static, ...]
    nums: tuple[int, ...]  # the positional arguments that are differentiated


def _form(args: tuple, kwargs: dict, ints: str, nums: tuple[int, ...]) -> tuple[_Form, list]:
    """The form of the arguments, and their traced leaves."""
    leaves, tree = jax.tree.flatten((args, kwargs))
    dynamic = [_is_dynamic(x, ints) for x in leaves]
    static = tuple(Static(x) for x, d in zip(leaves, dynamic, strict=True) if not d)
    inputs = [_dynamic(x) for x, d in zip(leaves, dynamic, strict=True) if d]
    return _Form(tree, tuple(map(_kind, leaves, dynamic)), static, nums), inputs


def _is_moving(form: _Form, inputs: list) -> list[bool]:
    """Which of the traced leaves are differentiated: those in the arguments `nums` that are real or complex."""
    # By the trees of the arguments, not by names: a leaf's position says which argument it belongs to.
    positional, named = form.tree.children()
    chosen = [i in form.nums for i, arg in enumerate(positional.children()) for _ in range(arg.num_leaves)]
    chosen += [False] * named.num_leaves
    traced = [c for c, kind in zip(chosen, form.kinds, strict=True) if kind is not None]
    return [c and jnp.issubdtype(jnp.asarray(x).dtype, jnp.inexact) for c, x in zip(traced, inputs, strict=True)]


def _fill(inputs: list, moves: list[bool], chosen: Iterable[Any]) -> list:
    """The inputs, with `chosen` in the places of those that are differentiated."""
    numbers = iter(chosen)
    return [next(numbers) if moving else x for x, moving in zip(inputs, moves, strict=True)]


_STATES = 4  # compiled programs of one form, for different states of the world
_ONE = threading.RLock()


def traced_run(program: LiftedProgram, args: tuple, kwargs: dict) -> tuple[Outcome, Session]:
    """Runs the function on values while JAX traces. One thread at a time: it writes objects that others may see, and
    undoes that."""
    # NumPy's promotion, whatever the caller has set for JAX: the program was written for NumPy.
    with _ONE, under(Session(hooks.LiftRules(), program.max_iterations, program.recursive)) as now:
        now.place, now.only_derived = _place(program.function), bool(program.derive)
        args, kwargs = jax.tree.map(lambda x: x() if isinstance(x, _Later) else x, (args, kwargs))
        with now.block(), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            try:
                result = calls.start(program.function, args, kwargs)
            # It was raised outside all branches, so in every run: the program's own error, as it is.
            except RaisedError as error:
                raise error.error from None
            result = hooks.final_result(result)
            leaves, tree = jax.tree.flatten(result)
            rest = tuple((i, Static(x)) for i, x in enumerate(leaves) if not _is_number(x))
            arrays = [as_jax(x) for x in leaves if _is_number(x)]
            code = jnp.asarray(now.fault.code, jnp.int32)
    return Outcome(arrays, code, tree, rest, tuple(now.fault.messages)), now


def _with_gradients(run: Callable, form: _Form, where: str, derive: str, inputs: list) -> Outcome:
    """The outcome, with the derivatives of its value with respect to the numbers that are differentiated."""
    moves = _is_moving(form, inputs)

    def value(chosen: list) -> tuple[jax.Array, Outcome]:
        outcome = run(_fill(inputs, moves, chosen))
        return scalar_of(outcome, where), outcome

    gradients, outcome = jax.grad(value, has_aux=True)([x for x, moving in zip(inputs, moves, strict=True) if moving])
    leaves = (
        outcome.leaves if derive == "both" else []
    )  # XLA drops what no result needs: the value alone costs nothing then
    has_nan = functools.reduce(jnp.logical_or, (jnp.isnan(x).any() for x in gradients), jnp.asarray(False))
    return dataclasses.replace(outcome, leaves=leaves, gradients=gradients, has_nan=has_nan)


def scalar_of(outcome: Outcome, where: str) -> jax.Array:
    """The value of the outcome; raises `SpanaxError` unless it is one real number."""
    if len(outcome.leaves) != 1 or outcome.rest or outcome.leaves[0].size != 1:
        # Not only that it is wrong but what it is: most often an array of one number for each point.
        forms = [f"an array of shape {x.shape}" if x.ndim else "a number" for x in outcome.leaves]
        forms += [repr(x.value) for _, x in outcome.rest]
        raise SpanaxError(
            f"a gradient is that of one number; the function returns {', '.join(forms) or 'None'}",
            "one number: a sum, a mean, or one part of the result",
            "jax.jacobian(sx.lift(f))",
            where=where,
        )
    leaf = outcome.leaves[0].reshape(
        ()
    )  # an array of one element counts as a number, as NumPy's `sum(keepdims=True)` gives it
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
        raise SpanaxError(
            "a gradient is that of a real number; the function returns a complex one", ".real, or abs()", where=where
        )
    return leaf if jnp.issubdtype(leaf.dtype, jnp.inexact) else jnp.asarray(leaf, float)


def _place(function: Any) -> str:
    return defined(function) if isinstance(function, (types.FunctionType, types.MethodType)) else ""


class _Later:
    """A value of the program that can only be made inside its session."""

    # A `LiftedArray` asks the session's clock when it is made, and arguments are flattened before there is one.

    def __init__(self, data: jax.Array, kind: Any):
        self.data, self.kind = data, kind

    def __call__(self) -> Any:
        if self.kind is np.ndarray or self.data.ndim:
            return LiftedArray(self.data)
        number = Number(self.data, self.kind if self.kind in (float, complex) else float if self.kind is int else None)
        number.declared = int if self.kind is int else None
        return number


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
    # A weakly typed scalar is what JAX makes of a Python float: it promotes as one.
    if isinstance(x, jax.Array) and getattr(jax.typeof(x), "weak_type", False) and not x.ndim and x.dtype.kind == "f":
        return float
    return np.ndarray if isinstance(x, np.ndarray) else np.generic


def _dynamic(x: Any) -> Any:
    return jnp.asarray(x, float) if type(x) is int else x


def _same_state(entry: _Entry) -> bool:
    # Something new in its world may be incomparable where the old was not: that is a change, too.
    try:
        return state_of(entry.functions, entry.objects) == entry.state
    except UnknownStateError:
        return False
