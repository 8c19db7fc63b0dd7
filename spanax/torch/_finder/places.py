"""Where in the user's code an operation of PyTorch is called, and as part of what."""

from __future__ import annotations

import inspect
import linecache
import os
import sys
import sysconfig
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy
import torch

from ..._places import SPANAX

# Model libraries such as torchvision are not among them: a line of theirs is the line where a gradient dies.
_LIBRARIES = (
    os.path.dirname(torch.__file__) + os.sep,
    os.path.dirname(numpy.__file__) + os.sep,
    SPANAX,
    "<frozen",
)
_LISTENING = os.path.dirname(__file__) + os.sep
_BRIDGES = os.path.join(SPANAX, "torch") + os.sep
# The worked problems are programs as a user writes them.
_PROBLEMS = os.path.join(SPANAX, "gallery") + os.sep
_STDLIB = tuple(sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "platstdlib"))
_SITE = ("site-packages", "dist-packages")  # lie below the standard library's folder, and are not it
_DISTRIBUTIONS = f"{os.sep}torch{os.sep}distributions{os.sep}"


class Place(NamedTuple):
    """A line of the user's code."""

    file: str
    line: int
    function: str = ""

    @property
    def source(self) -> str:
        return linecache.getline(self.file, self.line).strip()


class Site(NamedTuple):
    """Where an operation is called.

    `draw`: of which distribution it is a part; `custom`: the frame of a custom function's forward that it runs in; `own`: is it
    a part of a bridge of ours?
    """

    place: Place
    draw: str = ""
    custom: FrameType | None = None
    own: bool = False


NOWHERE = Place("", 0)
_known: dict[str, bool] = {}


def is_library(file: str) -> bool:
    known = _known.get(file)
    if known is None:
        is_standard = file.startswith(_STDLIB) and not any(f"{os.sep}{name}{os.sep}" in file for name in _SITE)
        is_problem = file.startswith(_PROBLEMS)
        known = _known[file] = is_standard or (file.startswith(_LIBRARIES) and not is_problem)
    return known


def site(outermost: FrameType | None) -> Site:
    """Of the operation that is being called. Frames from `outermost` on are not looked at."""
    frame: FrameType | None = sys._getframe(1)
    draw, inner, own = "", None, False
    while frame is not None and frame is not outermost:
        file = frame.f_code.co_filename
        if not is_library(file):
            inner = frame
            break
        own = own or _is_bridge(file)
        if frame.f_code.co_name in ("sample", "sample_n") and _DISTRIBUTIONS in file:
            draw = type(frame.f_locals.get("self")).__name__
        frame = frame.f_back
    # Inside of a custom function's forward autograd is off, so with autograd on there is nothing to look for.
    custom = None if torch.is_grad_enabled() else _custom(sys._getframe(1), outermost)
    if custom is not None:
        return Site(_outside(custom.f_back, outermost), draw, custom, own)
    return Site(_place(inner), draw, own=own)


def _is_bridge(file: str) -> bool:
    return file.startswith(_BRIDGES) and not file.startswith(_LISTENING)


def _place(frame: FrameType | None) -> Place:
    return NOWHERE if frame is None else Place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def _custom(frame: FrameType | None, outermost: FrameType | None) -> FrameType | None:
    """The outermost forward of a custom autograd function that is under way."""
    found = None
    while frame is not None and frame is not outermost:
        if frame.f_code.co_name == "forward" and name_of_custom(frame.f_code):
            found = frame
        frame = frame.f_back
    return found


def name_of_custom(code: CodeType) -> str:
    """The name of the custom autograd function whose forward a code is; "" for other code."""
    if code not in _customs:
        # `apply` itself is no Python in newer versions, and leaves no frame. The classes are asked for when they may be new.
        _customs.update(
            {forward: cls.__name__ for cls in _subclasses(torch.autograd.Function) if (forward := _forward(cls))}
        )
        _customs.setdefault(code, "")
    return _customs[code]


_customs: dict[CodeType, str] = {}


def _subclasses(cls: type) -> Iterator[type]:
    for inner in cls.__subclasses__():
        yield inner
        yield from _subclasses(inner)


def _forward(cls: Any) -> CodeType | None:
    return getattr(inspect.unwrap(cls.forward), "__code__", None)


def _outside(frame: FrameType | None, outermost: FrameType | None) -> Place:
    """The user's line that a frame was called from."""
    while frame is not None and frame is not outermost:
        if not is_library(frame.f_code.co_filename):
            return _place(frame)
        frame = frame.f_back
    return NOWHERE


def line_of(function: Any) -> Place:
    """Where a function is defined."""
    code = getattr(function, "__code__", None)
    return Place(code.co_filename, code.co_firstlineno, code.co_name) if code else NOWHERE
