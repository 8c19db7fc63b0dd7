"""The file of a store: telling it from other files, making one, checking that it is sound and the right one."""

import os
import sqlite3
import stat
import time

from ..._errors import SpanaxError
from ._errors import BUSY_SECONDS, code, damaged

APPLICATION = 0x5370616E  # "Span", where SQLite keeps who a file belongs to
FORMAT = 1
CHECKED_WHOLE = 2**30  # bytes up to which a file is checked whole when it is opened

_MAGIC = b"SQLite format 3\0"
# A rowid table keeps the order of insertion; WITHOUT ROWID would be twice as slow and large for rows of a kilobyte.
# `layout` stands in the unique index as well, so that counting the rows of one reads the index only.
_SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE layouts (id INTEGER PRIMARY KEY, spec TEXT NOT NULL UNIQUE)",
    "CREATE TABLE evaluations (id INTEGER PRIMARY KEY, layout INTEGER NOT NULL REFERENCES layouts, digest BLOB NOT NULL, "
    "replicate INTEGER NOT NULL, input BLOB NOT NULL, output BLOB NOT NULL, seconds REAL NOT NULL, checksum INTEGER NOT NULL, "
    "UNIQUE (digest, layout))",
)


def is_store(path: str, where: str) -> bool:
    """True for a store, False where there is no file or an empty one; decided by the first 100 bytes, without SQLite.

    Raises `SpanaxError` for a folder, a missing folder, a file of something else, and the format of a newer Spanax.
    """
    other = "sx.Store(another_path, version)"
    # Another process may make the file, or close it, between two looks. A log is not there before the file is, and is gone
    # only after all of it is in the file: so the log is looked at before what it would have to agree with.
    logged = _logged(path, "-wal")
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise SpanaxError(f"{path} is no regular file, so it cannot be a store", other, where=where)
        with open(path, "rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            raise SpanaxError(
                f"no folder {folder} for the store", f"os.makedirs({folder!r})", other, where=where
            ) from None
        header = b""
    except OSError as error:
        problem = f"the store {path} cannot be read: {error.strerror}"
        raise SpanaxError(problem, "its permissions", other, where=where) from error
    if not header:
        if logged:
            raise damaged(path, f"it is empty or gone, but {path}-wal is not", where)
        return False
    if not header.startswith(_MAGIC):
        raise SpanaxError(f"{path} is no store, nor any other SQLite file; it has not been touched", other, where=where)
    if len(header) < 100:
        raise damaged(path, "it ends within its first 100 bytes", where)
    pages, version, application = (int.from_bytes(header[i : i + 4], "big") for i in (28, 60, 68))
    if application != APPLICATION:
        raise SpanaxError(
            f"{path} is an SQLite file, but no store of Spanax; it has not been touched", other, where=where
        )
    if version > FORMAT:
        problem = f"{path} has format {version} of a newer Spanax; this one reads up to {FORMAT}"
        raise SpanaxError(problem, "pip install --upgrade spanax", other, where=where)
    page = int.from_bytes(header[16:18], "big")
    logged = _logged(path, "-wal") or _logged(path, "-journal")
    if not logged and os.path.getsize(path) < pages * page:
        raise damaged(path, f"{pages} pages of {page} bytes were written, and not all of them are there", where)
    return True


def _logged(path: str, suffix: str) -> bool:
    """Is there a log beside the file, of a process that was killed or still runs?"""
    try:
        return os.path.getsize(path + suffix) > 0
    except OSError:
        return False


def prepare(connection: sqlite3.Connection, path: str, version: str, where: str, *, whole: bool) -> None:
    """Makes the tables where the file is empty; checks that it is sound (all of it if `whole`), and of that version."""
    connection.execute("PRAGMA page_count").fetchone()  # a file that was left half made is made empty by this
    if not os.path.getsize(path):
        _create(connection, version)
    if whole and os.path.getsize(path) <= CHECKED_WHOLE:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise damaged(path, found.replace("\n", " "), where)
    theirs = meta(connection, "version")
    if theirs != version:
        raise SpanaxError(
            f"the store {path} holds evaluations of version {theirs!r}, and this is version {version!r}; "
            "they are kept as they are",
            "sx.Store(another_path, version), for a program that has changed",
            f"version={theirs!r}, if what the program computes has not changed",
            "remove the file, if its evaluations are of no more use",
            where=where,
        )
    _use_wal(connection, path, where)


def meta(connection: sqlite3.Connection, key: str) -> str | None:
    found = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return found[0] if found else None


def claim(connection: sqlite3.Connection, path: str, name: str, where: str) -> None:
    """The file belongs to the black box of that name from now on; `SpanaxError` where it belongs to another."""
    owner = meta(connection, "name")
    if owner is None:
        connection.execute("INSERT INTO meta VALUES ('name', ?)", (name,))
    elif owner != name:
        raise SpanaxError(
            f"the store {path} holds evaluations of {owner!r}, and this black box is {name!r}",
            "sx.Store(another_path, version): one file for each black box",
            f"sx.blackbox(..., name={owner!r}), if it is the same function",
            where=where,
        )


def _create(connection: sqlite3.Connection, version: str) -> None:
    connection.execute("BEGIN EXCLUSIVE")
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:  # no other process was faster
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute("INSERT INTO meta VALUES ('version', ?)", (version,))
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")


def _use_wal(connection: sqlite3.Connection, path: str, where: str) -> None:
    """Written once, after the tables, so that the first bytes of the file always tell what it is."""
    until = time.monotonic() + BUSY_SECONDS
    while (mode := connection.execute("PRAGMA journal_mode").fetchone()[0]) != "wal":
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:  # SQLite does not wait here when two processes do the same
            if code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or time.monotonic() > until:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            problem = f"the disk of the store {path} does not allow write-ahead logging (journal mode {mode!r})"
            raise SpanaxError(problem, "a path on a local disk: network file systems do not have it", where=where)
