"""Evaluations of 100 + 100 float64 that a store takes and finds a second, beside SQLite itself, diskcache and joblib."""

from __future__ import annotations

import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np

from benchmarks import _timing
from spanax.blackbox.store.store import Layout, Store

NUMBERS, ROWS, BATCH, SINGLE = 100, 20_000, 1_000, 500
LAYOUT = Layout("f", "value", (("x", "<f8", (NUMBERS,)),), (("y", "<f8", (NUMBERS,)),))
ADD, FIND, ADD_ONE, FIND_ONE, TABLE = (
    "added, batches",
    "found, batches",
    "added, one by one",
    "found, one by one",
    "table",
)
KINDS = (ADD, ADD_ONE, FIND, FIND_ONE, TABLE)
TARGETS = {ADD: 25_000, FIND: 50_000}

Pairs = list[tuple[bytes, bytes]]
# Rows a second of each kind, from pairs for the batches, others for one by one, and an empty folder.
Subject = Callable[[Pairs, Pairs, str], dict[str, float]]


def _rate(n: int, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return n / (time.perf_counter() - start)


def _batches(pairs: Pairs) -> list[Pairs]:
    return [pairs[i : i + BATCH] for i in range(0, len(pairs), BATCH)]


def _store(durability: str) -> Subject:
    def measure(pairs: Pairs, others: Pairs, folder: str) -> dict[str, float]:
        with Store(f"{folder}/runs.db", "1", durability=durability) as store:
            ledger = store.ledger(LAYOUT)

            def add(batches):
                for batch in batches:
                    ledger.add([(x, 0, y, 0.1) for x, y in batch])

            def find(batches):
                for batch in batches:
                    if ledger.find([x for x, _ in batch], [0] * len(batch)) != [y for _, y in batch]:
                        raise AssertionError("the store gives back something else")

            singles = [[pair] for pair in others]
            return {
                ADD: _rate(len(pairs), lambda: add(_batches(pairs))),
                ADD_ONE: _rate(len(others), lambda: add(singles)),
                FIND: _rate(len(pairs), lambda: find(_batches(pairs))),
                FIND_ONE: _rate(len(others), lambda: find(singles)),
                TABLE: _rate(len(pairs) + len(others), store.table),
            }

    return measure


def _sqlite(synchronous: str) -> Subject:
    """The same rows by their number instead of by a digest, and nothing checked."""

    def measure(pairs: Pairs, others: Pairs, folder: str) -> dict[str, float]:
        connection = sqlite3.connect(f"{folder}/raw.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, k BLOB UNIQUE, x BLOB, y BLOB, seconds REAL)")

        def add(batches, first):
            for i, batch in enumerate(batches):
                start = first + i * len(batch)
                keys = [(start + j).to_bytes(16, "little") for j in range(len(batch))]
                rows = [(k, x, y, 0.1) for k, (x, y) in zip(keys, batch, strict=True)]
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT INTO t (k, x, y, seconds) VALUES (?, ?, ?, ?)", rows)
                connection.execute("COMMIT")

        def find(numbers):
            for i in numbers:
                connection.execute("SELECT y FROM t WHERE k = ?", (i.to_bytes(16, "little"),)).fetchone()

        singles, n, m = [[pair] for pair in others], len(pairs), len(others)
        found = {
            ADD: _rate(n, lambda: add(_batches(pairs), 0)),
            ADD_ONE: _rate(m, lambda: add(singles, n)),
            FIND: _rate(n, lambda: find(range(n))),
            FIND_ONE: _rate(m, lambda: find(range(n, n + m))),
            TABLE: _rate(n + m, lambda: connection.execute("SELECT x, y, seconds FROM t ORDER BY id").fetchall()),
        }
        connection.close()
        return found

    return measure


def _diskcache(pairs: Pairs, others: Pairs, folder: str) -> dict[str, float]:
    import diskcache  # pyright: ignore[reportMissingImports]

    with diskcache.Cache(folder) as cache:

        def add(pairs):
            for x, y in pairs:
                cache[x] = y

        def add_batches():
            for batch in _batches(pairs):
                with cache.transact():
                    add(batch)

        return {
            ADD: _rate(len(pairs), add_batches),
            ADD_ONE: _rate(len(others), lambda: add(others)),
            FIND_ONE: _rate(len(others), lambda: [cache[x] for x, _ in others]),
        }


def _joblib(pairs: Pairs, others: Pairs, folder: str) -> dict[str, float]:
    import joblib

    f = joblib.Memory(folder, verbose=0).cache(_negated)
    points = [np.frombuffer(x) for x, _ in others]
    calls = lambda: [f(x) for x in points]  # noqa: E731
    return {ADD_ONE: _rate(len(others), calls), FIND_ONE: _rate(len(others), calls)}


def _negated(x: np.ndarray) -> np.ndarray:
    return -x


SUBJECTS: dict[str, Subject] = {
    "Spanax, normal": _store("normal"),
    "SQLite, NORMAL": _sqlite("NORMAL"),
    "Spanax, full": _store("full"),
    "SQLite, FULL": _sqlite("FULL"),
    "diskcache": _diskcache,
    "joblib.Memory": _joblib,
}


def _present() -> dict[str, Subject]:
    present = dict(SUBJECTS)
    for name, module in (("diskcache", "diskcache"), ("joblib.Memory", "joblib")):
        try:
            __import__(module)
        except ImportError as error:
            _timing.stage(f"{name} is left out: {error}")
            del present[name]
    return present


def main() -> None:
    options = _timing.parser(__doc__, repeats=5)
    options.add_argument("--folder", help="on the disk to be measured (default: that of temporary files)")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("numpy", "diskcache", "joblib")
    print(f"SQLite {sqlite3.sqlite_version}\n")
    random, subjects = np.random.default_rng(0), _present()
    rates: dict[str, list[dict[str, float]]] = {name: [] for name in subjects}
    for r in range(args.repeats):
        _timing.stage(f"round {r + 1} of {args.repeats}")
        pairs = [(random.bytes(8 * NUMBERS), random.bytes(8 * NUMBERS)) for _ in range(ROWS + SINGLE)]
        for name, measure in subjects.items():
            with tempfile.TemporaryDirectory(dir=args.folder) as folder:
                rates[name].append(measure(pairs[:ROWS], pairs[ROWS:], folder))
            os.sync()  # so that nobody waits for what another one has left to the disk
    medians = {
        name: {kind: statistics.median(each[kind] for each in found) for kind in KINDS if kind in found[0]}
        for name, found in rates.items()
    }
    _timing.table(
        ["rows a second", *KINDS],
        [[name, *(f"{of[kind]:,.0f}" if kind in of else "" for kind in KINDS)] for name, of in medians.items()],
    )
    print()
    for kind, target in TARGETS.items():
        for durability in ("normal", "full"):
            found = medians[f"Spanax, {durability}"][kind]
            _timing.verdict(f"{durability}: rows a second {kind}", found, target, at_least=True)


if __name__ == "__main__":
    main()
