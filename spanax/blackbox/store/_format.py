"""The file of a store: telling it from other files, making one, checking that it is sound and the right one; its errors.

An SQLite file in write-ahead-log mode, so that readers and a writer do not wait for each other. `application_id` says whose
it is, `user_version` its format, the table `meta` which black box and which version of it.
"""

import os
import sqlite3
import stat
import time

from ..._errors import SpanaxError

# "Span", in the place where SQLite keeps whose file it is.
APPLICATION = 0x5370616E
FORMAT = 1
# Bytes up to which a file is checked whole when it is opened, at about a second a gigabyte; larger ones row by row,
# as they are read.
CHECKED_WHOLE = 2**30

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

BUSY_SECONDS = 60.0  # how long a writer waits for another one

_SPACE = "free space on that disk, or lift the limit on file sizes (`ulimit -f`)"
_WRITABLE = "make the file, the -wal and -shm files beside it, and their folder writable"
_ELSEWHERE = "sx.Store(another_path, version)"
_COPY = "put a copy back, or save what can be read with `sqlite3 FILE .recover`"

_REASONS = {
    sqlite3.SQLITE_FULL: ("the disk is full", _SPACE),
    sqlite3.SQLITE_IOERR: ("the disk is full, at a limit, or broken", _SPACE),
    sqlite3.SQLITE_READONLY: ("it is read-only", _WRITABLE),
    sqlite3.SQLITE_PERM: ("it may not be opened", _WRITABLE),
    sqlite3.SQLITE_CANTOPEN: ("it, or the -wal and -shm files beside it, cannot be opened", _WRITABLE),
    sqlite3.SQLITE_BUSY: (f"another process held it for {BUSY_SECONDS:g} s", "end that process, or try again"),
    sqlite3.SQLITE_LOCKED: ("another process holds it", "end that process, or try again"),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", _COPY),
    sqlite3.SQLITE_NOTADB: ("it is damaged", _COPY),
}


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 255, which SQLite does not use, where the error is Python's own."""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF


def _reason(error: sqlite3.Error) -> tuple[str, str]:
    """Why, in words and in SQLite's, and the first remedy."""
    why, remedy = _REASONS.get(primary_code(error), ("SQLite refused", _COPY))
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return f"{why} ({name}: {error})", remedy


def unusable_error(path: str, error: sqlite3.Error, where: str) -> SpanaxError:
    """The file could not be opened or read."""
    why, remedy = _reason(error)
    return SpanaxError(f"the store {path} cannot be used: {why}", remedy, _ELSEWHERE, where=where)


def damage_error(path: str, what: str, where: str) -> SpanaxError:
    """Something in the file is not what was written."""
    return SpanaxError(
        f"the store {path} is damaged: {what}; nothing of it has been changed", _COPY, _ELSEWHERE, where=where
    )


def unwritten_error(path: str, error: sqlite3.Error, waiting: int, where: str) -> SpanaxError:
    """Rows could not be written; `waiting` of them are kept in memory."""
    why, remedy = _reason(error)
    kept = "1 evaluation waits in memory and is" if waiting == 1 else f"{waiting} evaluations wait in memory and are"
    return SpanaxError(
        f"nothing can be written to the store {path}: {why}.\n  {kept} lost only if this process ends; "
        "all that was written before is safe",
        f"{remedy}; then `store.flush()`, or the next evaluation, writes them",
        "store.export(path_on_another_disk) saves them together with the rest",
        where=where,
    )


def vanished_error(path: str, where: str) -> SpanaxError:
    """The file has been removed, or another one put in its place, while the store was open."""
    return SpanaxError(
        f"the file of the store {path} has been moved, removed or replaced while it was in use",
        "put it back, then `store.flush()`",
        "store.export(another_path) saves all rows, as long as this process has not closed the store",
        where=where,
    )


def is_store(path: str, where: str) -> bool:
    """True for a store, False where there is no file or an empty one; decided by the first 100 bytes, without SQLite.

    Raises `SpanaxError` for a folder, a missing folder, a file of something else, and the format of a newer Spanax.
    """
    # Another process may make the file, or close it, between two looks. A log is not there before the file is, and is gone
    # only after all of it is in the file: so the log is looked at before what it would have to agree with.
    logged = _has_log(path, "-wal")
    header = _read_header(path, where)
    if not header:
        if logged:
            raise damage_error(path, f"it is empty or gone, but {path}-wal is not", where)
        return False
    _check_header(path, header, where)
    pages, page = int.from_bytes(header[28:32], "big"), int.from_bytes(header[16:18], "big")
    # With a log beside it the file may be shorter than its header says: SQLite completes it from there.
    logged = _has_log(path, "-wal") or _has_log(path, "-journal")
    if not logged and os.path.getsize(path) < pages * page:
        raise damage_error(path, f"{pages} pages of {page} bytes were written, and not all of them are there", where)
    return True


def _read_header(path: str, where: str) -> bytes:
    """The first 100 bytes of the file, fewer where it ends before; none where there is no file."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise SpanaxError(f"{path} is not a regular file, so it cannot be a store", _ELSEWHERE, where=where)
        with open(path, "rb") as file:
            return file.read(100)
    except FileNotFoundError:
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            raise SpanaxError(
                f"no folder {folder} for the store", f"os.makedirs({folder!r})", _ELSEWHERE, where=where
            ) from None
        return b""
    except OSError as error:
        problem = f"the store {path} cannot be read: {error.strerror}"
        raise SpanaxError(problem, "its permissions", _ELSEWHERE, where=where) from error


def _check_header(path: str, header: bytes, where: str) -> None:
    """Is it SQLite's, ours, whole, and of a format that is known? https://www.sqlite.org/fileformat.html, section 1.3."""
    # SQLite is not asked: opening a file can change it, by recovering a log, and this one may be somebody else's.
    if not header.startswith(_MAGIC):
        problem = f"{path} is not a store, nor any other SQLite file; it has not been touched"
        raise SpanaxError(problem, _ELSEWHERE, where=where)
    if len(header) < 100:
        raise damage_error(path, "it ends within its first 100 bytes", where)
    version, application = (int.from_bytes(header[i : i + 4], "big") for i in (60, 68))
    if application != APPLICATION:
        problem = f"{path} is an SQLite file, but not a store of Spanax; it has not been touched"
        raise SpanaxError(problem, _ELSEWHERE, where=where)
    if version > FORMAT:
        problem = f"{path} has format {version} of a newer Spanax; this one reads up to {FORMAT}"
        raise SpanaxError(problem, "pip install --upgrade spanax", _ELSEWHERE, where=where)


def _has_log(path: str, suffix: str) -> bool:
    """Is there a log beside the file, of a process that was killed or still runs?"""
    try:
        return os.path.getsize(path + suffix) > 0
    except OSError:
        return False


def prepare(connection: sqlite3.Connection, path: str, version: str, where: str, *, whole: bool) -> None:
    """Makes the tables where the file is empty; checks that it is sound (all of it if `whole`), and of that version."""
    # A file that another process left half made is rolled back to an empty one by the first read.
    connection.execute("PRAGMA page_count").fetchone()
    if not os.path.getsize(path):
        _create(connection, version)
    if whole and os.path.getsize(path) <= CHECKED_WHOLE:
        result = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if result != "ok":
            raise damage_error(path, result.replace("\n", " "), where)
    theirs = meta(connection, "version")
    # Rows of another version of the program are values of another function.
    if theirs != version:
        raise SpanaxError(
            f"the store {path} holds evaluations of version {theirs!r}, and this is version {version!r}; "
            "they are kept as they are",
            "sx.Store(another_path, version), for a program that has changed",
            f"version={theirs!r}, if what the program computes has not changed",
            "remove the file, if its evaluations are not needed any more",
            where=where,
        )
    _use_wal(connection, path, where)


def meta(connection: sqlite3.Connection, key: str) -> str | None:
    result = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return result[0] if result else None


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
    # Under the lock, unless another process was faster.
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
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
        except sqlite3.OperationalError as error:
            # SQLite does not wait here when two processes do the same.
            if primary_code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or time.monotonic() > until:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            problem = f"the disk of the store {path} does not allow write-ahead logging (journal mode {mode!r})"
            raise SpanaxError(problem, "a path on a local disk: network file systems do not have it", where=where)
