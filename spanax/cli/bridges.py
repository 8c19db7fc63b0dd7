"""`spanax bridges`: the table of all bridges and what they promise."""

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._layout import filled, records
from ._messages import columns

if TYPE_CHECKING:
    from ..bridges import Bridge

WIDTH = 80
_COLUMNS = {"bridge": 17, "unbiased": 8, "evaluations": 17, "orders": 6, "takes": 24}
_KINDS = ("Local", "Score", "Branching", "Step", "Probing")
_LEGEND = (
    "Unbiased: for the expectation of the program itself; what any other is unbiased for stands after For. Evaluations: of "
    "the program, or of the rest of it after the draw, for one gradient. Orders: the highest derivative order that is right. "
    "A Local bridge needs nothing around it, a Score one the costs that come later, a Branching one to run the rest of the "
    "program again; a Step one bridges a hard operation, a Probing one a whole function."
)


def bridges(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False) -> None:
    """List all bridges and their facts: unbiased for what, evaluations, derivative orders, draws, source."""
    rows = all_facts()
    typer.echo(json.dumps(rows, indent=2) if as_json else _text(rows, columns(most=WIDTH)))


def all_facts() -> list[dict[str, Any]]:
    """One row for each concrete public bridge, by name: its facts, its kinds, and the `call` that they are of.

    `orders` is None where every derivative order is right. An argument that has no default is 0.1 in the call.
    """
    return [_row(name, bridge) for name, bridge in concrete_bridges().items()]


def concrete_bridges() -> dict[str, type[Bridge]]:
    """The public bridges that can be made, in the order of their names."""
    import spanax as sx

    return {
        name: value
        for name, value in sorted(vars(sx).items(), key=lambda item: item[0].lower())
        if inspect.isclass(value) and issubclass(value, sx.bridges.Bridge) and not inspect.isabstract(value)
    }


def _row(name: str, bridge: type[Bridge]) -> dict[str, Any]:
    example, above = _example(name, bridge), {base.__name__ for base in bridge.__mro__}
    facts = example.facts
    return {
        "name": name,
        "call": repr(example),
        "kinds": [kind for kind in _KINDS if kind in above],
        "unbiased": facts.unbiased,
        "unbiased_for": facts.unbiased_for,
        "evaluations": facts.evaluations,
        "orders": facts.orders,
        "distributions": facts.distributions,
        "source": facts.source,
    }


def _example(name: str, bridge: type[Bridge]) -> Bridge:
    if name == "Manual":  # it needs one of two functions, which no signature says
        return bridge(vjp=vjp)  # pyright: ignore[reportCallIssue]
    # What has no default is a size or a temperature: 0.1 is a sensible one of both.
    parameters = inspect.signature(bridge).parameters.values()
    return bridge(**{p.name: 0.1 for p in parameters if p.default is p.empty})


def vjp(x: Any, y: Any, ct: Any) -> Any:
    """What stands for the user's function in the example of `Manual`."""
    return ct


# -- the table


def _text(rows: list[dict[str, Any]], width: int) -> str:
    # On a narrow terminal each row becomes a block of lines with names.
    lines = [] if width < WIDTH else _cells(_COLUMNS)
    for row in rows:
        orders = "all" if row["orders"] is None else str(row["orders"])
        kind = "yes" if row["unbiased"] else "no"
        kinds = f" ({' and '.join(row['kinds'])})" if row["kinds"] else ""
        about = f"  {row['call']}{kinds}. For: {row['unbiased_for']}. Source: {row['source']}."
        cells = [row["name"], kind, row["evaluations"], orders, row["distributions"]]
        lines += ["", *(records(tuple(_COLUMNS), [cells], width) if width < WIDTH else _cells(cells))]
        lines += filled(about, width, "  ")
    return "\n".join([*lines, "", *filled(_LEGEND, width)])


def _cells(row: Iterable[str]) -> list[str]:
    """The lines of one row of the table: a cell that is longer than its column goes on below."""
    cells = [filled(text, width) for text, width in zip(row, _COLUMNS.values(), strict=True)]
    lines = itertools.zip_longest(*cells, fillvalue="")
    return ["  ".join(map(str.ljust, line, _COLUMNS.values())).rstrip() for line in lines]
