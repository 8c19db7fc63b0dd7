"""Ready callbacks of `train`: the course of a training in a CSV file, or for TensorBoard."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._errors import SpanaxError, installing

FIRST = "update"  # the first column, before the metrics


class CSVLog:
    """A callback of `train` that writes one line for each update into a CSV file, readable while the training runs.

    The columns are `update`, then the metrics. A file of an earlier training is replaced; of the same training, resumed from its
    checkpoint, it is continued: each update has one line, however the training was interrupted.

    **Arguments:**

    - `path`: of the file, in a folder that exists.

    **Raises:**

    - `SpanaxError`, when the training begins, for a file that no `CSVLog` has written, which is kept, and where the file cannot
      be written.

    >>> import jax, os, tempfile
    >>> from spanax import control
    >>> env, key = control.Pendulum(), jax.random.key(0)
    >>> policy = control.MLPPolicy(env, key=key, width=4, depth=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "log.csv")
    ...     result = control.train(env, policy, via=control.BPTT(horizon=2), key=key, updates=3, batch=2, progress=False,
    ...                            callback=control.CSVLog(path))
    ...     with open(path) as file:
    ...         header, *lines = file.read().splitlines()
    >>> header
    'update,return,objective,gradient_norm,env_steps,episodes,seconds'
    >>> len(lines), lines[-1].split(",")[0]
    (3, '3')
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path, self.file, self.columns = Path(path), None, None

    def begin(self, history: Sequence[tuple[int, Mapping[str, float]]] = ()) -> None:
        """Before the first update; `history`: the updates that were made already."""
        self.end()
        written = self._written()
        try:
            # Line by line, so that it can be followed, and a crash loses nothing.
            self.file = self.path.open("w", newline="", buffering=1, encoding="utf-8")
        except OSError as error:
            problem = f"the log cannot be written to {str(self.path)!r}: {error.strerror or error}"
            raise SpanaxError(problem, "a folder that exists, is writable, and has room") from error
        self.columns = None
        for step, metrics in history:
            # The line that is there, if it is of this training, knows how many seconds it had taken then.
            there = written.get(str(step), {})
            same = there.get("objective") == repr(metrics["objective"])
            self(step, {**metrics, "seconds": float(there["seconds"])} if same else metrics, None)

    def __call__(self, step: int, metrics: Mapping[str, float], policy: Any) -> None:
        # Outside of `train` nobody begins.
        if self.file is None:
            self.begin()
        assert self.file is not None
        rows = csv.writer(self.file, lineterminator="\n")
        if self.columns is None:
            self.columns = list(metrics)
            rows.writerow([FIRST, *self.columns])
        rows.writerow([step, *(repr(metrics[name]) for name in self.columns)])

    def end(self) -> None:
        """After the last update."""
        if self.file is not None:
            self.file.close()
            self.file = None

    def _written(self) -> dict[str, dict[str, str]]:
        """The lines that are there, by their update."""
        if not self.path.is_file() or self.path.stat().st_size == 0:
            return {}
        with self.path.open(newline="", encoding="utf-8", errors="replace") as file:
            # Somebody's data may have that name.
            if not file.readline().startswith(f"{FIRST},"):
                raise SpanaxError(
                    f"{str(self.path)!r} exists, and is not the log of a training: it is kept",
                    "another path for CSVLog",
                )
            file.seek(0)
            # The last line may have been cut off by a crash: it does not end.
            lines = [line for line in file if line.endswith("\n")]
            return {row[FIRST]: row for row in csv.DictReader(lines) if all(row.values())}

    def __repr__(self):
        return f"CSVLog({str(self.path)!r})"


class TensorBoard:
    """A callback of `train` that writes the metrics for TensorBoard: `tensorboard --logdir folder` shows them as they come.

    It needs tensorboardX (`pip install 'spanax[tensorboard]'`). A training that is resumed from its checkpoint writes the updates
    of the checkpoint again and hides what it wrote of them before, so that its curves have neither gaps nor doubles.

    **Arguments:**

    - `folder`: for the files of events, made if it does not exist; one for each training.

    **Raises:**

    - `SpanaxError` where tensorboardX is not installed.

    >>> from spanax import control
    >>> control.TensorBoard("runs/pendulum")
    TensorBoard('runs/pendulum')
    """

    def __init__(self, folder: str | os.PathLike[str]):
        try:
            import tensorboardX  # noqa: F401  now, and not after the program was compiled
        except ImportError as error:
            raise SpanaxError("TensorBoard needs tensorboardX", *installing("tensorboard")) from error
        self.folder, self.writer = Path(folder), None

    def begin(self, history: Sequence[tuple[int, Mapping[str, float]]] = ()) -> None:
        """Before the first update; `history`: the updates that were made already."""
        from tensorboardX import SummaryWriter

        self.end()
        # From the first update on: what stands there of this training is written again.
        self.writer = SummaryWriter(str(self.folder), purge_step=1)
        for step, metrics in history:
            self(step, metrics, None)

    def __call__(self, step: int, metrics: Mapping[str, float], policy: Any) -> None:
        if self.writer is None:
            self.begin()
        assert self.writer is not None
        for name, value in metrics.items():
            # An update in which no episode ended has no return: a gap, and not a NaN in the curve.
            if value == value:
                self.writer.add_scalar(name, value, step)

    def end(self) -> None:
        """After the last update."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def __repr__(self):
        return f"TensorBoard({str(self.folder)!r})"
