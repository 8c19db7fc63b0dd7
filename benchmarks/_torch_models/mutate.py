"""Plants a gap in a function of an installed package: new lines in its source text, and its code swapped for a while."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import pathlib
import tempfile
import textwrap
import types
from collections.abc import Iterator
from typing import NamedTuple

GAP = "# GAP"


class Plant(NamedTuple):
    """`code` is put after the line `at` of `function`, or in its place; its line that ends in `# GAP` is where the gap is."""

    model: str
    kind: str
    function: str  # package.module:Class.method
    at: str  # the text of the line, without its indentation; the first such line in the function
    code: str
    instead: bool = False


class Place(NamedTuple):
    file: str
    line: int
    text: str


def _original(module: types.ModuleType, qualified: str) -> types.FunctionType:
    """The function that was written there, under whatever decorators."""
    found: object = module
    for name in qualified.split("."):
        found = inspect.getattr_static(found, name)
    function = inspect.unwrap(getattr(found, "__func__", found))  # pyright: ignore[reportArgumentType]
    if not isinstance(function, types.FunctionType):
        raise TypeError(f"{qualified} of {module.__name__} is no function but {function!r}")
    return function


def _span(source: str, qualified: str) -> tuple[int, int]:
    """First and last line of a function; of overloads, the last."""
    nodes = ast.parse(source).body
    for name in qualified.split("."):
        found = [n for n in nodes if getattr(n, "name", None) == name]
        if not found:
            raise LookupError(f"{qualified} is not in the source: no {name}")
        nodes = found[-1].body  # pyright: ignore[reportAttributeAccessIssue]
    return found[-1].lineno, found[-1].end_lineno  # pyright: ignore


def _planted(source: str, plant: Plant) -> tuple[str, int]:
    """The new source, and the line of the gap in it."""
    lines = source.split("\n")
    first, last = _span(source, plant.function.partition(":")[2])
    at = next((i for i in range(first - 1, last) if lines[i].strip() == plant.at), None)
    if at is None:
        raise LookupError(f"{plant.function} has no line {plant.at!r}: is it another version of the package?")
    indentation = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    new = textwrap.indent(textwrap.dedent(plant.code).strip("\n"), indentation).split("\n")
    marked = [i for i, line in enumerate(new) if line.endswith(GAP)]
    if len(marked) != 1:
        raise ValueError(f"{plant.kind} in {plant.model}: exactly one line must end in {GAP}, not {len(marked)}")
    start = at if plant.instead else at + 1
    # The mark itself is taken away: what is shown is a line as its author would have written it.
    new[marked[0]] = new[marked[0]].removesuffix(GAP).rstrip()
    lines[start : at + 1] = new
    return "\n".join(lines), start + marked[0] + 1


def _code(code: types.CodeType, qualified: str) -> types.CodeType:
    """The code object of that name (the last: overloads come before), searched in those nested in `code`."""
    found = [c for c in _codes(code) if c.co_qualname == qualified]
    if not found:
        raise LookupError(f"no code of {qualified} in {code.co_filename}")
    return found[-1]


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


@contextlib.contextmanager
def planted(plant: Plant) -> Iterator[Place]:
    """While inside, the function contains the gap. Its source lies in a file, so that every tool can show it."""
    name, _, qualified = plant.function.partition(":")
    module = importlib.import_module(name)
    function = _original(module, qualified)
    source, line = _planted(inspect.getsource(module), plant)
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        path = pathlib.Path(folder, *name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True)
        path.write_text(source)
        before = function.__code__
        # The module's own __future__ flags come with its source; ours must not.
        function.__code__ = _code(compile(source, str(path), "exec", dont_inherit=True), qualified)
        try:
            yield Place(str(path), line, source.split("\n")[line - 1].strip())
        finally:
            function.__code__ = before
