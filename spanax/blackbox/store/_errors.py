"""What went wrong with the file of a store, and what helps."""

import sqlite3

from ..._errors import SpanaxError

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


def code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 255, which SQLite does not use, where the error is Python's own."""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF


def _reason(error: sqlite3.Error) -> tuple[str, str]:
    """Why, in words and in SQLite's, and the first remedy."""
    why, remedy = _REASONS.get(code(error), ("SQLite refused", _COPY))
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return f"{why} ({name}: {error})", remedy


def unusable(path: str, error: sqlite3.Error, where: str) -> SpanaxError:
    """The file could not be opened or read."""
    why, remedy = _reason(error)
    return SpanaxError(f"the store {path} cannot be used: {why}", where, remedy, _ELSEWHERE)


def damaged(path: str, what: str, where: str) -> SpanaxError:
    """Something in the file is not what was written."""
    return SpanaxError(f"the store {path} is damaged: {what}; nothing of it has been changed", where, _COPY, _ELSEWHERE)


def unwritten(path: str, error: sqlite3.Error, waiting: int, where: str) -> SpanaxError:
    """Rows could not be written; `waiting` of them are kept in memory."""
    why, remedy = _reason(error)
    kept = "1 evaluation waits in memory and is" if waiting == 1 else f"{waiting} evaluations wait in memory and are"
    return SpanaxError(
        f"nothing can be written to the store {path}: {why}.\n  {kept} lost only if this process ends; "
        "all that was written before is safe",
        where,
        f"{remedy}; then `store.flush()`, or the next evaluation, writes them",
        "store.export(path_on_another_disk) saves them together with the rest",
    )


def vanished(path: str, where: str) -> SpanaxError:
    """The file has been removed, or another one put in its place, while the store was open."""
    return SpanaxError(
        f"the file of the store {path} has been moved, removed or replaced while it was in use",
        where,
        "put it back, then `store.flush()`",
        "store.export(another_path) saves all rows, as long as this process has not closed the store",
    )
