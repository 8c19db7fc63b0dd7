"""Does a class take a name of its base for something else? Asked when the class is made.

A field `truncated` (of a beam, a filter) would stand where methods of Spanax call `env.truncated(state)`, and a method without
`@property` be true whatever it returns.
"""

from __future__ import annotations

import inspect
from typing import Any

from .._errors import SpanaxError


def refuse_clashes(made: type, base: type) -> None:
    """Raises `SpanaxError` where `made`, a subclass of `base`, has a field or a value in the place of a method of it, or a method
    in the place of a property."""
    own = {**_annotations(made), **vars(made)}
    for name in own:
        inherited = inspect.getattr_static(base, name, None)
        # What Python and Equinox keep in every class is no name of ours.
        if name.startswith("_") or inherited is None:
            continue
        if isinstance(inherited, property):
            _check_property(made, name, base)
        elif callable(getattr(base, name)):
            _check_method(made, name, base)


def _check_property(made: type, name: str, base: type) -> None:
    # A field without a value would take the inherited property for its default, and then could not be set.
    if name not in vars(made):
        raise SpanaxError(
            f"{made.__name__}.{name} is a field without a default, and {base.__name__}.{name} a property",
            f"another name for the field, and a property {name} of {made.__name__} that returns what that is to be",
            f"if it is meant to be {base.__name__}.{name}: a default, {name} = ...",
        )
    if inspect.isroutine(getattr(made, name)):
        raise SpanaxError(
            f"{made.__name__}.{name} is a method, and {base.__name__}.{name} is a property", f"@property above {name}"
        )


def _check_method(made: type, name: str, base: type) -> None:
    value: Any = vars(made).get(name)
    # A function, or what a decorator has made of one: `jax.jit` and Equinox give objects.
    if name not in _annotations(made) and not isinstance(value, property) and _is_method(value):
        return
    what = "a property" if isinstance(value, property) else "a field or a value"
    raise SpanaxError(
        f"{made.__name__}.{name} is {what}, and {base.__name__}.{name} a method, which Spanax calls",
        "another name for it",
        f"def {name}{inspect.signature(getattr(base, name))}",
    )


def _is_method(value: Any) -> bool:
    return callable(value) or hasattr(value, "__get__")


def _annotations(made: type) -> dict[str, Any]:
    try:
        return inspect.get_annotations(made)
    # From Python 3.14 on they are evaluated here, and may name what is defined later.
    except NameError:
        return {}
