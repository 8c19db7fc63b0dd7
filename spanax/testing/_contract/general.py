"""What holds for every bridge: facts, words, and being a value like any other."""

from __future__ import annotations

import copy
import dataclasses
import io
import pickle
import random
import re
import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ...bridges import Branching, Bridge, Facts, Local, Manual, Probing, Score, Step
from ..report import NotApplicable, require

KINDS = (Local, Score, Branching, Step, Probing, Manual)


def checks(bridge: Bridge) -> dict[str, Callable[[], None]]:
    return {
        "kind": lambda: _kind(bridge),
        "facts are complete": lambda: _facts(bridge),
        "docstring": lambda: _docstring(bridge),
        "source": lambda: _source(bridge),
        "repr": lambda: _repr(bridge),
        "repr evaluates": lambda: _evaluates(bridge),
        "pytree": lambda: _pytree(bridge),
        "hashable structure": lambda: _hashable(bridge),
        "argument of jit": lambda: _argument_of_jit(bridge),
        "pickle": lambda: _pickle(bridge),
        "copy": lambda: require(same(copy.deepcopy(bridge), bridge), "a deep copy differs from it"),
        "immutable": lambda: _immutable(bridge),
    }


def _kind(bridge):
    # The base class alone says nothing of how the bridge is used.
    names = ", ".join(kind.__name__ for kind in KINDS)
    require(isinstance(bridge, KINDS), f"{type(bridge).__name__} derives from none of {names}")


def _facts(bridge):
    facts = bridge.facts
    require(isinstance(facts, Facts), f"facts is a {type(facts).__name__}, not a spanax.bridges.Facts")
    for name in ("unbiased_for", "evaluations", "distributions", "source"):
        text = getattr(facts, name)
        require(isinstance(text, str) and text.strip(), f"facts.{name} is {text!r}, not a text")
    require(isinstance(facts.unbiased, bool), f"facts.unbiased is {facts.unbiased!r}, not True or False")
    orders = facts.orders
    # True is an int, and would read as order 1.
    counted = isinstance(orders, int) and not isinstance(orders, bool) and orders >= 1
    require(orders is None or counted, f"facts.orders is {orders!r}: None (every order), 1 or more")


def _docstring(bridge):
    doc = (type(bridge).__dict__.get("__doc__") or "").strip()
    # Its gradient is the one thing that a user has to know of a bridge, and no signature says it.
    written = doc and not doc.startswith(f"{type(bridge).__name__}(")  # that one is made by dataclasses
    require(written, f"{type(bridge).__name__} has no docstring that says what its gradient is")


def _source(bridge):
    text = f"{type(bridge).__doc__} {bridge.facts.source}"
    # A year, an address, or a definition of one's own: what a reader can look up.
    cited = re.search(r"\b(1[89]|20)\d\d\b|https?://|\bdefinition\b", text)
    require(cited, "neither the docstring nor facts.source names a paper (with its year), a URL, or 'by definition'")


def _repr(bridge):
    text = repr(bridge)
    require(text.startswith(f"{type(bridge).__name__}(") and text.endswith(")"), f"repr is {text!r}: not a call")
    for given in _functions(bridge):  # whose names are the user's affair
        text = text.replace(repr(given), "").replace("<lambda>", "")
    require(not re.search(r"0x[0-9a-f]{4}|<|\n", text), f"repr is {text!r}: with an address or more than a line")


def _evaluates(bridge):
    """Where its settings are plain values, the text is the bridge again."""
    parts = list(_parts(bridge))
    if _functions(bridge) or any(map(eqx.is_array, parts)):
        raise NotApplicable("it holds arrays or functions, which its repr cannot spell")
    names = {type(part).__name__: type(part) for part in parts if isinstance(part, eqx.Module)}
    again = eval(repr(bridge), {**names, "inf": np.inf, "nan": np.nan})
    require(same(again, bridge), f"{bridge!r}, evaluated, is another bridge: {again!r}")


def _parts(value: Any):
    """It, and all that its fields hold, at any depth."""
    yield value
    if isinstance(value, eqx.Module):
        inside = [getattr(value, field.name) for field in dataclasses.fields(value)]
    else:
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for part in inside:
        yield from _parts(part)


def _functions(bridge: Bridge) -> list[Any]:
    """What the user gave it to call."""
    return [part for part in _parts(bridge) if callable(part) and not isinstance(part, eqx.Module)]


def same(a: Any, b: Any) -> bool:
    leaves_a, tree_a = jax.tree.flatten(a)
    leaves_b, tree_b = jax.tree.flatten(b)
    return tree_a == tree_b and all(np.array_equal(x, y) for x, y in zip(leaves_a, leaves_b, strict=True))


def _pytree(bridge):
    leaves, tree = jax.tree.flatten(bridge)
    require(same(jax.tree.unflatten(tree, leaves), bridge), "flattened and unflattened, it is another bridge")
    wrong = [x for x in leaves if not eqx.is_array_like(x)]
    require(not wrong, f"its leaves hold {wrong!r}: no number or array; make that a static field")


def _hashable(bridge):
    try:
        hash(jax.tree.structure(bridge))
    except TypeError as error:
        require(False, f"a static field cannot be hashed, as jit needs it: {error}")


def _argument_of_jit(bridge):
    # A class that is not a registered pytree would be refused, or come out as its parts.
    back = jax.jit(lambda b: b)(bridge)
    require(repr(type(back)) == repr(type(bridge)), "it comes out of jit as something else")


class _Pickler(pickle.Pickler):
    """Its class and its functions by reference to this process: what is defined inside a function has no name to be found by."""

    def __init__(self, file: io.BytesIO, known: list[Any]):
        super().__init__(file)
        self.known = known

    def persistent_id(self, obj: Any) -> int | None:
        return next((i for i, own in enumerate(self.known) if obj is own), None)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, known: list[Any]):
        super().__init__(file)
        self.known = known

    def persistent_load(self, pid: int) -> Any:
        return self.known[pid]


def _pickle(bridge):
    file, known = io.BytesIO(), [type(bridge), *_functions(bridge)]
    try:
        _Pickler(file, known).dump(bridge)
        back = _Unpickler(io.BytesIO(file.getvalue()), known).load()
    except Exception as error:
        require(False, f"it cannot be pickled: {error}")
    else:
        require(same(back, bridge), "pickled and loaded, it is another bridge")


def _immutable(bridge):
    try:
        # jit caches by value: a bridge that changes would be compiled once and then be ignored.
        bridge.spanax_testing = 1
    except Exception:
        return
    require(False, "it can be changed: an attribute was set. Equinox modules refuse that; do not override __setattr__")


def require_unchanged(bridge: Bridge, fields: tuple[list[Any], Any]) -> None:
    leaves, tree = jax.tree.flatten(bridge)
    alike = tree == fields[1] and all(map(np.array_equal, leaves, fields[0]))
    require(alike, "a field of it changed while it was used: what changes is to be an argument, or returned")


def settings() -> tuple[Any, ...]:
    """What no check may leave changed: JAX's configuration, the warning filters, NumPy's and Python's random state."""
    # Compared by value: a check that reseeds NumPy changes what a user's program draws next.
    name, *numpy_state = np.random.get_state()
    return (
        tuple(sorted((k, repr(v)) for k, v in jax.config.values.items())),
        tuple(map(repr, warnings.filters)),
        (name, *(x.tobytes() if isinstance(x, np.ndarray) else x for x in numpy_state)),
        random.getstate(),
    )
