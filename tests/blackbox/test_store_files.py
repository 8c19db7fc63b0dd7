"""Files that are not stores, are damaged, or cannot be written; nothing is changed and nothing lost."""

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading

import numpy as np
import pytest

from spanax import SpanaxError
from spanax.blackbox.store import _format
from spanax.blackbox.store._format import BUSY_SECONDS
from spanax.blackbox.store._layout import Layout
from spanax.blackbox.store.store import Store

SCALAR = Layout("f", "value", (("x", "float64", ()),), (("y", "float64", ()),))
WIDE = Layout("f", "value", (("x", "<f8", (150,)),), (("y", "<f8", (150,)),))


def packed(*values):
    return np.array(values, "<f8").tobytes()


def wide(i):
    return np.full(150, i, "<f8").tobytes()


def filled(path, n=40, version="1"):
    """A closed store of n wide rows: x -> -x."""
    with Store(path, version) as store:
        store.ledger(WIDE).add([(wide(i), 0, wide(-i), 0.25) for i in range(n)])
    assert not os.path.exists(f"{path}-wal")


def refuses(path, words, use=lambda store: store.table(), version="1"):
    """Opening or using it raises, and not a byte of the file changes."""
    before = path.read_bytes()
    with pytest.raises(SpanaxError, match=words) as caught:
        store = Store(path, version)
        try:
            use(store)
        finally:
            store.close()
    assert path.read_bytes() == before
    assert "test_store_files.py" in caught.value.where and caught.value.remedies
    return caught.value


# -- the wrong file, or one of another program


def test_another_version_is_refused(tmp_path):
    path = tmp_path / "runs.db"
    filled(path, version="solver-1.4")
    error = refuses(path, "version 'solver-1.4', and this is version 'solver-1.5'", version="solver-1.5")
    assert len(error.remedies) == 3
    assert len(Store(path, "solver-1.4")) == 40


def test_one_file_for_each_black_box(tmp_path):
    path = tmp_path / "runs.db"
    filled(path)
    refuses(path, "evaluations of 'f', and this black box is 'g'", lambda s: s.ledger(SCALAR._replace(name="g")))


def foreign(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE evaluations (x)")


def newer(path):
    filled(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")


def rewritten(change):
    """A good file, changed by a function of its bytes."""

    def make(path):
        filled(path)
        path.write_bytes(change(bytearray(path.read_bytes())))

    return make


def noise(n):
    return np.random.default_rng(0).bytes(n)


NOISE = noise(4096)


def page(i, by=NOISE):
    """The bytes with page i, counted from 0 or from the end, overwritten."""

    def change(raw):
        pages = [raw[k : k + 4096] for k in range(0, len(raw), 4096)]
        pages[i] = by
        return b"".join(pages)

    return change


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_bytes(noise(5000)), "not a store"),
        (lambda path: path.write_text("x,y\n1,2\n"), "not a store"),
        (foreign, "not a store of Spanax"),
        (newer, "format 2 of a newer Spanax"),
        (rewritten(lambda raw: raw[:100] + noise(len(raw) - 100)), "damaged|cannot be used"),
        (rewritten(lambda raw: raw[:60]), "damaged"),
        *((rewritten(lambda raw, n=n: raw[:n]), "damaged") for n in (100, 1000, 4096, 5000, 40_000, -4096, -1)),
        *((rewritten(page(i)), "damaged|not a store") for i in (0, 1, 2, 3, 7, 20, -1)),
        *((rewritten(page(i, bytes(4096))), "damaged|not a store") for i in (0, 1, 2, 3, 7, 20, -1)),
    ],
)
def test_a_file_that_is_no_store_or_damaged(tmp_path, make, words):
    path = tmp_path / "runs.db"
    make(path)
    refuses(path, words, lambda store: pytest.fail("it was opened"))
    assert os.listdir(tmp_path) == ["runs.db"]


def test_a_log_without_its_file(tmp_path):
    path = tmp_path / "runs.db"
    store = Store(path, "1")
    store.ledger(WIDE).add([(wide(1), 0, wide(2), 0.5)])
    os.makedirs(tmp_path / "copy")
    shutil.copy(f"{path}-wal", tmp_path / "copy")
    with pytest.raises(SpanaxError, match=r"runs\.db-wal is not"):
        Store(tmp_path / "copy" / "runs.db", "1")
    assert os.listdir(tmp_path / "copy") == ["runs.db-wal"]
    store.close()


@pytest.mark.parametrize("use", ["table", "find"])
def test_one_changed_bit_of_an_output_is_seen(tmp_path, use):
    def change(raw):
        raw[raw.index(wide(-17)) + 1000] ^= 1
        return raw

    path = tmp_path / "runs.db"
    rewritten(change)(path)
    uses = {"table": lambda s: s.table(), "find": lambda s: s.ledger(WIDE).find([wide(17)], [0])}
    refuses(path, "not the one that was written", uses[use])


def test_no_damage_gives_a_wrong_value(tmp_path, monkeypatch):
    """Pages overwritten with noise, with one another, and with zeros, in a file that is too large to be checked whole."""
    monkeypatch.setattr(_format, "CHECKED_WHOLE", 0)
    good, path = tmp_path / "good.db", tmp_path / "runs.db"
    filled(good)
    raw, raised = good.read_bytes(), 0
    pages = len(raw) // 4096
    changes = [
        page(i, by) for i in range(1, pages) for by in (noise(4096), bytes(4096), raw[4096 * (pages - i) :][:4096])
    ]
    for change in changes:
        path.write_bytes(change(raw))
        for use in ("table", "find"):
            try:
                with Store(path, "1") as store:
                    if use == "table":
                        table = store.table()
                        assert (table["x"] == -table["y"]).all() and (np.diff(table["x"][:, 0]) > 0).all()
                    else:
                        found = store.ledger(WIDE).find([wide(i) for i in range(40)], [0] * 40)
                        assert all(y in (None, wide(-i)) for i, y in enumerate(found))
            except SpanaxError:
                raised += 1
    assert raised > len(changes)


# -- a file that cannot be written -----------------------------------------------------------------------------------


@contextlib.contextmanager
def as_somebody():
    """Without the rights of root, whom no permission stops."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def folder():
    """One that everybody may enter, unlike tmp_path."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield name


def test_a_read_only_file(folder):
    path = f"{folder}/runs.db"
    filled(path)
    os.chmod(path, 0o444)
    with as_somebody():
        store = Store(path, "1")
        ledger = store.ledger(WIDE)
        with pytest.raises(SpanaxError, match=r"it is read-only(.|\n)*1 evaluation waits(.|\n)*writable"):
            ledger.add([(wide(40), 0, wide(-40), 0.25)])
        assert ledger.find([wide(3), wide(40)], [0, 0]) == [wide(-3), wide(-40)] and len(store.table()["x"]) == 41
    for name in os.listdir(folder):
        os.chmod(f"{folder}/{name}", 0o666)
    with as_somebody():
        store.close()
    with Store(path, "1") as store:
        assert len(store) == 41


def test_a_folder_that_may_not_be_written(folder):
    os.chmod(folder, 0o555)
    with as_somebody(), pytest.raises(SpanaxError, match="cannot be opened"):
        Store(f"{folder}/runs.db", "1")
    assert os.listdir(folder) == []


def test_the_file_is_moved_while_it_is_in_use(tmp_path):
    path = tmp_path / "runs.db"
    store = Store(path, "1")
    ledger = store.ledger(SCALAR)
    ledger.add([(packed(1), 0, packed(-1), 0.5)])
    for name in ("runs.db", "runs.db-wal", "runs.db-shm"):
        os.rename(tmp_path / name, tmp_path / f"moved-{name}")
    filled(path)  # another one in its place
    with pytest.raises(SpanaxError, match="moved, removed or replaced"):
        ledger.add([(packed(2), 0, packed(-2), 0.5)])
    assert ledger.find([packed(1), packed(2)], [0, 0]) == [packed(-1), packed(-2)]
    store.export(tmp_path / "saved.csv")
    assert (tmp_path / "saved.csv").read_text().splitlines()[1:] == ["1.0,-1.0,0,0.5", "2.0,-2.0,0,0.5"]
    for name in ("runs.db", "runs.db-wal", "runs.db-shm"):
        os.rename(tmp_path / f"moved-{name}", tmp_path / name)
    store.flush()
    store.close()
    with Store(path, "1") as again:
        assert again.table()["x"].tolist() == [1, 2]
    os.remove(path)
    with pytest.raises(SpanaxError, match="moved, removed or replaced"):
        ledger.find([packed(1)], [0])


def test_another_writer_that_does_not_end(tmp_path, monkeypatch):
    path = tmp_path / "runs.db"
    store = Store(path, "1")
    ledger = store.ledger(SCALAR)
    store._rows.file.connection().execute("PRAGMA busy_timeout = 10")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SpanaxError, match=re.escape(f"another process held it for {BUSY_SECONDS:g} s")):
            ledger.add([(packed(1), 0, packed(-1), 0.5)])
        other.execute("COMMIT")
    ledger.add([(packed(2), 0, packed(-2), 0.5)])
    assert store.table()["x"].tolist() == [1, 2]
    store.close()


def test_a_second_store_does_not_give_up_the_locks_of_the_first(tmp_path):
    """To close a file gives up all locks of a process on it; without them, another process may remove the log in use."""
    path = tmp_path / "runs.db"
    shared = "1073741826"  # where SQLite's shared lock is: 2^30 + 2, 510 bytes
    lock = (
        "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB, 510, int(sys.argv[2]))"
    )
    command = [sys.executable, "-c", lock, str(path), shared]
    with Store(path, "1") as store:
        store.ledger(SCALAR).add([(packed(1), 0, packed(-1), 0.5)])
        for _ in range(2):
            Store(path, "1").close()
            assert b"BlockingIOError" in subprocess.run(command, capture_output=True).stderr
    subprocess.run(command, check=True)


def test_the_log_is_switched_on_while_another_process_writes(tmp_path):
    """As when a process is killed after it has made the file: SQLite does not wait then, and the store does."""
    path = tmp_path / "runs.db"
    filled(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        assert other.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.2, other.execute, ["COMMIT"])
        timer.start()
        with Store(path, "1") as store:
            assert len(store) == 40
        timer.join()
    assert path.read_bytes()[18:20] == bytes([2, 2])  # what SQLite's file format says of a write-ahead log


def test_another_process_writes_what_waits_here(tmp_path):
    path = tmp_path / "runs.db"
    store = Store(path, "1")
    store._rows.file.connection().execute("PRAGMA max_page_count = 1")  # a full disk, for this connection alone
    ledger = store.ledger(WIDE)
    with pytest.raises(SpanaxError, match=r"the disk is full(.|\n)*30 evaluations wait"):
        ledger.add([(wide(i), 0, wide(-i), 0.25) for i in range(30)])
    assert len(store) == 30
    with Store(path, "1") as other:
        other.ledger(WIDE).add([(wide(i), 0, wide(-i), 0.25) for i in range(20, 40)])
    assert len(store) == 40 and sorted(store.table()["x"][:, 0]) == list(range(40))
    store._rows.file.connection().execute("PRAGMA max_page_count = 100000")
    store.flush()
    store.close()
    with Store(path, "1") as again:
        assert len(again) == 40
