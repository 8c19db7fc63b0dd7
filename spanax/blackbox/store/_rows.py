"""The evaluations of a store: those in its file, and those that wait in memory because the file could not be written.

A row has a digest, which finds it and is checked against its input, and a checksum of its output: a bit that flips on the disk is
an error, never a wrong value.
"""

import contextlib
import itertools
import operator
import sqlite3
import struct
import weakref
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ..._errors import SpanaxError
from ._file import File
from ._format import claim, damage_error, meta, unusable_error, unwritten_error
from ._layout import Layout, digest, from_json, signature

_CHUNK = 1024  # rows that are Python objects at a time

_FIND = "SELECT output, seconds, checksum FROM evaluations WHERE digest = ?"
_ADD = (
    "INSERT INTO evaluations (layout, digest, replicate, input, output, seconds, checksum) VALUES (?, ?, ?, ?, ?, ?, ?) "
    # Two processes may evaluate the same point: the row that is there first stays, since results already used it.
    "ON CONFLICT (digest, layout) DO NOTHING"
)
_ALL = (
    "SELECT id, ?, digest, replicate, input, output, seconds, checksum FROM evaluations "
    "WHERE layout = (SELECT id FROM layouts WHERE spec = ?) ORDER BY id"
)
_COUNT = "SELECT count(*) FROM evaluations WHERE layout = (SELECT id FROM layouts WHERE spec = ?)"


class Row(NamedTuple):
    """One evaluation; `layout` as JSON, `checksum`: a CRC-32 of the digest, the seconds and the output."""

    layout: str
    digest: bytes
    replicate: int
    input: bytes
    output: bytes
    seconds: float
    checksum: int

    @classmethod
    def new(cls, layout: str, digest: bytes, replicate: int, inputs: bytes, output: bytes, seconds: float) -> "Row":
        return cls(layout, digest, replicate, inputs, output, seconds, _checksum(digest, output, seconds))

    def is_whole(self, signature: bytes) -> bool:
        """Is all of it what was written, for the layout with that signature?"""
        # In a damaged file a column may be of any type.
        known = type(self.input) is bytes and type(self.replicate) is int and self.replicate >= 0
        known = known and digest(signature, self.input, self.replicate) == self.digest
        return known and is_sound(self.digest, self.output, self.seconds, self.checksum)


def is_sound(digest: bytes, output: bytes, seconds: float, checksum: int) -> bool:
    """Is the output what was written for that digest?"""
    return type(output) is bytes and type(seconds) is float and _checksum(digest, output, seconds) == checksum


def _checksum(digest: bytes, output: bytes, seconds: float) -> int:
    return zlib.crc32(output, zlib.crc32(digest + struct.pack("<d", seconds)))


class Rows:
    """Every method may be called from any thread; each sees what waits as well as what is in the file."""

    def __init__(self, file: File):
        self.file = file
        self._waiting: dict[bytes, Row] = {}
        # When the rows are collected, or Python ends: what waits is tried once more, and a failure is printed. The callback
        # has the file and the dict, not `self`, which it would keep alive.
        weakref.finalize(self, _end, file, self._waiting)

    def find(self, digests: Sequence[bytes]) -> list[bytes | None]:
        """The output of each, None where there is none. Raises `SpanaxError` where one is not what was written."""
        outputs: list[bytes | None] = []
        with self.file.read_transaction() as connection:
            for key in digests:
                if key in self._waiting:
                    outputs.append(self._waiting[key].output)
                    continue
                row = connection.execute(_FIND, (key,)).fetchone()
                if row is not None and not is_sound(key, *row):
                    raise self._damage_error("an evaluation is not the one that was written")
                outputs.append(row[0] if row is not None else None)
        return outputs

    def add(self, rows: Iterable[Row]) -> None:
        """Writes them, and all that wait; the first of several rows with one digest is kept.

        Raises `SpanaxError` where the file cannot be written: then they wait too.
        """
        # Into memory first, then from there to the file: what a full disk refuses is not lost.
        with self.file.lock:
            for row in rows:
                self._waiting.setdefault(row.digest, row)
            self.flush()

    def flush(self) -> None:
        """Writes what waits. Raises `SpanaxError` where the file cannot be written."""
        _flush(self.file, self._waiting)

    def close(self) -> None:
        _close(self.file, self._waiting)

    def claim(self, name: str) -> None:
        """The file belongs to the black box of that name. Raises `SpanaxError` where it belongs to another."""
        # A read transaction first: writers wait for each other, readers do not.
        if self.owner() == name:
            return
        try:
            with self.file.write_transaction() as connection:
                claim(connection, self.file.path, name, self.file.where)
        except sqlite3.Error as error:
            raise unusable_error(self.file.path, error, self.file.where) from error

    def owner(self) -> str | None:
        with self.file.read_transaction() as connection:
            return meta(connection, "name")

    def count(self) -> int:
        with self.file.read_transaction() as connection:
            return connection.execute("SELECT count(*) FROM evaluations").fetchone()[0] + len(
                self._unsaved_rows(connection)
            )

    def waiting_count(self) -> int:
        return len(self._waiting)

    def layouts(self) -> tuple[Layout, ...]:
        """Those of which there is an evaluation, the first one first."""
        with self.file.read_transaction() as connection:
            specs = [spec for (spec,) in connection.execute("SELECT spec FROM layouts ORDER BY id")]
            specs += [row.layout for row in self._unsaved_rows(connection)]
        try:
            return tuple(from_json(spec) for spec in dict.fromkeys(specs))
        except (ValueError, TypeError, LookupError) as error:
            raise self._damage_error("a layout cannot be read") from error

    @contextlib.contextmanager
    def all(self, layout: str) -> Iterator[tuple[int, Iterator[list[Row]]]]:
        """How many evaluations of a layout there are, and all of them in order of insertion, in chunks.

        Raises `SpanaxError` where one is not what was written.
        """
        with self.file.read_transaction() as connection:
            unsaved = [row for row in self._unsaved_rows(connection) if row.layout == layout]
            stored = connection.execute(_COUNT, (layout,)).fetchone()[0]
            yield stored + len(unsaved), itertools.chain(self._stored_chunks(connection, layout, stored), [unsaved])

    def _stored_chunks(self, connection: sqlite3.Connection, layout: str, count: int) -> Iterator[list[Row]]:
        person, last = signature(layout), 0
        cursor = connection.execute(_ALL, (layout, layout))
        # In a damaged index rows may be skipped, doubled or in another order without SQLite noticing.
        while chunk := cursor.fetchmany(_CHUNK):
            rows = [Row(*values) for _, *values in chunk]
            numbers = [last, *(number for number, *_ in chunk)]
            in_order = all(itertools.starmap(operator.lt, itertools.pairwise(numbers)))
            if not in_order or not all(row.is_whole(person) for row in rows):
                raise self._damage_error("an evaluation is not the one that was written")
            last, count = numbers[-1], count - len(rows)
            if count < 0:
                break
            yield rows
        if count:
            raise self._damage_error("evaluations are missing or doubled")

    def _damage_error(self, what: str) -> SpanaxError:
        return damage_error(self.file.path, what, self.file.where)

    def _unsaved_rows(self, connection: sqlite3.Connection) -> list[Row]:
        """Those that wait and that no other process has written meanwhile."""
        return [row for key, row in self._waiting.items() if connection.execute(_FIND, (key,)).fetchone() is None]


def _flush(file: File, waiting: dict[bytes, Row]) -> None:
    with file.lock:
        if not waiting:
            return
        try:
            with file.write_transaction() as connection:
                # In the same transaction as the rows: a layout without rows, or rows without one, cannot be left
                # behind.
                ids = {layout: _layout_id(connection, layout) for layout in {row.layout for row in waiting.values()}}
                connection.executemany(_ADD, ((ids[row.layout], *row[1:]) for row in waiting.values()))
        except sqlite3.Error as error:
            raise unwritten_error(file.path, error, len(waiting), file.where) from error
        waiting.clear()


def _close(file: File, waiting: dict[bytes, Row]) -> None:
    try:
        _flush(file, waiting)
    finally:
        file.disconnect()


def _end(file: File, waiting: dict[bytes, Row]) -> None:
    file.abandoned = True
    _close(file, waiting)


def _layout_id(connection: sqlite3.Connection, layout: str) -> int:
    """The number of a layout in the file."""
    select = "SELECT id FROM layouts WHERE spec = ?"
    if connection.execute(select, (layout,)).fetchone() is None:
        connection.execute("INSERT INTO layouts (spec) VALUES (?)", (layout,))
    return connection.execute(select, (layout,)).fetchone()[0]
