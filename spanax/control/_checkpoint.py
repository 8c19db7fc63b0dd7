"""Where a training stands, in a file, so that it can go on."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import SpanaxError
from ._training import Log, Progress

FORMAT = "spanax.training.1"


class Standing(NamedTuple):
    """What was learnt, the rows of the log so far, and the seconds that it took."""

    progress: Progress
    log: Log
    seconds: float


def save(path: Path, standing: Standing) -> None:
    """Writes a line of JSON and the arrays after it; whoever reads sees the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            head = {"format": FORMAT, "updates": len(standing.log.norms), "seconds": standing.seconds}
            file.write(json.dumps(head).encode() + b"\n")
            eqx.tree_serialise_leaves(file, _without_keys((standing.progress, standing.log)))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: Path, progress: Progress, log: Log, where: str) -> Standing:
    """What was saved. `progress` and `log` (of any number of rows) say what is expected.

    `SpanaxError` where the file is of another training, or of something else.
    """
    try:
        with path.open("rb") as file:
            head = json.loads(file.readline())
            if head["format"] != FORMAT:
                raise ValueError(f"format {head['format']!r}")
            rows = jax.tree.map(lambda x: np.zeros((head["updates"], *x.shape[1:]), x.dtype), log)
            like = progress, rows
            found = eqx.tree_deserialise_leaves(file, _without_keys(like))
    except (RuntimeError, ValueError, KeyError, TypeError, EOFError, OSError) as error:
        raise SpanaxError(
            f"the checkpoint {str(path)!r} does not fit: {str(error).strip().splitlines()[-1]}",
            where,
            "the environment, policy, optimizer, batch and precision that it was written with",
            "another path, or no checkpoint there",
        ) from error
    progress, log = jax.tree.map(_key_again, like, found)
    return Standing(progress, log, head["seconds"])


def _without_keys(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, tree)


def _key_again(like: Any, x: Any) -> Any:
    return jax.random.wrap_key_data(x, impl=jax.random.key_impl(like)) if _is_key(like) else x


def _is_key(x: Any) -> bool:
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
