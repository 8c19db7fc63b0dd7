"""`spanax gallery --all`: every problem in turn, each in a process of its own.

A process each, because several of them at once would need the memory of the largest on top of what the others left (JAX and
PyTorch return little of it), because one may crash or be ended by the system without ending the others, and because none then
finds what another left in JAX's configuration or in PyTorch's generator. It costs the imports: some seconds each.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from ..._interrupts import keep
from ..._layout import filled
from ...gallery.index import write_index
from ...gallery.problems import PROBLEMS, Problem
from .._messages import end_interrupted, report_errors
from .._tables import WIDTH, console, show_files, show_rows, show_text
from .all_progress import Bar, Lines, show_all

LINES = 40  # of a problem's messages: those before the last are dropped
KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Outcome:
    """`outcome`: "passed", "failed", "skipped" or "interrupted"; `why`: where it did not pass."""

    problem: Problem
    outcome: str
    seconds: float | None = None
    why: str = ""


def run_all(out: Path, quick: bool, show_traceback: bool = False, problems: Sequence[Problem] = PROBLEMS) -> None:
    """Runs them, prints the table, and ends with status 1 if one has failed, 130 if Ctrl-C ended it."""
    outcomes: list[Outcome] = []
    with report_errors(show_traceback):
        # From here on, Ctrl-C ends the problem that runs, which is given the time to write what it has.
        keep()
        with show_all(len(problems)) as display:
            for problem in problems:
                outcomes.append(_run(problem, out, quick, display))
                index = write_index(out)
                if outcomes[-1].outcome == "interrupted":
                    break
    print_all(outcomes, problems, index)
    if outcomes[-1].outcome == "interrupted":
        end_interrupted(f"the results so far are in {out}")
    if any(one.outcome == "failed" for one in outcomes):
        raise typer.Exit(1)


def _run(problem: Problem, out: Path, quick: bool, display: Bar | Lines) -> Outcome:
    if missing := problem.missing():
        display.skip(problem.name)
        return Outcome(problem, "skipped", why=f"needs {' and '.join(missing)}: pip install 'spanax[{problem.extra}]'")
    display.begin(problem.name)
    arguments = ["gallery", problem.name, "--out", str(out / problem.name), *(["--quick"] if quick else [])]
    start = time.monotonic()
    status, said, interrupted = _call(arguments, display.stage)
    seconds = time.monotonic() - start
    outcome = "interrupted" if interrupted else "failed" if status else "passed"
    display.end(problem.name, outcome, seconds)
    return Outcome(problem, outcome, seconds, _reason(status, said) if outcome == "failed" else "")


def _call(arguments: list[str], on_line: Callable[[str], None]) -> tuple[int, list[str], bool]:
    """The status of a `spanax` command, the last lines of its stderr, and whether Ctrl-C ended it."""
    lines: deque[str] = deque(maxlen=LINES)
    # This process' own path: with -P, a folder named spanax where the user happens to be is not taken for it.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "spanax.cli._gallery.child", *arguments],
        stdin=subprocess.PIPE,  # closed when this process ends: see child.py
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
        # A group of its own: the terminal's Ctrl-C comes to this process, which passes it on once.
        process_group=0,
    )
    reader = threading.Thread(target=_read, args=(child.stderr, lines, on_line), daemon=True)
    reader.start()
    interrupted = False
    try:
        child.wait()
    except KeyboardInterrupt:
        interrupted = True
        child.send_signal(signal.SIGINT)
        child.wait()
    finally:
        # Not for ever: a process that the problem left behind may hold the other end.
        reader.join(timeout=2)
        _close(child.stdin, *([] if reader.is_alive() else [child.stderr]))
    return child.returncode, [*lines], interrupted


def _close(*streams: Any) -> None:
    for stream in streams:
        # Closed already, where the process has ended before it was written to.
        with suppress(OSError):
            stream.close()


def _read(stream: Any, lines: deque[str], on_line: Callable[[str], None]) -> None:
    for line in stream:
        if text := line.rstrip():
            lines.append(text)
            on_line(text)


def _reason(status: int, said: list[str]) -> str:
    """What the command said of its end, or how it ended if it said nothing."""
    starts = [number for number, line in enumerate(said) if line.startswith("spanax: ")]
    if starts:
        return "\n".join(said[starts[-1] :]).removeprefix("spanax: ")
    if status == KILLED:
        return "killed by the system, which may have been short of memory"
    ended = f"ended by {signal.Signals(-status).name}" if status < 0 else f"status {status}"
    # Of a traceback the last line says what it was.
    return f"{ended}: {said[-1]}" if said else ended


def print_all(outcomes: Sequence[Outcome], problems: Sequence[Problem], index: Path) -> None:
    where = console()
    rows = [(one.problem.name, one.outcome, "" if one.seconds is None else f"{one.seconds:.1f}") for one in outcomes]
    rows += [(problem.name, "not run", "") for problem in problems[len(outcomes) :]]
    passed = sum(one.outcome == "passed" for one in outcomes)
    total = sum(one.seconds or 0 for one in outcomes)
    title = f"{passed} of {len(problems)} problems passed, in {total:,.0f} s"
    show_rows(where, title, ("problem", "outcome", "seconds"), rows, right=2)
    for one in outcomes:
        if one.why:
            _explain(where, one)
    show_text(where, "Each problem's figures and pictures are in a folder of its own; this page shows them all:")
    show_files(where, (index,))


def _explain(where: Any, one: Outcome) -> None:
    first, *rest = one.why.split("\n")
    for line in filled(f"{one.problem.name} {one.outcome}: {first}", WIDTH, "  "):
        where.print(line, soft_wrap=True, markup=False)
    for line in rest:
        where.print(f"  {line}", soft_wrap=True, markup=False)
