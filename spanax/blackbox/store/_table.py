"""The evaluations of one layout as arrays, one for each leaf, and as a Parquet, CSV or NPZ file."""

import contextlib
import csv
import os
import secrets
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Shaped

from ..._errors import SpanaxError
from ._layout import OWN, Layout, Leaf, record, to_json
from ._rows import Rows

_CHUNK = 1024  # rows of a CSV file that are Python objects at a time

Table = dict[str, Shaped[np.ndarray, "n ..."]]


def table(rows: Rows, layout: Layout) -> Table:
    """{path of a leaf: (n, *shape)}, "replicate": int64 (n,), "seconds": float64 (n,); in order of insertion."""
    # Filled chunk by chunk: all rows as Python objects would take several times the memory of the arrays.
    with rows.all(to_json(layout)) as (n, chunks):
        result = empty(layout, n)
        start = 0
        for chunk in chunks:
            part = slice(start, start + len(chunk))
            _fill_leaves(result, part, layout.inputs, [row.input for row in chunk])
            _fill_leaves(result, part, layout.outputs, [row.output for row in chunk])
            result["replicate"][part] = [row.replicate for row in chunk]
            result["seconds"][part] = [row.seconds for row in chunk]
            start = part.stop
    return result


def empty(layout: Layout | None, n: int = 0) -> Table:
    """The arrays, not yet filled; without a layout, those that every table has."""
    leaves = (*layout.inputs, *layout.outputs) if layout else ()
    own = zip(OWN, (np.empty(n, np.int64), np.empty(n)), strict=True)
    return {path: np.empty((n, *shape), dtype) for path, dtype, shape in leaves} | dict(own)


def _fill_leaves(result: Table, part: slice, leaves: tuple[Leaf, ...], raw: list[bytes]) -> None:
    dtype = record(leaves)
    # A leaf without numbers has no bytes.
    if dtype.itemsize:
        records = np.frombuffer(b"".join(raw), dtype)
        for path, _, _ in leaves:
            result[path][part] = records[path]


def export(table: Table, path: str) -> None:
    """Writes the whole table in the format that the suffix of `path` names, or leaves what was there.

    Raises `SpanaxError` for another suffix, where pyarrow is needed and missing, and where the file cannot be written.
    """
    write = _WRITERS.get(os.path.splitext(path)[1].lower())
    if write is None:
        raise SpanaxError(f"no format is known for {path!r}", f"a path that ends in {', '.join(_WRITERS)}")
    # Before anything is written.
    if write is _parquet:
        _pyarrow()
    # Under another name first: a reader sees the old file or the new one, whole.
    temporary = f"{path}.{secrets.token_hex(4)}.part"
    try:
        write(table, temporary)
        os.replace(temporary, path)
    except OSError as error:
        problem = f"{path} cannot be written: {error.strerror or error}"
        raise SpanaxError(problem, "a folder that exists, is writable, and has room") from error
    finally:
        with contextlib.suppress(OSError):
            os.remove(temporary)


def columns(table: Table) -> Iterator[tuple[str, Shaped[np.ndarray, " n"]]]:
    """One column for each number of each leaf: x[0], x[1], ..., y[0,0], ...; x.real and x.imag where it is complex."""
    for path, array in table.items():
        for index in np.ndindex(array.shape[1:]):
            name = f"{path}[{','.join(map(str, index))}]" if index else path
            column = array[(slice(None), *index)]
            if np.iscomplexobj(column):
                yield f"{name}.real", np.real(column)
                yield f"{name}.imag", np.imag(column)
            else:
                yield name, _standard(column)


def _standard(array: np.ndarray) -> np.ndarray:
    """As a dtype that other programs know."""
    # bfloat16 and the 8-bit floats are extensions of NumPy; float32 holds each of their numbers exactly.
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def _csv(table: Table, path: str) -> None:
    named = dict(columns(table))
    with open(path, "x", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(named)
        for start in range(0, len(table["replicate"]), _CHUNK):
            part = (column[start : start + _CHUNK].tolist() for column in named.values())
            # Python writes a float with as many digits as tell it apart.
            rows.writerows(zip(*part, strict=True))


def _npz(table: Table, path: str) -> None:
    """What `numpy.load` reads."""
    # `numpy.savez` takes names as keywords, of which "file" is its own.
    with zipfile.ZipFile(path, "x") as archive:
        for name, array in table.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, _standard(array), allow_pickle=False)


def _parquet(table: Table, path: str) -> None:
    parquet = _pyarrow()
    import pyarrow  # pyright: ignore[reportMissingImports]

    parquet.write_table(pyarrow.table({name: np.ascontiguousarray(c) for name, c in columns(table)}), path)


def _pyarrow() -> Any:
    try:
        from pyarrow import parquet  # pyright: ignore[reportMissingImports]
    except ImportError:
        problem = "Parquet files are written by pyarrow, which is not installed"
        raise SpanaxError(problem, "pip install pyarrow", "a path that ends in .csv or .npz") from None
    return parquet


_WRITERS: dict[str, Callable[[Table, str], None]] = {".parquet": _parquet, ".csv": _csv, ".npz": _npz}
