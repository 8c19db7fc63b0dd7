"""A file that says what it is, and shows whether it is whole: for checkpoints, policies and results.

A line that names the format, the SHA-256 of all that follows, and this: a line of JSON and arrays as NumPy writes them. No
pickle, so that a file from somebody else can be read safely.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

_DIGEST = 32  # bytes


class UnfitError(Exception):
    """Why the content of a file cannot be used; `remedies` of this reason."""

    def __init__(self, why: str, *remedies: str):
        super().__init__(why)
        self.why, self.remedies = why, remedies


def seal(path: Path, form: bytes, head: dict[str, Any], arrays: bytes) -> bytes:
    """Writes the file, whose checksum it returns; a reader sees the old file or the new one, whole. May raise `OSError`."""
    content = json.dumps(head).encode() + b"\n" + arrays
    digest = hashlib.sha256(content).digest()
    # Under another name, to the disk, and only then in the old one's place: a power cut leaves one of the two.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(form + digest)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _synchronise(path.parent)
    return digest


def unseal(content: bytes, form: bytes, what: str) -> tuple[dict[str, Any], io.BytesIO]:
    """The head and the arrays of a file that is what was written. `what`: such a file is, in words; raises `UnfitError`."""
    start = len(form) + _DIGEST
    if not content:
        raise UnfitError("it is empty", "a copy of the file")
    if not content.startswith(form):
        if form.startswith(content):
            raise UnfitError("it is cut short", "a copy of the file")
        raise UnfitError(f"it is not {what}, or its first bytes are damaged")
    if hashlib.sha256(memoryview(content)[start:]).digest() != content[len(form) : start]:
        raise UnfitError("it is damaged or cut short: its checksum is another", "a copy of the file")
    # JSON has no newline inside: the first line is the head.
    rest = io.BytesIO(content[start:])
    return json.loads(rest.readline()), rest


def read_sealed(path: Path, form: bytes, what: str) -> tuple[dict[str, Any], io.BytesIO]:
    """`unseal` of a file, which says so where the file is of another version of its format. Raises `UnfitError`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnfitError(f"it cannot be read ({error.strerror or error})", "the rights to read it") from error
    family = form.rstrip(b"0123456789\n")
    # After a whole line of another number the checksum decides whether the number is a damaged one.
    other = re.match(re.escape(family) + rb"(\d+)\n", content)
    if other and not content.startswith(form):
        unseal(content, other[0], what)
        why = f"it is of format {int(other[1])}, of another version, or its first line is damaged"
        raise UnfitError(why, "the version of Spanax that wrote it")
    return unseal(content, form, what)


def checksum_of(path: Path, form: bytes) -> bytes | None:
    """That the file states; None where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(len(form) + _DIGEST)[len(form) :]
    except FileNotFoundError:
        return None


def write_arrays(arrays: Iterable[Any]) -> bytes:
    """One after the other, as `numpy.save` writes them."""
    content = io.BytesIO()
    for array in arrays:
        np.save(content, np.asarray(array), allow_pickle=False)
    return content.getvalue()


def read_arrays(file: io.BytesIO, dtypes: Iterable[str]) -> list[np.ndarray]:
    """The next arrays, of these dtypes; raises `UnfitError`."""
    # NumPy's files know bfloat16 and its like as raw bytes only, hence the names.
    try:
        return [np.load(file, allow_pickle=False).view(np.dtype(dtype)) for dtype in dtypes]
    except (ValueError, TypeError, EOFError, OSError) as error:
        raise UnfitError(f"its arrays cannot be read: {error}", "the version of Spanax that wrote it") from error


def dtypes_of(arrays: Iterable[Any]) -> list[str]:
    """Their names, for `read_arrays`."""
    return [np.asarray(array).dtype.name for array in arrays]


def _synchronise(folder: Path) -> None:
    """The new name of the file, on the disk; some systems do not let a folder be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
