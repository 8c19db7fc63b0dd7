"""Looking at a pasted program, in the process that is confined: which lines of its function cut the gradient."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ...._errors import SpanaxError
from ....gaps.report import ALARMING, MEANING, Gap, GapReport

PROGRAM = "program.py"
LONGEST = 4000  # characters of any text


class _Mistake(Exception):  # noqa: N818  # of the program's, not of ours
    """What is wrong with the program, and its line, 0 for none."""

    def __init__(self, problem: str, line: int = 0):
        super().__init__(problem)
        self.line = line


def evaluate(given: dict[str, Any]) -> dict[str, Any]:
    """The report on the function of `given["source"]`, or `problem` and `line`. All texts are of limited length."""
    try:
        with _own_errors("the program"):
            module = _load(given["source"])
        name = given["function"] or _last_function(given["source"])
        function = getattr(module, name, None)
        if not callable(function):
            raise _Mistake(f"the program has no function {name}")
        with _own_errors("the arguments", in_program=False):
            args, kwargs = _arguments(module, given["arguments"])
        with _own_errors(name):
            report, lifted = _look(function, args, kwargs)
    except _Mistake as mistake:
        return {"problem": _short(str(mistake)), "line": mistake.line}
    return {"function": name, "lifted": lifted, **_described(report)}


def _load(source: str) -> ModuleType:
    """The program as a module of its own, with a file, which `sx.lift` reads; some names are there without an import."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import spanax as sx

    path = Path(PROGRAM).absolute()
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("program", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    vars(module).update(jax=jax, jnp=jnp, np=np, sx=sx)
    sys.modules["program"] = module
    spec.loader.exec_module(module)
    return module


def _last_function(source: str) -> str:
    names = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    if not names:
        raise _Mistake("the program defines no function: def f(x): ...")
    return names[-1]


def _arguments(module: ModuleType, text: str) -> tuple[tuple, dict[str, Any]]:
    """The arguments as they stand between the parentheses of a call."""

    def collect(*args: Any, **kwargs: Any) -> tuple[tuple, dict[str, Any]]:
        return args, kwargs

    return eval(f"_collect({text}\n)", {**vars(module), "_collect": collect})


def _look(function: Callable, args: tuple, kwargs: dict[str, Any]) -> tuple[GapReport, bool]:
    """The report, and whether the function had to be lifted: plain Python and NumPy do not run on JAX's traced values."""
    import spanax as sx

    argnums = tuple(i for i, value in enumerate(args) if _has_floats(value))
    if not argnums:
        raise _Mistake("no argument is a floating-point number or array: write 3.0 for 3")
    try:
        return _gaps(function, args, argnums, kwargs), False
    except Exception as error:
        # Its own mistakes fail in both ways: then the first error is the one that a JAX user expects.
        try:
            return _gaps(sx.lift(function), args, argnums, kwargs), True
        except SpanaxError as lifting:
            raise (lifting if _is_python(error) else error) from error


def _gaps(function: Callable, args: tuple, argnums: tuple[int, ...], kwargs: dict[str, Any]) -> GapReport:
    import spanax as sx

    report = sx.find_gaps(function, *args, argnums=argnums, kwargs=kwargs)
    if report.bridged:
        return (
            report  # to look for NaN differentiates the function itself, which its draws refuse outside an expectation
        )
    return sx.find_gaps(function, *args, argnums=argnums, nan=True, kwargs=kwargs)


def _has_floats(value: Any) -> bool:
    import jax
    import numpy as np

    def is_float(leaf: Any) -> bool:
        return np.issubdtype(
            getattr(leaf, "dtype", np.result_type(type(leaf)) if isinstance(leaf, float) else int), np.floating
        )

    return any(map(is_float, jax.tree.leaves(value)))


def _is_python(error: Exception) -> bool:
    """Is it how JAX says that a function is no JAX function?"""
    import jax

    return isinstance(error, SpanaxError | jax.errors.JAXTypeError | jax.errors.JAXIndexError | TypeError)


@contextlib.contextmanager
def _own_errors(what: str, *, in_program: bool = True) -> Iterator[None]:
    """Any error inside as a mistake of the program's, with its line; that of a text beside the program has none."""
    try:
        yield
    except _Mistake:
        raise
    except SpanaxError as error:
        text = "\n".join(
            [
                error.problem,
                *(f"({letter}) {remedy}" for letter, remedy in zip("abcdefgh", error.remedies, strict=False)),
            ]
        )
        raise _Mistake(text, _line_in(error) or _line_of(error.where)) from error
    except SyntaxError as error:
        raise _Mistake(f"{what}: {error.msg}", (error.lineno or 0) * in_program) from error
    except MemoryError as error:
        raise _Mistake(f"{what} takes more memory than it may have") from error
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        first = str(error).partition("\n\n")[0].partition("\nThe error occurred")[0]
        raise _Mistake(f"{what}: {type(error).__name__}: {first}", _line_in(error)) from error


def _line_in(error: BaseException) -> int:
    """The program's own last line that the error came through."""
    lines = [
        frame.lineno or 0 for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).name == PROGRAM
    ]
    return lines[-1] if lines else 0


def _line_of(where: str) -> int:
    file, _, rest = where.partition(f"{PROGRAM}:")
    digits = rest.partition(" ")[0].partition(":")[0]
    return int(digits) if where != file and digits.isdecimal() else 0


def _described(report: GapReport) -> dict[str, Any]:
    nan = report.not_finite
    return {
        "verdict": report.verdict,
        "meaning": MEANING[report.verdict],
        "per_leaf": report.per_leaf,
        "flat": list(report.flat),
        "gaps": [_gap(gap) for gap in (*report.gaps, *report.bridged)],
        "not_finite": nan
        and {"line": _own_line(nan.file, nan.line), "problem": _short(nan.problem), "remedies": [*nan.remedies]},
        "text": _short(report.to_text(100), 4 * LONGEST),
    }


def _gap(gap: Gap) -> dict[str, Any]:
    return {
        "line": _own_line(gap.file, gap.line),
        "place": gap.place,
        "operation": gap.operation,
        "kind": gap.kind,
        "route": gap.route,
        "leaf": list(gap.leaf),
        "remedies": list(map(_short, gap.remedies)),
        "via": _short(gap.via),
        "note": _short(gap.note),
        "cuts": gap.kind in ALARMING,
    }


def _own_line(file: str, line: int) -> int:
    """The line in the program that was pasted; 0 for one elsewhere."""
    return line if Path(file).name == PROGRAM else 0


def _short(text: str, most: int = LONGEST) -> str:
    return text if len(text) <= most else f"{text[:most]}..."
