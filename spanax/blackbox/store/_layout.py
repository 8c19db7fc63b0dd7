"""What one evaluation of a black box looks like in a store, and the digest by which it is found again.

A row is raw bytes; its layout, as JSON in the file, says which leaves they are. The digest is BLAKE2b over the input's bytes,
personalised by the layout and salted by the replicate, so that equal bytes of another function or dtype are another row.
"""

import hashlib
import json
import math
import operator
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..._errors import SpanaxError

KINDS = ("value", "complex", "vjp", "jvp")
# Bytes of one row: SQLite's limit, less what the other columns need.
LONGEST = 10**9 - 2**16
OWN = ("replicate", "seconds")  # columns of every table, besides the leaves

Leaf = tuple[str, str, tuple[int, ...]]  # path such as "x['angle']", NumPy dtype, shape


class Layout(NamedTuple):
    """One row: which function, and the path, dtype and shape of each leaf that goes in and that comes out.

    `kind`: "value", or "vjp" and "jvp" for a derivative of the user's that is evaluated like the function itself.
    """

    name: str
    kind: str
    inputs: tuple[Leaf, ...]
    outputs: tuple[Leaf, ...]

    def __str__(self) -> str:
        return f"{self.name}, {self.kind}: {_list_leaves(self.inputs)} -> {_list_leaves(self.outputs)}"


def _list_leaves(leaves: Sequence[Leaf]) -> str:
    return ", ".join(f"{path} {np.dtype(dtype).name}{list(shape)}" for path, dtype, shape in leaves) or "nothing"


def canonical(layout: Layout) -> Layout:
    """The same layout with each dtype spelled one way, so that equal layouts are equal.

    Raises `SpanaxError` where a table of it could not be made: objects, paths that coincide, rows of a gigabyte.
    """
    name, kind, *sides = layout
    inputs, outputs = (
        tuple((path, _canonical_dtype(dtype), tuple(map(int, shape))) for path, dtype, shape in side) for side in sides
    )
    result = Layout(name, kind, inputs, outputs)
    if kind not in KINDS:
        raise SpanaxError(f"a row of kind {kind!r}", f"one of {', '.join(map(repr, KINDS))}")
    _check_leaves(result)
    return result


def _check_leaves(layout: Layout) -> None:
    leaves = (*layout.inputs, *layout.outputs)
    paths = [path for path, _, _ in leaves]
    if len({*paths, *OWN}) < len(paths) + len(OWN) or not all(paths):
        raise SpanaxError(f"the leaves {paths} cannot be columns of one table", "distinct, non-empty names")
    # Objects would be written as their addresses.
    if any(np.dtype(dtype).hasobject for _, dtype, _ in leaves):
        raise SpanaxError(f"a store holds numbers, not Python objects: {layout}", "arrays of numbers")
    if sum(math.prod(shape) * np.dtype(dtype).itemsize for _, dtype, shape in leaves) > LONGEST:
        raise SpanaxError(f"a row is longer than SQLite's limit of 1 GB: {layout}", "return less from the function")


def _canonical_dtype(dtype: str) -> str:
    # NumPy spells bfloat16 and its like as raw bytes ("V2"): only their names tell them apart.
    full = np.dtype(dtype)
    return full.name if full.kind == "V" else full.str


def record(leaves: Sequence[Leaf]) -> np.dtype:
    """The raw bytes of all leaves, one after the other, as one NumPy record without gaps."""
    # Without alignment gaps, whose bytes would be whatever was in memory, and another digest each time.
    return np.dtype([(path, np.dtype(dtype), shape) for path, dtype, shape in leaves])


def to_json(layout: Layout) -> str:
    """As JSON, for the file. The text is the layout's identity: its spelling must never change."""
    return json.dumps(layout._asdict(), separators=(",", ":"))


def from_json(spec: str) -> Layout:
    """The inverse of `to_json`."""
    fields = json.loads(spec)
    sides = (
        tuple((path, dtype, tuple(shape)) for path, dtype, shape in fields[side]) for side in ("inputs", "outputs")
    )
    return Layout(fields["name"], fields["kind"], *sides)


def signature(spec: str) -> bytes:
    """16 bytes for a layout."""
    return hashlib.blake2b(spec.encode(), digest_size=16).digest()


def digest(signature: bytes, inputs: bytes, replicate: int) -> bytes:
    """16 bytes of BLAKE2b for one evaluation: layout, input bytes and replicate.

    Two different evaluations have the same one with probability 2^-128 a pair: 1e-21 among 1e9 rows.
    Raises `OverflowError` for a replicate outside 0..2^64 - 1.
    """
    # BLAKE2's own parameters, not bytes in front: no input can imitate another layout or replicate.
    salt = operator.index(replicate).to_bytes(8, "little")
    return hashlib.blake2b(inputs, digest_size=16, salt=salt, person=signature).digest()
