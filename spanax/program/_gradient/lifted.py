"""The gradient of a plain Python and NumPy function: lifted, differentiated and compiled in one program, which is kept."""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Callable
from typing import Any

import jax

from .._compiled import LiftedProgram, Outcome
from .._derivatives.nan_gradients import without_nan
from ..lift import checked_result
from .arguments import Differentiated, integers_as_floats, place_gradients

_KEPT = 8  # programs of one function: bound to different objects, or with different options

_PROGRAMS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def derive_lifted(call: Differentiated, max_iterations: int, derive: str, nan: str) -> tuple[Any, Any]:
    """The value, None unless `derive` is "both", and the gradients."""
    if nan == "raise" and call.is_traced:
        derive = "both"  # whether NaN is wrong is decided when the program runs, by its value
    # With `derive` as a part of its key: a gradient alone is another compiled program than one with its value.
    program = _program_of(call.f, max_iterations, derive)
    outcome, ints = _run_lifted(program, call)
    leaves, gradients = checked_result((outcome.leaves, outcome.gradients), outcome)
    value = leaves[0] if leaves else None
    if nan == "raise":
        again = functools.partial(program.scalar, call.args, call.kwargs, ints, call.nums)
        gradients = without_nan(value, gradients, outcome.has_nan, call.f, again)
    return None if value is None else call.plain_value(value), place_gradients(call, gradients, ints)


def _program_of(f: Callable, max_iterations: int, derive: str) -> LiftedProgram:
    """That of an earlier call with the same function."""
    # A bound method is made anew each time that it is looked up: its function and its object tell it apart.
    owner = getattr(f, "__self__", None) if isinstance(f, types.MethodType) else None
    function = f.__func__ if isinstance(f, types.MethodType) else f
    try:
        programs = _PROGRAMS.setdefault(function, {})
    except TypeError:  # no weak reference, or not hashable
        return LiftedProgram(f, max_iterations, True, derive)
    name = id(owner), max_iterations, derive
    if name not in programs:
        programs[name] = LiftedProgram(f, max_iterations, True, derive)
        # Bound methods of objects that are gone stay here until others push them out: the oldest go first.
        for old in list(programs)[:-_KEPT]:
            del programs[old]
    return programs[name]


def _run_lifted(program: LiftedProgram, call: Differentiated) -> tuple[Outcome, str]:
    """With integers as numbers that have a derivative or, where the program counts with them, as they are."""
    # All of the call's integers, also those that are not differentiated: a traced integer is not compiled in, so that a step
    # number which changes from call to call does not trace the program anew.
    kinds = tuple(type(x) for x in jax.tree.leaves((call.args, call.kwargs)))
    has_integers = int in kinds and kinds not in program.counting
    outcome, ints = integers_as_floats(
        lambda ints: program(call.args, call.kwargs, ints=ints, nums=call.nums), has_integers
    )
    if has_integers and ints == "static":
        program.counting.add(kinds)
    return outcome, ints
