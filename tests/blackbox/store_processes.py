"""What several processes do to one store; `python -m tests.blackbox.store_processes NAME FOLDER`, checked by asserts."""

import os
import random
import resource
import signal
import sqlite3
import struct
import sys
import threading
import time
import traceback

import numpy as np

from spanax import SpanaxError
from spanax.blackbox.store._layout import Layout
from spanax.blackbox.store.store import Store

LAYOUT = Layout("f", "value", (("x", "<i8", ()),), (("y", "<f8", (50,)),))


def row(i):
    return struct.pack("<q", i), i % 3, np.full(50, i, "<f8").tobytes(), 0.5


def has(store, indices):
    """Of each: is it there? What is there must be right."""
    rows = [row(i) for i in indices]
    found = store.ledger(LAYOUT).find([r[0] for r in rows], [r[1] for r in rows])
    assert all(y in (None, r[2]) for y, r in zip(found, rows, strict=True))
    return [y is not None for y in found]


def sound(path):
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def forked(work):
    """The id of a child that runs `work` and ends at once, without what Python does at its end."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def wait(*children):
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)


def killed(folder):
    """A writer is killed 20 times on one file, after some rows and a moment more, and 20 times while it makes its own."""
    random.seed(0)
    moments = [(f"{folder}/one.db", random.randrange(40), random.uniform(0, 0.002)) for _ in range(20)]
    moments += [(f"{folder}/{i}.db", 0, random.uniform(0, 0.004)) for i in range(20)]
    acknowledged, begun = {}, dict.fromkeys((path for path, *_ in moments), 0)
    for path, rows, delay in moments:
        out, into = os.pipe()

        def work(path=path, into=into):
            ledger = Store(path, "1").ledger(LAYOUT)
            for i in range(begun[path], 10**6):
                ledger.add([row(i)])
                os.write(into, struct.pack("<q", i))

        child = forked(work)
        os.close(into)
        with os.fdopen(out, "rb") as pipe:
            first = pipe.read(8 * rows)
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            told = np.frombuffer(first + pipe.read(), "<i8").tolist()
        acknowledged.setdefault(path, []).extend(told)
        with Store(path, "1") as store:
            assert all(has(store, acknowledged[path])), "an acknowledged row is lost"
            x = store.table().get("x", np.empty(0, np.int64))
            assert len(x) - len(acknowledged[path]) in range(21), "more than one row a process was not acknowledged"
            begun[path] = int(x.max(initial=-1)) + 1
        sound(path)


def shared(folder):
    """Eight processes open a new file at once; two of them write the same rows, two others some, and four read meanwhile."""
    path = f"{folder}/runs.db"

    def write(indices):
        ledger = Store(path, "1").ledger(LAYOUT)
        for start in range(0, len(indices), 20):
            ledger.add([row(i) for i in indices[start : start + 20]])

    def read():
        store, seen = Store(path, "1"), 0
        while seen < 2000:
            table = store.table()
            assert len(table["replicate"]) >= seen
            seen = len(table["replicate"])
            if seen:
                assert (table["y"] == table["x"][:, None]).all() and (table["replicate"] == table["x"] % 3).all()
            time.sleep(0.01)

    parts = [range(1000), range(1000), range(900, 1500), range(1400, 2000)]
    wait(*(forked(lambda part=part: write(part)) for part in parts), *(forked(read) for _ in range(4)))
    with Store(path, "1") as store:
        assert sorted(store.table()["x"].tolist()) == list(range(2000))
    sound(path)


def racing(folder):
    """Eight processes make one new file at the same moment, 8 times."""
    for i in range(8):
        start = time.time() + 0.03

        def work(path=f"{folder}/{i}.db", start=start):
            while time.time() < start:
                pass
            with Store(path, "1") as store:
                store.ledger(LAYOUT).add([row(1)])

        wait(*(forked(work) for _ in range(8)))
        with Store(f"{folder}/{i}.db", "1") as store:
            assert len(store) == 1


def forking(folder):
    """A process forks while its threads write; parent and children all go on with the store that they have."""
    store = Store(f"{folder}/runs.db", "1")
    ledger = store.ledger(LAYOUT)

    def work(start):
        for i in range(start, start + 100):
            ledger.add([row(i)])
            assert has(store, [i]) == [True]

    threads = [threading.Thread(target=work, args=(1000 * k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    children = [forked(lambda k=k: work(1000 * k)) for k in range(3, 9)]
    for thread in threads:
        thread.join()
    store.close()  # the children are not done
    wait(*children)
    assert len(store) == 900 and all(has(store, [1000 * k + i for k in range(9) for i in range(100)]))
    store.close()
    sound(f"{folder}/runs.db")


def limited(folder):
    """Files may not grow beyond 1 MB, and then they may."""
    path = f"{folder}/runs.db"
    store = Store(path, "1")
    full(store, lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY)))


def crammed(folder):
    """The folder is a disk of 1 MB: it gets full, then another file on it is removed."""
    ballast = f"{folder}/ballast"
    with open(ballast, "wb") as file:
        file.write(bytes(15 * 10**5))
    full(Store(f"{folder}/runs.db", "1"), lambda size: size <= 10**6 or os.remove(ballast))


def full(store, limit):
    ledger, n = store.ledger(LAYOUT), 0
    limit(10**6)
    try:
        while n < 5000:
            ledger.add([row(n)])
            n += 1
    except SpanaxError as error:
        assert "1 evaluation waits in memory" in str(error) and "store.flush()" in str(error), error
    assert 50 < n < 5000
    assert all(has(store, range(n + 1))) and not any(has(store, [n + 1]))
    try:
        ledger.add([row(n + 1), row(n + 2), (*row(n)[:2], bytes(400), 0.5)])  # the last one waits already
        raise AssertionError("the disk is full")
    except SpanaxError as error:
        assert "3 evaluations wait in memory" in str(error), error
    assert "3 of them in memory" in repr(store)
    assert store.table()["x"].tolist() == list(range(n + 3)) and len(store) == n + 3
    limit(10**9)
    if n % 2:
        store.flush()
    else:
        ledger.add([row(n + 3)])
    assert "memory" not in repr(store)
    store.close()
    again = Store(store._path, "1")
    assert again.table()["x"].tolist() == list(range(len(again))) and len(again) in (n + 3, n + 4)
    assert all(has(again, range(len(again))))
    again.close()
    sound(store._path)


def ending(folder):
    """Python ends while evaluations wait: they are lost, and it says so."""
    ledger = Store(f"{folder}/runs.db", "1").ledger(LAYOUT)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    try:
        for i in range(5000):
            ledger.add([row(i)])
    except SpanaxError:
        return
    raise AssertionError("the disk is full")


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
