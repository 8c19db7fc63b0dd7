"""One file of a store, and the one connection to it: its lock, its transactions, and what happens to it in a fork.

Two traps of SQLite shape this file. Closing any descriptor of a file ends all POSIX locks that the process holds on it, so
nothing but SQLite may open a file that is open here; and a connection must not cross a fork.
"""

import contextlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator

from ..._jaxprs import here
from ._format import BUSY_SECONDS, is_store, prepare, primary_code, unusable_error, vanished_error

DURABILITIES = ("normal", "full")
# Enough for the unique index of half a million rows, which every insertion looks into.
_CACHE_KIB = 16_384


class File:
    """Opens the file, or makes it, at once; the connection is opened again wherever it has been closed.

    Every use holds `lock`, so that any thread may come.
    """

    def __init__(self, path: str, version: str, durability: str):
        self.path, self.version, self.durability = path, version, durability
        self.lock = threading.RLock()
        # Set when the store is collected: the line that runs then has nothing to do with it, and an error names the
        # one that made the store.
        self.abandoned = False
        self._made_at = here()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._refused = False
        with _opening:
            if not self._is_open_elsewhere():
                is_store(path, self.where)
            self._connect(whole=True)
            _FILES.add(self)

    @property
    def where(self) -> str:
        """The user's line now, or, where none has to do with it, the line that made the store."""
        return self._made_at if self.abandoned else here() or self._made_at

    def connection(self) -> sqlite3.Connection:
        """To be called, and used, with the lock held. Raises `SpanaxError` where a file that was there is missing."""
        if self._connection is None:
            with _opening:
                if not (self._is_open_elsewhere() or is_store(self.path, self.where)):
                    raise vanished_error(self.path, self.where)
                self._connect(whole=False)
        assert self._connection is not None
        return self._connection

    def _is_open_elsewhere(self) -> bool:
        """In this process. Then its header is not read again; see above."""
        identity = _identity(self.path)
        return identity is not None and any(file._connection and file._identity == identity for file in list(_FILES))

    def _connect(self, *, whole: bool) -> None:
        connection = None
        try:
            # Every statement is a transaction of its own, unless BEGIN says otherwise.
            # Used by any thread, one at a time: our lock sees to that.
            connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            connection.execute(f"PRAGMA synchronous = {self.durability}")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            prepare(connection, self.path, self.version, self.where, whole=whole)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, sqlite3.Error):
                raise unusable_error(self.path, error, self.where) from error
            raise
        self._connection, self._identity = connection, _identity(self.path)

    @contextlib.contextmanager
    def read_transaction(self) -> Iterator[sqlite3.Connection]:
        """One snapshot of the file. Raises `SpanaxError` where SQLite cannot read it."""
        try:
            with self._transaction("BEGIN") as connection:
                yield connection
        except sqlite3.Error as error:
            raise unusable_error(self.path, error, self.where) from error

    @contextlib.contextmanager
    def write_transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it is on disk at the end, or nothing. Raises what SQLite raises, or `SpanaxError` for a file that is missing."""
        with self.lock:
            # A connection stays read-only, even after the file has been made writable.
            if self._refused:
                self.disconnect()
                self._refused = False
            try:
                with self._transaction("BEGIN IMMEDIATE") as connection:
                    # Under the write lock: SQLite would keep writing to a file that no longer has a name.
                    if _identity(self.path) != self._identity:
                        raise vanished_error(self.path, self.where)
                    yield connection
            except sqlite3.Error as error:
                self._refused = primary_code(error) == sqlite3.SQLITE_READONLY
                raise

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self.lock:
            connection = self.connection()
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # SQLite may have rolled back by itself, as on a full disk.
                if connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                raise

    def disconnect(self) -> None:
        with self.lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


# Held from the look at a file's header until SQLite has opened it.
_opening = threading.RLock()


# An SQLite connection must not cross a fork: the child would share the parent's locks without holding them, and could write
# to a log that the parent has removed. So no connection is open, and no thread is inside SQLite, at the moment of a fork.
_FILES: weakref.WeakSet[File] = weakref.WeakSet()
# One fork at a time.
_forking = threading.RLock()
_held: list[File] = []


def _before_fork() -> None:
    _forking.acquire()
    # Until no file was added in between; the locks in the order in which others take them, a file's before `_opening`.
    while True:
        with _opening:
            _held.extend(_FILES)
        for file in _held:
            file.lock.acquire()
        _opening.acquire()
        if set(_FILES) <= set(_held):
            break
        _let_go()
    for file in _held:
        file.disconnect()


def _let_go() -> None:
    _opening.release()
    while _held:
        _held.pop().lock.release()


def _after_fork() -> None:
    _let_go()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
