"""What is compared: every combination of bridges at the named sites of one program, or whole functions."""

from __future__ import annotations

import dataclasses
import itertools
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx

from ..._errors import SpanaxError
from ..._functions import may_take_key
from ...bridges import Bridge, Drawing
from ...stochastic.expectation import expectation
from .sites import Draw, bridge_at, evaluations

LIMIT = 64  # combinations of bridges


class Candidate(NamedTuple):
    """A function to differentiate, `(*args, key=key) -> scalar`.

    `via` is None for a function of the user's. `promises`: are its bridges unbiased, by their facts? None where it is not known;
    of a function, no is known once it was traced.
    """

    label: str
    function: Callable[..., Any]
    code: str
    via: Mapping[str, Drawing] | None
    evaluations: float | None
    promises: bool | None


def candidates(f: Callable, vias: Any, draws: list[Draw], where: str) -> tuple[list[Candidate], list[str]]:
    """All candidates that `vias` names, and what is to be said about those left out."""
    if not isinstance(vias, Mapping) or not vias:
        raise _bad(vias, where)
    if all(callable(value) and not isinstance(value, Bridge | type) for value in vias.values()):
        return _functions(vias), []
    _check_bridges(vias, where)
    if not may_take_key(f):
        raise SpanaxError("f takes no `key`", "def f(*args, key): ..., with the key of its draws", where=where)
    _check_names(vias, draws, where)
    total = _product(vias)
    left_out = [f"only the first {LIMIT} of {total:,} combinations are compared"] if total > LIMIT else []
    return _combinations(f, vias, draws), left_out


def _combinations(f: Callable, vias: Mapping[str, Sequence[Drawing]], draws: list[Draw]) -> list[Candidate]:
    """The first `LIMIT` of them: each takes a compilation, and their number is a product."""
    combinations = list(itertools.islice(itertools.product(*vias.values()), LIMIT))
    labels = _unique([", ".join(f"{s}={short(b)}" for s, b in zip(vias, c, strict=True)) for c in combinations])
    found = []
    for label, combination in zip(labels, combinations, strict=True):
        via = dict(zip(vias, combination, strict=True))
        puts = ", ".join(f'"{site}": {_code(bridge)}' for site, bridge in via.items())
        code = f"sx.expectation({_name_of(f)}, via={{{puts}}})"
        # Unbiased as a whole only if every draw's bridge is, those that were not replaced too.
        promises = all(bridge_at(draw, via).facts.unbiased for draw in draws)
        found.append(Candidate(label, expectation(f, via=via), code, via, evaluations(draws, via), promises))
    return found


def _functions(vias: Mapping[Any, Callable]) -> list[Candidate]:
    """Labels on one line each; the code is a function's name where that says which it is."""
    # Labels key the tables and the JSON: two that look alike would hide a row.
    labels = _unique([" ".join(str(label).split()) or repr(label) for label in vias])
    names = [getattr(g, "__name__", "") for g in vias.values()]
    codes = [
        f"vias[{label!r}]" if names.count(name) > 1 else _name_of(g, f"vias[{label!r}]")
        for (label, g), name in zip(vias.items(), names, strict=True)
    ]
    return [
        Candidate(label, g, code, None, None, None) for label, g, code in zip(labels, vias.values(), codes, strict=True)
    ]


def error_line(error: Exception) -> str:
    """What went wrong, in one line."""
    if isinstance(error, SpanaxError):
        return error.problem
    # A host's error comes with its whole traceback as text; the reader needs the line that names it.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = lines[-1] if "Traceback" in str(error) else "".join(lines[:1])  # of a callback's, the last line names it
    return textwrap.shorten(f"{type(error).__name__}: {told}", 300, placeholder=" …")


def _product(vias: Mapping[str, Sequence]) -> int:
    total = 1
    for given in vias.values():
        total *= len(given)
    return total


def _bad(vias: Any, where: str) -> SpanaxError:
    return SpanaxError(
        f"vias={vias!r}",
        'bridges for the named draws of f: vias={"z": [sx.LeaveOneOut(), sx.DisARM()]}',
        'or whole functions with the arguments of f: vias={"by hand": loss_by_hand}; not both',
        where=where,
    )


def _check_bridges(vias: Mapping, where: str) -> None:
    for given in vias.values():
        if not isinstance(given, list | tuple) or not given or not all(isinstance(b, Drawing) for b in given):
            raise _bad(dict(vias), where)


def _check_names(vias: Mapping, draws: list[Draw], where: str) -> None:
    # A name that no draw has would be ignored, and the bridge that was meant would never be measured.
    names = sorted({draw.name for draw in draws if draw.name})
    if unknown := sorted(set(map(str, vias)) - set(names)):
        said = f"the names are {names}" if names else "it has no draw with a name"
        raise SpanaxError(
            f"vias= names {unknown}, and no draw of the program is called that; {said}",
            'sx.sample(..., name="z")',
            "the program f itself, not sx.expectation(f)",
            where=where,
        )


def _name_of(f: Callable, otherwise: str = "f") -> str:
    name = getattr(f, "__name__", "")
    return name if name.isidentifier() else otherwise


def _unique(labels: list[str]) -> list[str]:
    out: list[str] = []
    for label in labels:
        # Numbered in order, skipping those that the user has taken.
        others = (f"{label} ({k})" for k in itertools.count(2))
        out.append(next(other for other in itertools.chain([label], others) if other not in out))
    return out


def short(bridge: Bridge) -> str:
    """Its `repr`, without the settings that are the defaults."""
    try:
        default = type(bridge)()
    except TypeError:  # it has settings without default
        return repr(bridge)
    both = (
        (f.name, _name_in_code(getattr(bridge, f.name)), _name_in_code(getattr(default, f.name)))
        for f in dataclasses.fields(bridge)
    )
    changed = [f"{name}={value}" for name, value, usual in both if value != usual]
    return f"{type(bridge).__name__}({', '.join(changed)})"


def _name_in_code(value: Any) -> str:
    return eqx.tree_pformat(value) if eqx.is_array(value) else repr(value)


def is_ours(bridge: Any) -> bool:
    """Is its class one of this package?"""
    return type(bridge).__module__.partition(".")[0] == __name__.partition(".")[0]


def _code(bridge: Bridge) -> str:
    """The bridge as a user writes it, with `sx.` before what is this package's."""
    names = "|".join(sorted(set(_names(bridge)), key=len, reverse=True))
    return re.sub(rf"(?<![\w.])({names})\(", r"sx.\1(", short(bridge)) if names else short(bridge)


def _names(x: Any) -> Iterator[str]:
    """The classes of this package in a bridge and in its settings."""
    if isinstance(x, eqx.Module):
        if is_ours(x):
            yield type(x).__name__
        for field in dataclasses.fields(x):
            yield from _names(getattr(x, field.name))
