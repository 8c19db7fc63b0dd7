"""Policies in files, without pickle: what all classes of policies share, and the one table of those that can be loaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..._errors import SpanaxError
from ..._sealed_file import UnfitError, dtypes_of, read_arrays, read_sealed, seal, write_arrays
from ..env import Box, Discrete
from ._mirror import Mirror
from ._portable import arrays_of, bridge_of, describe_bridge, function_of, with_arrays

FORMAT = b"spanax.policy.1\n"
# The class of a file that names none: there was one only.
FIRST = "MLPPolicy"


class Given:
    """What the reader of a file gives beside it: an activation and a bridge, or None; `who` reads, for messages."""

    def __init__(self, who: str, activation: Any, via: Any):
        self.who, self._activation, self._via = who, activation, via

    def activation(self, name: str | None) -> Any:
        found = function_of(name or "") if self._activation is None else self._activation
        if found is None:
            raise UnfitError("its activation is not in the file", f"{self.who}(path, activation=...)")
        return found

    def via(self, description: Any) -> Any:
        if self._via is not None:
            return self._via
        # A policy with another derivative than the one that was saved would train otherwise: it is asked for.
        if isinstance(description, dict) and "repr" in description:
            raise UnfitError(f"its bridge is not in the file, {description['repr']}", f"{self.who}(path, via=...)")
        try:
            return bridge_of(description)
        except (TypeError, KeyError, SpanaxError) as error:
            why = f"its bridge is not one of this version of spanax.bridges ({error})"
            raise UnfitError(why, f"{self.who}(path, via=...)") from error


def write(path: str | os.PathLike[str], head: dict[str, Any], policy: Any) -> None:
    """`head` names what makes the policy's skeleton; the arrays follow it."""
    arrays = arrays_of(policy)
    content = head | {"class": type(policy).__name__, "dtypes": dtypes_of(arrays)}
    try:
        seal(Path(path), FORMAT, content, write_arrays(arrays))
    except OSError as error:
        problem = f"the policy cannot be written to {os.fspath(path)!r}: {error.strerror or error}"
        raise SpanaxError(problem, "a folder that exists, is writable, and has room") from error


def read(
    path: str | os.PathLike[str], what: str, skeletons: dict[str, Callable[[dict[str, Any], Given], Any]], given: Given
) -> Any:
    """The policy in the file, of one of the classes that `skeletons` names: each makes one without numbers from a head."""
    try:
        head, rest = read_sealed(Path(path), FORMAT, what)
        kind = head.get("class", FIRST)
        if kind not in skeletons:
            raise UnfitError(f"it holds a {kind}", "control.load_policy(path)", "the version of Spanax that wrote it")
        skeleton, arrays = skeletons[kind](head, given), read_arrays(rest, head["dtypes"])
        if [x.shape for x in arrays_of(skeleton)] != [x.shape for x in arrays]:
            raise UnfitError("its arrays have other shapes than its sizes say", "the `via` that it was saved with")
    # A head with a right checksum that no version of these classes has written.
    except (KeyError, TypeError, ValueError) as error:
        problem = f"no policy can be loaded from {os.fspath(path)!r}: {type(error).__name__}: {error}"
        raise SpanaxError(problem, "the version of Spanax that wrote it") from error
    except UnfitError as error:
        problem = f"no policy can be loaded from {os.fspath(path)!r}: {error.why}"
        raise SpanaxError(problem, *error.remedies) from None
    return with_arrays(skeleton, arrays)


def describe_space(space: Box | Discrete) -> dict[str, Any]:
    return {"n": space.n} if isinstance(space, Discrete) else {"low": space.low.tolist(), "high": space.high.tolist()}


def space_of(head: dict[str, Any]) -> Box | Discrete:
    return Discrete(head["n"]) if "n" in head else Box(head["low"], head["high"])


def describe_via(via: Any) -> Any:
    try:
        return describe_bridge(via)
    except TypeError:
        return {"repr": repr(via)}


def describe_mirror(mirror: Mirror | None) -> Any:
    """The sizes of its matrices, which are among the arrays."""
    return None if mirror is None else [len(matrix) for matrix in jax.tree.leaves(mirror)]


def mirror_like(sizes: Any) -> Mirror | None:
    return None if sizes is None else Mirror(*(np.zeros((size, size)) for size in sizes))
