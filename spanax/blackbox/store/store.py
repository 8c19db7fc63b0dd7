"""`Store`: evaluations of a black box that outlive the process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from ..._errors import SpanaxError
from ._file import DURABILITIES, File
from ._layout import KINDS, Layout, canonical, digest, record, signature, to_json
from ._rows import Row, Rows
from ._table import empty, export, table


class Ledger:
    """The evaluations of one layout. Inputs and outputs are the raw bytes of all leaves in C order, one after the other."""

    def __init__(self, rows: Rows, layout: Layout):
        self._rows, self._spec = rows, to_json(layout)
        self._signature = signature(self._spec)
        self._lengths = record(layout.inputs).itemsize, record(layout.outputs).itemsize

    def find(self, inputs: Sequence[bytes], replicates: Sequence[int]) -> list[bytes | None]:
        """The output of each that has been evaluated, None for the others.

        Two different inputs are taken for one another with probability 2^-128 a pair. Raises `SpanaxError` where the file
        cannot be read, and where an output is not the one that was written (a checksum of 32 bits).
        """
        return self._rows.find([digest(self._signature, x, r) for x, r in zip(inputs, replicates, strict=True)])

    def add(self, rows: Sequence[tuple[bytes, int, bytes, float]]) -> None:
        """Writes (input, replicate, output, seconds); they are durable when it returns. A row that is there stays.

        Raises `SpanaxError` where they cannot be written: then they are kept in memory, where `find` sees them, until the
        next `add`, or `Store.flush`, writes them. Raises `ValueError`, and keeps nothing, for bytes of another length
        than the layout's, a replicate outside 0..2^63 - 1, and seconds below 0.
        """
        self._rows.add([self._row(*row) for row in rows])

    def _row(self, inputs: bytes, replicate: int, output: bytes, seconds: float) -> Row:
        # Bytes of another length could never be read back as this layout.
        if (len(inputs), len(output)) != self._lengths or not (0 <= replicate < 2**63 and seconds >= 0):
            got = f"{len(inputs)} and {len(output)} bytes, replicate {replicate}, {seconds} s"
            raise ValueError(
                f"{got}: expected {self._lengths[0]} and {self._lengths[1]} bytes, 0..2^63 - 1, and 0 or more"
            )
        key = digest(self._signature, inputs, replicate)
        return Row.new(self._spec, key, int(replicate), bytes(inputs), bytes(output), float(seconds))


class Store:
    """Durable evaluations of one black box, in one SQLite file: `sx.blackbox(f, out, via=..., store=sx.Store(path, version))`.

    Each evaluation is in the file before its value is used, so what has been evaluated once, in this run or an earlier one, is
    never evaluated again: the same input bytes, and for a noisy function the same replicate. The file is opened, or made, at
    once. It holds plain numbers and JSON, no pickles, and any SQLite reads it.

    - `version` names the program that is evaluated. A file of another version is refused and left as it is: a store cannot
      see that a program has changed. Whether the version is right is not checked.
    - `durability`: "normal" survives the end of the process by any means, `kill -9` included; a power cut may take the last
      evaluations, and never damages the file. "full" survives a power cut as well, and waits for the disk at every write:
      for evaluations that take seconds. Both hold as far as the disk reports truthfully.
    - Any number of threads and processes may read and write one file at the same time, on one machine: SQLite's write-ahead
      log does not work on network file systems. After a fork each process opens the file for itself.
      Copy the file only when it is closed: its latest rows may still be in the log beside it.
    - Where the disk is full, the call that evaluated raises, what was written stays readable, and the new evaluations wait
      in memory: the next evaluation or `flush` writes them.
    - A file of up to 1 GB is checked whole when it is opened (about 1 s a GB); every evaluation is checked when it is read.

    **Raises:** `SpanaxError`, and changes nothing, for a folder that is missing, a file that is not a store, is damaged, or has
    another version or a newer format.

    >>> import jax, numpy as np, os, spanax as sx, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, sx.Store(os.path.join(folder, "runs.db"), version="1") as store:
    ...     f = sx.blackbox(np.sum, jax.ShapeDtypeStruct((), float), via=sx.FiniteDifference(step=0.5), store=store)
    ...     _ = f(jax.numpy.ones(2)), f(jax.numpy.ones(2))
    ...     f.stats().evaluations, f.stats().hits, len(store)
    (1, 1, 1)
    """

    def __init__(self, path: str | os.PathLike[str], version: str, *, durability: str = "normal"):
        path = os.fspath(path)
        if not (isinstance(path, str) and path):
            raise SpanaxError(f"Store({path!r}, ...): no path", 'sx.Store("runs.db", version="1")')
        if not (isinstance(version, str) and version.strip()):
            problem = f"Store(version={version!r}): the version of the program that is evaluated, as text"
            raise SpanaxError(problem, 'version="solver-1.4"')
        if durability not in DURABILITIES:
            raise SpanaxError(f"Store(durability={durability!r})", 'durability="normal"', 'durability="full"')
        self._path, self._version = path, version
        self._rows = Rows(File(os.path.abspath(path), version, durability))
        self._ledgers: dict[Layout, Ledger] = {}

    def ledger(self, layout: Layout) -> Ledger:
        """The evaluations of one layout. Raises `SpanaxError` where the file belongs to another black box."""
        # Once for each layout: claiming the file is a transaction.
        if layout not in self._ledgers:
            spelled = canonical(layout)
            # One black box for each file: two functions with the same inputs would share rows.
            self._rows.claim(spelled.name)
            self._ledgers[layout] = Ledger(self._rows, spelled)
        return self._ledgers[layout]

    @property
    def version(self) -> str:
        """Of the program that is evaluated, as it was given."""
        return self._version

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """What evaluations there are: one `Layout` for each combination of kind, paths, dtypes and shapes."""
        return self._rows.layouts()

    def table(self, kind: str = "value", *, layout: Layout | None = None) -> dict[str, Shaped[np.ndarray, "n ..."]]:
        """All evaluations of a kind in order of insertion: {path of a leaf: (n, *shape)}, "replicate" (n,), "seconds" (n,).

        `kind`: "value", or "vjp" and "jvp" for the user's own derivative. `layout`: one of `store.layouts`, where there
        are several of the kind; `kind` is then not looked at. Where nothing has been evaluated, "replicate" and "seconds"
        are there, of length 0. Evaluations that wait in memory are included.

        Raises `SpanaxError` where there are several layouts to choose from, and where the file is damaged.
        """
        chosen = self._choose_layout(kind, layout)
        return table(self._rows, chosen) if chosen else empty(None)

    def export(self, path: str | os.PathLike[str], kind: str = "value", *, layout: Layout | None = None) -> None:
        """Writes `table(kind, layout=layout)` to a file: .parquet (needs pyarrow), .csv or .npz, by the suffix of `path`.

        The file appears whole or not at all. In Parquet and CSV each number of a leaf has a column: x[0], x[1], ..., y; in
        CSV with all its digits. Raises `SpanaxError` as `table` does, for another suffix, and where it cannot be written.
        """
        export(self.table(kind, layout=layout), os.fspath(path))

    def flush(self) -> None:
        """Writes the evaluations that wait in memory since the disk was full. Raises `SpanaxError` where it still is."""
        self._rows.flush()

    def close(self) -> None:
        """Writes what waits and closes the file. A store that is used again opens it again."""
        self._rows.close()

    def _choose_layout(self, kind: str, layout: Layout | None) -> Layout | None:
        known = self.layouts
        if layout is not None:
            layout = canonical(layout)
            if layout not in known:
                raise SpanaxError(f"nothing has been evaluated for {layout}", "one of `store.layouts`")
            return layout
        if kind not in KINDS:
            raise SpanaxError(f"evaluations of kind {kind!r}", f"one of {', '.join(map(repr, KINDS))}")
        of_kind = [i for i, each in enumerate(known) if each.kind == kind]
        if len(of_kind) > 1:
            listed = "".join(f"\n  store.layouts[{i}]: {known[i]}" for i in of_kind)
            remedy = f"layout=store.layouts[{of_kind[-1]}]"
            raise SpanaxError(f"evaluations of {len(of_kind)} layouts do not fit into one table:{listed}", remedy)
        return known[of_kind[0]] if of_kind else None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __bool__(self) -> bool:
        """True, also for a store without evaluations."""
        return True

    def __len__(self) -> int:
        """How many evaluations there are, of all layouts."""
        return self._rows.count()

    def __repr__(self) -> str:
        owner, waiting = self._rows.owner(), self._rows.waiting_count()
        of = f" of {owner!r}" if owner else ""
        kept = f", {waiting} of them in memory" if waiting else ""
        return f"Store({self._path!r}, version={self._version!r}): {len(self)} evaluations{of}{kept}"
