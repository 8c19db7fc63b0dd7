"""One file opened twice in a process: closing any descriptor of a file ends the process's POSIX locks on it, SQLite's included."""

import os
import pathlib
import subprocess
import sys

from spanax.blackbox.store import Layout, Store

ROOT = pathlib.Path(__file__).parents[2]
LAYOUT = Layout("f", "value", (("x", "<f8", ()),), (("y", "<f8", ()),))


def row(i):
    return i.to_bytes(8, "little"), 0, i.to_bytes(8, "little"), 0.1


def seen_elsewhere(path):
    """How many rows another process finds, which opens the file and closes it."""
    script = "import sys; from spanax.blackbox.store import Store; s = Store(sys.argv[1], '1'); print(len(s)); s.close()"
    command = [sys.executable, "-c", script, str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return int(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


def test_a_second_store_of_the_same_file(tmp_path):
    path = tmp_path / "runs.db"
    first = Store(path, "1")
    ledger = first.ledger(LAYOUT)
    ledger.add([row(0)])
    second = Store(path, "1")
    assert seen_elsewhere(path) == 1
    ledger.add([row(1), row(2)])
    assert len(first) == len(second) == seen_elsewhere(path) == 3
    second.close()
    third = Store(tmp_path / "." / "runs.db", "1")
    third.ledger(LAYOUT).add([row(3)])
    assert seen_elsewhere(path) == 4 == len(second)
