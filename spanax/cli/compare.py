"""`spanax compare`: bias, variance and cost of the bridges of a program, and which one to take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._errors import SpanaxError
from .._interrupts import keep
from ._bridge_text import bridges_of
from ._calls import FORMS, bind_arguments, check_positions, key_later, load_function, load_value, positions
from ._messages import columns, explain_failure, report_errors
from ._options import BRIEFEST, LONGEST, MOST, SEEDS, Traceback, between, writable_file

if TYPE_CHECKING:
    from ..judge.comparison import Comparison

BIASED = 1
VIAS = "A dict of bridges by the name of their draws, or of whole functions by a label; or a function that returns one."


def compare(
    function: Annotated[str, typer.Argument(metavar="MODULE:FUNCTION", help="Such as package.module:loss.")],
    args: Annotated[str, typer.Option(metavar="MODULE:NAME", help=f"What to call it with: {FORMS}.")],
    vias: Annotated[str, typer.Option(metavar="MODULE:NAME", help=VIAS, show_default=False)] = "",
    via: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=BRIDGE,...", help='Such as "z=DisARM(),LeaveOneOut(4)"; once for each name.'),
    ] = None,
    draws: Annotated[int, typer.Option(min=100, max=MOST, help="Gradients of each candidate.")] = 1000,
    budget: Annotated[
        float,
        typer.Option(
            callback=between(BRIEFEST, LONGEST, "s"), help="Seconds to search for, where no bridges are given."
        ),
    ] = 30.0,
    argnums: Annotated[
        tuple, typer.Option(parser=positions, metavar="N,N", help="The arguments to differentiate in, from 0.")
    ] = "0",  # pyright: ignore[reportArgumentType]
    seed: Annotated[int, typer.Option(min=0, max=SEEDS, help="Fixes the draws, where the arguments hold no key.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(callback=writable_file, help="Write a page that needs no other file.", show_default=False),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(callback=writable_file, help="Draw a .png, .pdf or .svg.", show_default=False)
    ] = None,
    fail_on_bias: Annotated[bool, typer.Option("--fail-on-bias", help="Status 1 if a candidate is biased.")] = False,
    show_traceback: Traceback = False,
) -> None:
    """Measure the bias, the variance and the cost of bridges, and say which one to take.

    Without --vias and --via, the bridges that fit are searched for. The status is 2 where nothing can be compared.
    What the function's module prints goes to stderr.
    """
    with report_errors(show_traceback):
        # A missing matplotlib is said before minutes of measuring, not after.
        _check_plot(plot)
        keep()  # what was measured is shown
        found = _run_comparison(function, args, vias, via or [], argnums, seed, draws, budget)
        _write(found, html, plot)
        text = found.to_json() if as_json else found.to_text(columns())
    typer.echo(text)
    if fail_on_bias and any(row.verdict == "biased" for row in found.rows):
        raise typer.Exit(BIASED)


def _run_comparison(
    name: str, args_name: str, vias_name: str, via: list[str], argnums: tuple, seed: int, draws: int, budget: float
) -> Comparison:
    import jax

    from ..judge.compare import compare
    from ..judge.recommend import recommend

    if vias_name and via:
        raise SpanaxError("both --vias and --via", "one of them", where="")
    f, args, kwargs = _call(name, args_name)
    check_positions(argnums, args, args_name)
    key = kwargs.pop("key", None)
    key = jax.random.key(seed) if key is None else key
    # One position gives the gradient itself, several a tuple, as in JAX.
    nums = argnums[0] if len(argnums) == 1 else argnums
    with explain_failure("--via"):  # what a bridge says of its arguments has no place of the user's
        vias = _vias(vias_name) if vias_name else bridges_of(via)
    with explain_failure(f"{name} cannot be compared"):
        if vias:
            return compare(f, *args, key=key, vias=vias, draws=draws, argnums=nums, kwargs=kwargs)
        return recommend(f, *args, key=key, budget_seconds=budget, argnums=nums, kwargs=kwargs)


def _call(name: str, args_name: str) -> tuple[Any, tuple, dict[str, Any]]:
    """The function and its arguments; the keyword `key` is among them only where the user gave one."""
    f = load_function(name)
    return f, *bind_arguments(name, key_later(f), args_name, load_value(args_name))


def _vias(name: str) -> Any:
    vias = load_value(name)
    if not isinstance(vias, dict) or not vias:
        raise SpanaxError(f"{name} gives a value of type {type(vias).__name__}", VIAS, where="")
    return vias


def _check_plot(plot: Path | None) -> None:
    """Before the long work: can it be drawn?"""
    from ..judge.plots import check

    if plot is not None:
        with explain_failure("--plot"):
            check(plot)


def _write(found: Comparison, html: Path | None, plot: Path | None) -> None:
    # Files first: a reader of stdout may end the pipe at once.
    for path, write in ((html, found.to_html), (plot, found.plot)):
        if path is not None:
            write(path)
            typer.echo(f"Wrote {path}", err=True)
