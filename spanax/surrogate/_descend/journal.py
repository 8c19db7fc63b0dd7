"""The checkpoint of a descent: one file, to which every step appends where it stands and its row of the history.

A first line names the format; then come records: their length, their SHA-256, and arrays as NumPy writes them (no pickle). The
first record is the fingerprint of the descent. A step costs the writing of its own state, however long the history is: a
file that has grown to several times what it has to hold is written anew. A record that is cut short, the last one, belongs to a
step that was not finished, and is left out.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import SpanaxError
from ..._fingerprint import Entries, differences
from ..._sealed_file import UnfitError, read_arrays, write_arrays

_FORMAT = b"spanax.descent.1\n"
_LENGTH = struct.Struct("<Q")
_DIGEST = 32  # bytes
_SHOWN = 3  # differences of two fingerprints
# Times what is needed, and bytes besides: how large the file may grow before it is written anew.
_GROWTH, _ROOM = 4, 1 << 20
# Seconds between two waits for the disk: what a power cut takes at most. The end of the process alone takes nothing.
_BETWEEN = 0.5

_ANEW = "another path, or no file there: the descent starts anew"


class Standing(NamedTuple):
    """Where a descent stands: the leaves that it continues from, and one array for each column of its history."""

    leaves: list[np.ndarray]
    rows: list[np.ndarray]


class Journal:
    """The file of one descent, which it keeps to itself until `close`."""

    def __init__(self, path: str | os.PathLike[str], fingerprint: Entries, like: Standing):
        self.path, self.fingerprint = Path(path), fingerprint
        self._dtypes = [[array.dtype.name for array in part] for part in like]
        self.standing: Standing | None = None
        self._synced, self._count = 0.0, 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = self.path.open("a+b")
        except OSError as error:
            raise self._unfit(f"it cannot be written ({error.strerror or error})", "a folder to write to") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read(like)
        except BlockingIOError:
            self._file.close()
            raise self._unfit("another process is writing it", "a path of its own for each descent") from None
        except UnfitError as error:
            self._file.close()
            raise self._unfit(error.why, *error.remedies, _ANEW) from None

    def append(self, leaves: list[np.ndarray], row: list[np.ndarray], rows: Callable[[], list[np.ndarray]]) -> None:
        """After a step: the state, and the new row; `rows()` are all of them, this one included."""
        record = _record(write_arrays([*leaves, *(cell[None] for cell in row)]))
        self._count += 1
        needed = self._start + len(record) + self._count * sum(cell.nbytes for cell in row)
        try:
            if self._size + len(record) > _GROWTH * needed + _ROOM:
                self._write_anew(Standing(leaves, rows()))
                return
            self._file.write(record)
            self._file.flush()
            self._size += len(record)
            if time.monotonic() - self._synced > _BETWEEN:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise self._unfit(f"it cannot be written ({error.strerror or error})", "room on the disk") from error

    def close(self) -> None:
        self._file.close()

    def _read(self, like: Standing) -> None:
        self._file.seek(0)
        content = self._file.read()
        if not content:
            self._begin()
            return
        if not content.startswith(_FORMAT):
            if _FORMAT.startswith(content):
                self._begin()
                return
            raise UnfitError("it is not a checkpoint of a descent, or its first bytes are damaged")
        records = list(_records(content))
        if not records:
            self._begin()
            return
        self._check(records[0][0])
        self._start, self._size = records[0][1], records[-1][1]
        parts = [self._arrays(payload) for payload, _ in records[1:]]
        if parts:
            rows = [np.concatenate(column) for column in zip(*(part.rows for part in parts), strict=True)]
            self.standing = Standing(_same_shapes(parts[-1].leaves, like.leaves), rows)
            self._count = len(rows[0])
        # What a step left unfinished would stand before the next record.
        self._file.truncate(self._size)

    def _check(self, payload: bytes) -> None:
        there = json.loads(payload)
        if changed := differences(there, self.fingerprint):
            more = f"; and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
            raise UnfitError(
                f"it belongs to another descent: {'; '.join(changed[:_SHOWN])}{more}",
                "the objective, start, bounds, optimizer, key and precision that it was written with",
            )

    def _arrays(self, payload: bytes) -> Standing:
        file = io.BytesIO(payload)
        return Standing(*(read_arrays(file, dtypes) for dtypes in self._dtypes))

    def _head(self) -> bytes:
        return _FORMAT + _record(json.dumps(self.fingerprint).encode())

    def _begin(self) -> None:
        head = self._head()
        self._file.truncate(0)
        self._file.write(head)
        self._file.flush()
        self._start = self._size = len(head)

    def _write_anew(self, standing: Standing) -> None:
        """In another file first, which takes this one's name: at any moment one of the two is whole."""
        content = self._head() + _record(write_arrays([*standing.leaves, *standing.rows]))
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name, suffix=".part")
        file = os.fdopen(handle, "a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            Path(temporary).replace(self.path)
        except BaseException:
            file.close()
            Path(temporary).unlink(missing_ok=True)
            raise
        self._file.close()
        self._file, self._size = file, len(content)

    def _unfit(self, why: str, *remedies: str) -> SpanaxError:
        return SpanaxError(f"the checkpoint {str(self.path)!r} cannot be used: {why}", *remedies)


def _record(payload: bytes) -> bytes:
    return _LENGTH.pack(len(payload)) + hashlib.sha256(payload).digest() + payload


def _records(content: bytes) -> Iterator[tuple[bytes, int]]:
    """Each payload, and where its record ends; raises `UnfitError` for one that is not what was written."""
    at, head = len(_FORMAT), _LENGTH.size + _DIGEST
    while at + head <= len(content):
        (length,) = _LENGTH.unpack_from(content, at)
        end = at + head + length
        # The process ended while it wrote.
        if end > len(content):
            return
        payload = content[at + head : end]
        if hashlib.sha256(payload).digest() != content[at + _LENGTH.size : at + head]:
            raise UnfitError("it is damaged: a checksum is another", "a copy of the file")
        yield payload, end
        at = end


def _same_shapes(leaves: list[np.ndarray], like: list[np.ndarray]) -> list[np.ndarray]:
    if [leaf.shape for leaf in leaves] != [leaf.shape for leaf in like]:
        raise UnfitError("its arrays have other shapes", "the versions of Spanax and optax that wrote it")
    return leaves


def to_numpy(tree: Any) -> list[np.ndarray]:
    """The leaves of a pytree; PRNG keys as their data."""
    return [
        np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
        for x in jax.tree.leaves(tree)
    ]


def from_numpy(leaves: list[np.ndarray], like: Any) -> Any:
    """The pytree `like` with these leaves."""
    olds, tree = jax.tree.flatten(like)
    return jax.tree.unflatten(tree, [_restored(old, new) for old, new in zip(olds, leaves, strict=True)])


def _restored(old: Any, new: np.ndarray) -> Any:
    if jnp.issubdtype(old.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(new), impl=jax.random.key_impl(old))
    return jnp.asarray(new) if isinstance(old, jax.Array) else new
