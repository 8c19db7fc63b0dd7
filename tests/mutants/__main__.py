"""`python -m tests.mutants`: plants each fault in a copy of the project and runs the tests of its part, two at a time.

A fault is caught where a test fails, in `make test`'s selection. Exit status 1 where one survives, or cannot be tried: its text
is not there exactly once, or its tests do not run.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from ..compiling import quick_flags
from .faults import FAULTS, Fault

ROOT = pathlib.Path(__file__).parents[2]
PARTS = ("spanax", "tests", "docs", "README.md", "pyproject.toml")  # of the project, which are copied


LONGEST = 900.0  # seconds for the tests of one fault: it may be one that never ends


class Outcome(NamedTuple):
    fault: Fault
    verdict: str  # "caught", "SURVIVED" or "NOT TRIED"
    by: str  # the test that failed, or why it was not tried
    seconds: float


def main() -> int:
    options = arguments()
    faults = [fault for fault in FAULTS if any(text in f"{fault.file}: {fault.name}" for text in options.only)]
    os.environ.setdefault("XLA_FLAGS", quick_flags())  # asked for once, and not by each run of pytest
    outcomes, start = [], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="spanax-mutants-") as folder:
        copies: queue.Queue[pathlib.Path] = queue.Queue()
        for number in range(options.jobs):
            copies.put(copied(pathlib.Path(folder) / str(number)))
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for done in concurrent.futures.as_completed(pool.submit(tried, fault, copies) for fault in faults):
                outcomes.append(done.result())
                seconds = time.monotonic() - start
                print(f"{len(outcomes)} of {len(faults)}, {seconds:.0f} s: {line(outcomes[-1])}", file=sys.stderr)
    outcomes.sort(key=lambda outcome: FAULTS.index(outcome.fault))
    print("\n".join(map(line, outcomes)))
    counts = collections.Counter(outcome.verdict for outcome in outcomes)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return int(counts.keys() != {"caught"})


def copied(folder: pathlib.Path) -> pathlib.Path:
    for part in PARTS:
        whole = ROOT / part
        if whole.is_dir():
            shutil.copytree(whole, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(whole, folder / part)
    return folder


def tried(fault: Fault, copies: queue.Queue[pathlib.Path]) -> Outcome:
    start, folder = time.monotonic(), copies.get()
    try:
        file = folder / "spanax" / fault.file
        before = file.read_text()
        try:
            file.write_text(planted(fault, before))
            verdict, by = judged(run(folder, fault.tests.split()))
        except ValueError as error:
            verdict, by = "NOT TRIED", str(error)
        finally:
            file.write_text(before)
    finally:
        copies.put(folder)
    return Outcome(fault, verdict, by, time.monotonic() - start)


def planted(fault: Fault, source: str) -> str:
    """The file's text with the fault. Raises `ValueError` where the place is not found, or is several."""
    if (count := source.count(fault.text)) != 1:
        raise ValueError(f"{fault.text!r} is in spanax/{fault.file} {count} times, and has to be there once")
    return source.replace(fault.text, fault.replacement)


def run(folder: pathlib.Path, tests: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-rf", "-n", "0", "-p", "no:cacheprovider"]
    # The copy comes before an installed spanax, in processes that tests start as well.
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    started = subprocess.Popen(
        [*command, "-m", "not slow", *(f"tests/{test}" for test in tests)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = started.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)  # with the processes that the tests have started
        output, _ = started.communicate()
    return subprocess.CompletedProcess(command, started.returncode, output)


def judged(ended: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    """Pytest's status 1 says that a test failed, 0 that none did; anything else that they were not run."""
    if ended.returncode == 0:
        return "SURVIVED", "all tests pass"
    if ended.returncode != 1:
        return "NOT TRIED", f"status {ended.returncode}: {ended.stdout.strip()[-1000:]}"
    failed = re.search(r"^FAILED (.+?)(?: - .*)?$", ended.stdout, re.MULTILINE)
    return "caught", failed.group(1) if failed else "a test that cannot be set up"


def line(outcome: Outcome) -> str:
    return f"{outcome.verdict:9} {outcome.seconds:4.0f} s  {outcome.fault.file}: {outcome.fault.name}  [{outcome.by}]"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[""], help="faults whose line has one of these texts")
    parser.add_argument("--jobs", type=int, default=2, help="faults at a time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
