"""Where in the user's code an equation comes from, and the name of the draw that it belongs to."""

from __future__ import annotations

import functools
import linecache
import os
import re
import sysconfig
from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox
import jax

from ._jaxprs import Frame, JaxprEqn, frames

JAX = os.path.dirname(jax.__file__) + os.sep
_EQUINOX = os.path.dirname(equinox.__file__) + os.sep
SPANAX = os.path.dirname(__file__) + os.sep
_LIFTED = os.path.join(SPANAX, "program") + os.sep  # compiles programs of the user's, under their own lines
_LIBRARIES = tuple(
    {
        JAX,
        SPANAX,
        _EQUINOX,
        *(sysconfig.get_paths()[name] + os.sep for name in ("purelib", "platlib", "stdlib", "platstdlib")),
    }
)
# The worked problems are programs as users write them: their draws and lines are named as a user's are.
_GALLERY = os.path.join(SPANAX, "gallery") + os.sep
_TRACER = os.path.join(SPANAX, "gaps", "_analysis", "traced.py")  # what called it is not part of the program


class Place(NamedTuple):
    """An expression of the user's code. `through`: the library functions that it called on the way, outermost first."""

    file: str
    span: tuple[int, int, int, int]
    through: tuple[tuple[str, str], ...]  # (file, qualified name)
    function: str = ""

    @property
    def expression(self) -> tuple:
        return self.file, self.span

    @property
    def line(self) -> int:
        return self.span[0]

    @property
    def source(self) -> str:
        return linecache.getline(self.file, self.line).strip()


def place(eqn: JaxprEqn, own: Callable[[Frame], bool], compiled: bool) -> Place | None:
    """The expression of the innermost frame that is `own` code; None if there is none.

    `compiled`: the equation stands in the compiled program of a library function.
    """
    inside: list[Frame] = []
    stack = frames(eqn)
    # JAX caches such programs, sometimes with the lines of their first caller. Its own frames end where it began to trace, so a
    # stack that goes further out belongs to that first caller and not to this one.
    if compiled and stack and not stack[-1].file.startswith((JAX, _EQUINOX)):
        return None
    for frame in stack:
        if frame.file == _TRACER:
            break
        if own(frame):
            through = ((f.file, f.function) for f in reversed(inside) if not f.function.startswith("api_boundary."))
            return Place(frame.file, frame.span, tuple(through), frame.function)
        inside.append(frame)
    return None


def is_called(place: Place | None, function: str) -> bool:
    """Did the user call that library function by name? Yes, if it cannot be known."""
    return place is None or not place.through or place.through[0][1] == function


def is_choice(place: Place) -> bool:
    """Is a `cond` there the user's own: written as one, or an `if` of a lifted program?"""
    return is_called(place, "cond") or is_called(place, "switch") or place.through[0][0].startswith(_LIFTED)


def is_library_file(file: str) -> bool:
    return file.startswith(_LIBRARIES) and not file.startswith(_GALLERY)


def is_library_program(file: str) -> bool:
    """Is the function of a compiled program in that file a library's?"""
    return is_library_file(file) and not file.startswith(_LIFTED)


def is_users(frame: Frame) -> bool:
    return not is_library_file(frame.file) and not _is_generated(frame)


def is_not_jax(frame: Frame) -> bool:
    """For a program that consists of a library's code only."""
    return not frame.file.startswith((JAX, SPANAX)) and not _is_generated(frame)


_GENERATED = ("__init__", "__eq__", "__repr__", "__hash__", "__create_fn__", "__setattr__")


def _is_generated(frame: Frame) -> bool:
    """Is it a method that dataclasses or the import machinery generated?"""
    # Code that a person types at a prompt has the same file name, "<string>": the name of the function decides.
    return frame.file.startswith("<frozen") or (frame.file == "<string>" and frame.function.endswith(_GENERATED))


# -- draws

# Classes of numpyro that draw by another distribution: the innermost one on the stack is what the user calls it.
_WRAPPERS = frozenset(
    "Distribution ExpandedDistribution Independent MaskedDistribution TransformedDistribution".split()
)
_NUMPYRO = re.compile(r"^_*(\w+?)(?:Logits|Probs)?\.(?:r?sample\w*|__call__)$")


def consumes_randomness(eqns: Sequence[JaxprEqn]) -> bool:
    return any("key<" in str(v.aval) for e in eqns for v in e.invars)


def draw_name(place: Place, eqns: Sequence[JaxprEqn]) -> str | None:
    """The distribution, such as "Bernoulli", if a sampler of `jax.random` or of numpyro made these equations."""
    for file, function in place.through:
        match = _NUMPYRO.match(function) if f"{os.sep}numpyro{os.sep}" in file else None
        if match and match[1] not in _WRAPPERS:
            return match[1]
    # A sampler inside a jit has left its name in the equation, not on the stack.
    names = [function for file, function in place.through if file.startswith(JAX)]
    names += [str(e.params.get("name", "")) for e in eqns]
    for function in names:
        if (name := function.strip("_")) in _random_names():
            return name.capitalize()
    return None


# Asked of the module, so that a sampler that a new version adds is known.
@functools.cache
def _random_names() -> frozenset[str]:
    return frozenset(
        name for name in dir(jax.random) if not name.startswith("_") and callable(getattr(jax.random, name))
    )
