"""`python -m tests.stochastic.programs`: many random programs, each against its reference.

Prints the source of each program that is wrong or refused, with its figures. Exit status 1 where one is wrong, or where more
than 2% are refused.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import multiprocessing
import sys
import time
from collections.abc import Iterator

from .reporting import judged

REFUSED = 0.02  # at most this share
PART = 20  # programs between two lines of progress


def main() -> int:
    options = arguments()
    if options.only is not None:
        options.start, options.count, options.jobs = options.only, 1, 1
    numbers = range(options.start, options.start + options.count)
    parts = [numbers[k : k + PART] for k in range(0, len(numbers), PART)]
    verdicts, reasons, start = collections.Counter(), collections.Counter(), time.monotonic()
    for found in results(parts, options):
        for kind, reason, text in found:
            verdicts[kind] += 1
            reasons[reason] += kind == "refused"
            if kind != "right" or options.only is not None:
                print(text, flush=True)
        counts = ", ".join(f"{n} {kind}" for kind, n in sorted(verdicts.items()))
        seconds = time.monotonic() - start
        print(f"{verdicts.total()} of {len(numbers)}: {counts}; {seconds:.0f} s", file=sys.stderr, flush=True)
    for reason, n in (+reasons).most_common():
        print(f"refused {n} times: {reason}")
    return int(verdicts["wrong"] > 0 or verdicts["refused"] > REFUSED * len(numbers))


def results(parts, options) -> Iterator[list[tuple[str, str, str]]]:
    if options.jobs == 1:
        yield from (judged(part, options.seed, options.size, frozenset(options.without)) for part in parts)
        return
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(options.jobs, spawn) as pool:
        done = [pool.submit(judged, part, options.seed, options.size, frozenset(options.without)) for part in parts]
        yield from (future.result() for future in concurrent.futures.as_completed(done))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.stochastic.programs", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--start", type=int, default=0, help="number of the first program")
    parser.add_argument("--only", type=int, help="this program alone, with its source and figures")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--size", type=int, default=2, help="how many statements of a program hold others")
    parser.add_argument("--without", nargs="*", default=[], help="features to leave out")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
