"""The evaluations of one layout as arrays, one for each leaf."""

import numpy as np
from jaxtyping import Shaped

from ._layout import OWN, Layout, Leaf, record, written
from ._rows import Rows

Table = dict[str, Shaped[np.ndarray, "n ..."]]


def table(rows: Rows, layout: Layout) -> Table:
    """{path of a leaf: (n, *shape)}, "replicate": int64 (n,), "seconds": float64 (n,); in order of insertion."""
    with rows.all(written(layout)) as (n, chunks):
        result = empty(layout, n)
        start = 0
        for chunk in chunks:
            part = slice(start, start + len(chunk))
            _put(result, part, layout.inputs, [row.input for row in chunk])
            _put(result, part, layout.outputs, [row.output for row in chunk])
            result["replicate"][part] = [row.replicate for row in chunk]
            result["seconds"][part] = [row.seconds for row in chunk]
            start = part.stop
    return result


def empty(layout: Layout | None, n: int = 0) -> Table:
    """The arrays, not yet filled; without a layout, those that every table has."""
    leaves = (*layout.inputs, *layout.outputs) if layout else ()
    own = zip(OWN, (np.empty(n, np.int64), np.empty(n)), strict=True)
    return {path: np.empty((n, *shape), dtype) for path, dtype, shape in leaves} | dict(own)


def _put(result: Table, part: slice, leaves: tuple[Leaf, ...], raw: list[bytes]) -> None:
    dtype = record(leaves)
    if dtype.itemsize:
        records = np.frombuffer(b"".join(raw), dtype)
        for path, _, _ in leaves:
            result[path][part] = records[path]
