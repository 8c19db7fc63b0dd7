"""What is printed of a program."""

from __future__ import annotations

import dataclasses
import warnings

import jax

from .growing import MODES, grow
from .judging import Verdict, judge
from .language import RandomProgram
from .writing import source_of


def judged(numbers: range, seed: int, size: int, without: frozenset[str]) -> list[tuple[str, str, str]]:
    """For each program its verdict, the first line of what it was refused for, and a report."""
    warnings.simplefilter("ignore")
    out = []
    for number in numbers:
        mode = MODES[number % len(MODES)]
        program = grow(seed, number, mode, without, size)
        verdict = judge(program, mode, number)
        out.append((verdict.kind, verdict.why.split("\n")[0], report(program, mode, seed, number, verdict)))
    jax.clear_caches()
    return out


def report(program: RandomProgram, mode: str, seed: int, number: int, verdict: Verdict) -> str:
    how = {f.name: getattr(program, f.name) for f in dataclasses.fields(program) if f.name not in ("block", "slots")}
    figures = [f"{name} = {getattr(verdict, name)}" for name in ("found", "truth", "error")]
    return "\n".join(
        [
            f"== {verdict.kind}: seed {seed}, program {number} ({mode}; {how})",
            source_of(program, mode == "forced"),
            verdict.why or "\n".join(figures),
            "",
        ]
    )
