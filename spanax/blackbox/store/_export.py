"""A table of evaluations as a Parquet, CSV or NPZ file."""

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
from ._table import Table

_CHUNK = 1024  # rows of a CSV file that are Python objects at a time


def export(table: Table, path: str, where: str) -> None:
    """Writes the whole table in the format that the suffix of `path` names, or leaves what was there.

    Raises `SpanaxError` for another suffix, where pyarrow is needed and missing, and where the file cannot be written.
    """
    write = _WRITERS.get(os.path.splitext(path)[1].lower())
    if write is None:
        raise SpanaxError(f"no format is known for {path!r}", f"a path that ends in {', '.join(_WRITERS)}", where=where)
    if write is _parquet:
        _pyarrow(where)
    temporary = f"{path}.{secrets.token_hex(4)}.part"
    try:
        write(table, temporary)
        os.replace(temporary, path)
    except OSError as error:
        problem = f"{path} cannot be written: {error.strerror or error}"
        raise SpanaxError(problem, "a folder that exists, is writable, and has room", where=where) from error
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
    """bfloat16 and other numbers that NumPy does not have itself become float32, which holds each of them exactly."""
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def _csv(table: Table, path: str) -> None:
    named = dict(columns(table))
    with open(path, "x", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(named)
        for start in range(0, len(table["replicate"]), _CHUNK):
            part = (column[start : start + _CHUNK].tolist() for column in named.values())
            rows.writerows(zip(*part, strict=True))  # Python writes a float with as many digits as tell it apart


def _npz(table: Table, path: str) -> None:
    """What `numpy.load` reads; numpy.savez itself has no room for every path of a leaf."""
    with zipfile.ZipFile(path, "x") as archive:
        for name, array in table.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, _standard(array), allow_pickle=False)


def _parquet(table: Table, path: str) -> None:
    parquet = _pyarrow("")
    import pyarrow  # pyright: ignore[reportMissingImports]

    parquet.write_table(pyarrow.table({name: np.ascontiguousarray(c) for name, c in columns(table)}), path)


def _pyarrow(where: str) -> Any:
    try:
        from pyarrow import parquet  # pyright: ignore[reportMissingImports]
    except ImportError:
        problem = "Parquet files are written by pyarrow, which is not installed"
        raise SpanaxError(problem, "pip install pyarrow", "a path that ends in .csv or .npz", where=where) from None
    return parquet


_WRITERS: dict[str, Callable[[Table, str], None]] = {".parquet": _parquet, ".csv": _csv, ".npz": _npz}
