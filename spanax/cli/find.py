"""`spanax find`: which lines of a function cut its gradient."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ._calls import FORMS, bind_arguments, check_positions, load_function, load_value, positions, signature_of
from ._messages import columns, explain_failure, report_errors
from ._options import FARTHEST, NEAREST, SEEDS, Traceback, between
from ._torch import MADE, torch_gaps

if TYPE_CHECKING:
    from ..gaps import GapReport, JumpReport

CUT = 1


def find(
    function: Annotated[
        str | None, typer.Argument(metavar="MODULE:FUNCTION", help="Such as package.module:Class.method.")
    ] = None,
    args: Annotated[str | None, typer.Option(metavar="MODULE:NAME", help=f"What to call it with: {FORMS}.")] = None,
    argnums: Annotated[
        tuple, typer.Option(parser=positions, metavar="N,N", help="The arguments to differentiate in, from 0.")
    ] = "0",  # pyright: ignore[reportArgumentType]
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    jumps: Annotated[bool, typer.Option("--jumps", help="Look for jumps of the values as well.")] = False,
    nan: Annotated[bool, typer.Option("--nan", help="Name the line that makes NaN or an infinity there.")] = False,
    radius: Annotated[
        float, typer.Option(callback=between(NEAREST, FARTHEST), help="How far from the arguments to look for jumps.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, max=SEEDS, help="Fixes where to look for jumps.")] = 0,
    torch: Annotated[
        str | None, typer.Option("--torch", metavar="MODULE:MAKE", help=f"A PyTorch program: {MADE}.")
    ] = None,
    show_traceback: Traceback = False,
) -> None:
    """Say which lines of a function, or of a PyTorch program, cut its gradient.

    The status is 1 where the gradient is dead, partly cut, or 0 at and around the arguments, or with --nan not finite, and 2
    where the function cannot be looked at.
    What the function's module prints goes to stderr.
    """
    if torch is not None:
        _find_in_torch(torch, function or args, as_json, show_traceback)
        return
    if function is None or args is None:
        raise typer.BadParameter("MODULE:FUNCTION and --args, or --torch MODULE:MAKE")
    with report_errors(show_traceback):
        call = _call(function, args, argnums)
        # Both reports before anything is printed: an error in the second leaves no half of an answer.
        gaps = _gaps(call, nan)
        found = _jumps(call, radius, seed) if jumps else None
    typer.echo(_object(gaps, found) if as_json else _text(gaps, found))
    if gaps.verdict in ("dead", "partial") or gaps.flat or gaps.not_finite:
        raise typer.Exit(CUT)


def _find_in_torch(name: str, other: str | None, as_json: bool, show_traceback: bool) -> None:
    if other:
        raise typer.BadParameter(f"--torch names the program and its arguments: {other} is one too many")
    with report_errors(show_traceback):
        gaps = torch_gaps(name)
    typer.echo(_object(gaps, None) if as_json else _text(gaps, None))
    if gaps.alarms or gaps.flat or gaps.not_finite:
        raise typer.Exit(CUT)


# -- what to look at


class _Call(NamedTuple):
    name: str
    function: Callable[..., Any]
    args: tuple
    kwargs: dict[str, Any]
    argnums: tuple[int, ...]


def _call(name: str, args_name: str, argnums: tuple[int, ...]) -> _Call:
    function = load_function(name)
    args, kwargs = bind_arguments(name, function, args_name, load_value(args_name))
    check_positions(argnums, args, args_name)
    return _Call(name, function, args, kwargs, argnums)


# -- looking


def _gaps(call: _Call, nan: bool) -> GapReport:
    import spanax as sx

    with explain_failure(f"{call.name} cannot be traced"):
        return sx.find_gaps(call.function, *call.args, argnums=call.argnums, nan=nan, **call.kwargs)


def _jumps(call: _Call, radius: float, seed: int) -> JumpReport:
    import jax

    import spanax as sx

    from .._functions import with_key

    with explain_failure(f"looking for jumps of {call.name} failed"):
        # The search for jumps needs a function without noise: one key for all points.
        keyed = with_key(call.function, jax.random.key(seed), call.args, call.kwargs)
        call = call._replace(kwargs=keyed)
        chosen = [call.args[number] for number in call.argnums]
        return sx.find_jumps(_of_chosen(call), *chosen, key=jax.random.key(seed), radius=radius)


def _of_chosen(call: _Call) -> Callable[..., Any]:
    """The function of the arguments `argnums` alone: a `key` that is among the others stays the one it is."""

    def of_chosen(*chosen):
        args = list(call.args)
        for number, value in zip(call.argnums, chosen, strict=True):
            # By position, whatever the names: the report counts the same way.
            args[number] = value
        return call.function(*args, **call.kwargs)

    of_chosen.__name__ = getattr(call.function, "__name__", call.name)
    if signature := signature_of(call.function):
        parameters = list(signature.parameters.values())
        named = [parameters[number] for number in call.argnums if number < len(parameters)]
        # The report names the arguments, which it reads from the signature.
        of_chosen.__signature__ = inspect.Signature([p.replace(kind=p.POSITIONAL_ONLY, default=p.empty) for p in named])
    return of_chosen


# -- what is said


def _object(gaps: GapReport, jumps: JumpReport | None) -> str:
    if jumps is None:
        return gaps.to_json()
    return json.dumps({**json.loads(gaps.to_json()), "jumps": json.loads(jumps.to_json())}, indent=2)


def _text(gaps: GapReport, jumps: JumpReport | None) -> str:
    width = columns()
    return "\n\n".join(report.to_text(width) for report in (gaps, jumps) if report is not None)
