"""Where a training stands, in a file, so that it can go on.

The file: a line that names the format, the SHA-256 of all that follows, and this: a line of JSON (the fingerprint of the
training, its updates and seconds) and the arrays, as NumPy writes them. No pickle.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import SpanaxError
from .fingerprint import Entries, differences
from .updates import Log, Progress

FORMAT = b"spanax.training.2\n"
_OLDER = b'{"format": "spanax.training.1"'
_SHOWN = 3  # differences


class Standing(NamedTuple):
    """What was learnt, the rows of the log so far, and the seconds that it took."""

    progress: Progress
    log: Log
    seconds: float


def make_folder(path: Path, where: str) -> None:
    """That of the file, before the work begins; raises where nothing can be written there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writable = os.access(path.parent, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise SpanaxError(
            f"the checkpoint {str(path)!r} cannot be written: {path.parent} is not a folder to write to", where=where
        )


def save(path: Path, standing: Standing, fingerprint: Entries) -> bytes:
    """Writes the file, whose checksum it returns; whoever reads sees the old one or the new one, whole."""
    head = {"updates": len(standing.log.norms), "seconds": standing.seconds, "fingerprint": fingerprint}
    content = io.BytesIO()
    content.write(json.dumps(head).encode() + b"\n")
    eqx.tree_serialise_leaves(content, _without_keys((standing.progress, standing.log)))
    digest = hashlib.sha256(content.getbuffer()).digest()
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(FORMAT + digest)
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _synchronise(path.parent)
    return digest


def checksum(path: Path) -> bytes | None:
    """That the file says of itself; None where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(len(FORMAT) + 32)[len(FORMAT) :]
    except FileNotFoundError:
        return None


def load(path: Path, progress: Progress, log: Log, fingerprint: Entries, where: str) -> Standing:
    """What was saved. `progress` and `log` (of any number of rows) say what is expected.

    `SpanaxError`, and the file stays, where it cannot be read, is damaged, of another format, or of another training.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unfit(path, f"it cannot be read ({error.strerror or error})", where, "the rights to read it") from error
    head, arrays = _checked(path, content, where)
    if changed := differences(head["fingerprint"], fingerprint):
        more = f"; and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        raise _unfit(
            path,
            f"it is of another training: {'; '.join(changed[:_SHOWN])}{more}",
            where,
            "the environment, policy, optimizer, loss, batch, key and precision that it was written with",
        )
    rows = jax.tree.map(lambda x: np.zeros((head["updates"], *x.shape[1:]), x.dtype), log)
    like = progress, rows
    try:
        found = eqx.tree_deserialise_leaves(arrays, _without_keys(like))
    except (RuntimeError, ValueError, TypeError, EOFError) as error:  # of another version, whose arrays are others
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise _unfit(path, words[-1], where, "the versions of Spanax and its libraries that wrote it") from error
    progress, log = jax.tree.map(_key_again, like, found)
    return Standing(progress, log, head["seconds"])


def updates_of(path: Path, fingerprint: Entries) -> int | None:
    """How far the file there is; None where it is not one of this training."""
    try:
        head, _ = _checked(path, path.read_bytes(), "")
    except (OSError, SpanaxError):
        return None
    return None if differences(head["fingerprint"], fingerprint) else head["updates"]


def _checked(path: Path, content: bytes, where: str) -> tuple[dict[str, Any], io.BytesIO]:
    """The head and the rest of a file that is what was written."""
    start = len(FORMAT) + 32
    if not content:
        raise _unfit(path, "it is empty", where, "a copy of the file")
    if content.startswith(_OLDER):
        raise _unfit(path, "it is of an older format, which has no checksum", where, "the version that wrote it")
    if not content.startswith(FORMAT):
        if FORMAT.startswith(content):
            raise _unfit(path, "it is cut short", where, "a copy of the file")
        raise _unfit(path, "it is not a checkpoint of a training, or its first bytes are damaged", where)
    if hashlib.sha256(memoryview(content)[start:]).digest() != content[len(FORMAT) : start]:
        raise _unfit(path, "it is damaged or cut short: its checksum is another", where, "a copy of the file")
    rest = io.BytesIO(content[start:])
    return json.loads(rest.readline()), rest


def _unfit(path: Path, why: str, where: str, *remedies: str) -> SpanaxError:
    problem = f"the checkpoint {str(path)!r} does not fit: {why}"
    return SpanaxError(
        problem, *remedies, "another path, or no checkpoint there: the training starts anew", where=where
    )


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


def _without_keys(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, tree)


def _key_again(like: Any, x: Any) -> Any:
    return jax.random.wrap_key_data(x, impl=jax.random.key_impl(like)) if _is_key(like) else x


def _is_key(x: Any) -> bool:
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
