"""Where a training stands, in a file, so that it can continue: see `_sealed_file`.

The line of JSON is the fingerprint of the training, its updates and seconds; the arrays are the policy's, the optimizer's, the
method's own and the log's. A file of another training is refused, never read as far as it goes.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import SpanaxError
from ..._fingerprint import Entries, differences
from ..._sealed_file import UnfitError, checksum_of, seal, unseal
from .updates import Log, Progress

FORMAT = b"spanax.training.2\n"
# The first format had no checksum.
_OLDER = b'{"format": "spanax.training.1"'
_SHOWN = 3  # differences


class Standing(NamedTuple):
    """What was learned, the rows of the log so far, and the seconds that it took."""

    progress: Progress
    log: Log
    seconds: float


def make_folder(path: Path) -> None:
    """That of the file, before the work begins; raises where nothing can be written there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Now, and not after the first hours.
        writable = os.access(path.parent, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise SpanaxError(f"the checkpoint {str(path)!r} cannot be written: {path.parent} is not a folder to write to")


def save(path: Path, standing: Standing, fingerprint: Entries) -> bytes:
    """Writes the file, whose checksum it returns; a reader sees the old file or the new one, whole."""
    head = {"updates": len(standing.log.norms), "seconds": standing.seconds, "fingerprint": fingerprint}
    content = io.BytesIO()
    eqx.tree_serialise_leaves(content, _without_keys((standing.progress, standing.log)))
    return seal(path, FORMAT, head, content.getvalue())


def checksum(path: Path) -> bytes | None:
    """That the file states; None where there is none."""
    return checksum_of(path, FORMAT)


def load(path: Path, progress: Progress, log: Log, fingerprint: Entries) -> Standing:
    """What was saved. `progress` and `log` (of any number of rows) say what is expected.

    `SpanaxError`, and the file stays, where it cannot be read, is damaged, of another format, or of another training.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unfit(path, f"it cannot be read ({error.strerror or error})", "the rights to read it") from error
    head, arrays = _read_content(path, content)
    if changed := differences(head["fingerprint"], fingerprint):
        more = f"; and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        raise _unfit(
            path,
            f"it belongs to another training: {'; '.join(changed[:_SHOWN])}{more}",
            "the environment, policy, optimizer, loss, batch, key and precision that it was written with",
        )
    # The file says how many rows; their shapes and dtypes are those of this training.
    rows = jax.tree.map(lambda x: np.zeros((head["updates"], *x.shape[1:]), x.dtype), log)
    like = progress, rows
    try:
        loaded = eqx.tree_deserialise_leaves(arrays, _without_keys(like))
    except (RuntimeError, ValueError, TypeError, EOFError) as error:
        # Of a version of Spanax or a library that keeps other arrays.
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise _unfit(path, words[-1], "the versions of Spanax and its libraries that wrote it") from error
    progress, log = jax.tree.map(_key_again, like, loaded)
    return Standing(progress, log, head["seconds"])


def updates_of(path: Path, fingerprint: Entries) -> int | None:
    """How far the file there is; None where it is not one of this training."""
    try:
        head, _ = _read_content(path, path.read_bytes())
    except (OSError, SpanaxError):
        return None
    # What another training has written is kept, however far it is.
    return None if differences(head["fingerprint"], fingerprint) else head["updates"]


def _read_content(path: Path, content: bytes) -> tuple[dict[str, Any], io.BytesIO]:
    """The head and the rest of a file that is what was written."""
    if content.startswith(_OLDER):
        raise _unfit(path, "it is of an older format, which has no checksum", "the version that wrote it")
    try:
        return unseal(content, FORMAT, "a checkpoint of a training")
    except UnfitError as error:
        raise _unfit(path, error.why, *error.remedies) from None


def _unfit(path: Path, why: str, *remedies: str) -> SpanaxError:
    problem = f"the checkpoint {str(path)!r} does not fit: {why}"
    return SpanaxError(problem, *remedies, "another path, or no checkpoint there: the training starts anew")


def _without_keys(tree: Any) -> Any:
    # A file of NumPy has no dtype for PRNG keys: they go as their data, and take their kind from what is expected.
    return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, tree)


def _key_again(like: Any, x: Any) -> Any:
    return jax.random.wrap_key_data(x, impl=jax.random.key_impl(like)) if _is_key(like) else x


def _is_key(x: Any) -> bool:
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
