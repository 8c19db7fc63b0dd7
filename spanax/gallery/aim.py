"""Aiming one throw of the trebuchet by its gradient: no network, no training.

Newton's steps with the derivative of where the projectile lands find a release angle and a counterweight that hit the target.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from .._errors import SpanaxError
from ..control.trebuchet.aim import aim
from ..control.trebuchet.env import Throw, throw
from ._shared.requirements import check_requirements
from ._shared.run import Run

TARGET, WIND, START = 90.0, -2.0, (45.0, 200.0)
TOLERANCE = 1e-3  # metres
FIRST = 64.0  # metres: the tolerance is halved from here, which shows the throws on the way one by one


@dataclass(frozen=True)
class Settings:
    target: float
    wind: float
    tolerance: float


@dataclass(frozen=True)
class Try:
    """One throw on the way to the target: angle in degrees, weight in pounds, distance in metres."""

    iteration: int
    angle: float
    weight: float
    distance: float


@dataclass(frozen=True)
class Result:
    """The throws from the start to the one that hits, `seconds` that aiming took once compiled, and the files written."""

    settings: Settings
    tries: tuple[Try, ...]
    compile_s: float
    run_s: float
    files: tuple[Path, ...]


def run(
    out: str | Path,
    *,
    target: float = TARGET,
    wind: float = WIND,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Result:
    """Aims at `target` (m) in `wind` (m/s), and writes aim.png, aim.gif and result.json into `out`.

    `on_stage`: called with "aiming" and "drawing" before each. Raises `SpanaxError` where the target is out of reach.
    """
    settings = Settings(target, wind, TOLERANCE)
    check_requirements()
    on_stage("aiming")
    # The first call compiles; the second shows what aiming itself takes.
    compile_s, run_s = _seconds(settings), _seconds(settings)
    # Only now, as it makes the folder: a target that is out of reach leaves none behind.
    this = Run(out, "aim", settings, on_stage)
    tries = _tries(settings)
    this.stage("drawing")
    pictures = _draw(this.out, settings, tries)
    report = this.report(
        tries=[asdict(one) for one in tries],
        error_m=tries[-1].distance - target,
        compile_s=compile_s - run_s,
        run_s=run_s,
    )
    return Result(settings, tries, compile_s - run_s, run_s, (*pictures, report))


def _seconds(settings: Settings) -> float:
    start = time.perf_counter()
    _aim(settings, settings.tolerance)
    return time.perf_counter() - start


def _aim(settings: Settings, tolerance: float) -> Try:
    try:
        aimed = aim(settings.target, settings.wind, angle=START[0], weight=START[1], tolerance=tolerance)
    except SpanaxError as error:  # its place would be a line of ours, and its remedies are arguments of `control.aim`
        raise SpanaxError(error.problem, "another target or wind", where="") from error
    return Try(aimed.iterations, aimed.angle, aimed.weight, aimed.distance)


def _tries(settings: Settings) -> tuple[Try, ...]:
    """The start, and every throw at which a coarser tolerance would have ended."""
    # Aiming returns only its last throw. A coarser tolerance ends earlier, on a throw of the same sequence.
    tolerances = [FIRST]
    while tolerances[-1] > settings.tolerance:
        tolerances.append(max(tolerances[-1] / 2, settings.tolerance))
    tries = {one.iteration: one for one in (_aim(settings, tolerance) for tolerance in tolerances)}
    return tuple(tries[iteration] for iteration in sorted(tries))


def _draw(out: Path, settings: Settings, tries: tuple[Try, ...]) -> tuple[Path, Path]:
    from ..control.showing.throw import scene
    from ._throws.film import write_throw
    from ._throws.pictures import approach

    still, moving = out / "aim.png", out / "aim.gif"
    # Each throw again, with all its positions: aiming itself keeps the landing only.
    scenes = [scene(_throw(settings, one)) for one in tries]
    labels = [f"{one.iteration}: {one.angle:.2f}°, {one.weight:.1f} lb, {one.distance:.3f} m" for one in tries]
    approach(still, scenes, labels, target=settings.target, wind=settings.wind)
    last = tries[-1]
    title = "A throw aimed by its gradient"
    write_throw(moving, settings.target, settings.wind, (last.angle, last.weight), title)
    return still, moving


def _throw(settings: Settings, one: Try) -> Throw:
    return throw(settings.wind, one.angle, one.weight)


# What was learnt: a gradient through the throw hits to a millimetre in a handful of throws. Nothing is trained, so each target
# starts anew: for many of them, a network that has learnt to aim (trebuchet.py) answers at once, to some centimetres.
