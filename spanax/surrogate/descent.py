"""What `descend` returns: where it came to, and the way there."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._errors import SpanaxError
from .._pytree import PyTree

_ROWS = 20  # of a table


class Iterate(NamedTuple):
    """One step of a descent, as `callback` gets it: x before the step, its value and gradient's norm, points so far.

    >>> import jax, jax.numpy as jnp, optax, spanax as sx
    >>> def below(iterate):
    ...     return iterate.value < 0.1  # True ends the descent
    >>> options = {"optimizer": optax.sgd(0.25), "steps": 99, "key": jax.random.key(0), "callback": below}
    >>> sx.descend(lambda x: jnp.sum(x**2), jnp.ones(2), **options).steps
    4
    """

    step: int
    x: PyTree[Any]
    value: float
    gradient_norm: float
    evaluations: int


@dataclasses.dataclass(frozen=True, eq=False)
class Descent:
    """The result of `descend`.

    - `x`: the best point that was visited, by the smoothed estimate of its value, not by the luckiest noise;
    - `value`: that estimate;
    - `last`: the point after the last step, which has not been evaluated;
    - `steps`: how many were made; `stopped`: why it ended: "steps", "tolerance", "callback", "interrupted" (Ctrl-C), "flat"
      (after the first step, the points of a bridge no longer show how a black box changes: often the minimum), or "failed"
      (see `DescentError`);
    - `evaluations`: points that black boxes were asked for, evaluated or found in a store; without a black box, gradients;
    - `history`: arrays with a row for each step: "value", as it was evaluated before the step; "smoothed", the estimate
      of the value without its noise, from the values around it; "gradient_norm"; "evaluations" so far; "x", a pytree of x's
      structure with a leading axis;
    - `surrogates`: for each black box whose bridge learns (`sx.Surrogate`) what its last checks found, by its name.

    A history is the same, bit by bit, whether the descent was interrupted and resumed or not.

    >>> import jax, jax.numpy as jnp, optax, spanax as sx
    >>> found = sx.descend(lambda x: jnp.sum(x**2), jnp.ones(2), optimizer=optax.sgd(0.25), steps=10, key=jax.random.key(0))
    >>> found
    Descent(value 7.63e-06 after 10 steps, 10 evaluations)
    """

    x: PyTree[Any]
    value: float
    last: PyTree[Any]
    steps: int
    stopped: str
    history: dict[str, Any]
    surrogates: dict[str, Any]

    @property
    def evaluations(self) -> int:
        counts = self.history["evaluations"]
        return int(counts[-1]) if len(counts) else 0

    def __repr__(self):
        ended = "" if self.stopped == "steps" else f", stopped: {self.stopped}"
        lines = [f"Descent(value {self.value:.3g} after {self.steps:,} steps, {self.evaluations:,} evaluations{ended})"]
        return "\n".join([*lines, *(f"  {name}: {check}" for name, check in self.surrogates.items())])

    def table(self) -> str:
        """The history as text, at most 20 of its rows, in 80 columns."""
        columns = ("value", "smoothed", "gradient_norm", "evaluations")
        count = len(self.history["value"])
        shown = np.unique(np.linspace(0, max(count - 1, 0), min(count, _ROWS)).round().astype(int))
        head = f"{'step':>8}" + "".join(f"{name:>16}" for name in columns)
        rows = [f"{i:>8,}" + "".join(f"{_number(self.history[name][i]):>16}" for name in columns) for i in shown]
        return "\n".join([head, *rows])

    def plot(self, path: str | os.PathLike[str], *, true: PyTree[Any] = None) -> None:
        """Draws objective and parameters against evaluations into a file.

        **Arguments:**

        - `path`: of the picture; its suffix says which kind.
        - `true`: the true parameters, of x's structure, if they are known: dashed lines.

        **Raises:** `SpanaxError` without matplotlib (`pip install 'spanax[plots]'`), and for `true` of another structure.
        """
        from ._descend.plots import draw

        draw(Path(path), self, true)


class DescentError(SpanaxError):
    """A step failed: an evaluation, or a gradient that is not a number. `result`: the `Descent` until then.

    >>> import jax, jax.numpy as jnp, optax, spanax as sx
    >>> from spanax.surrogate import DescentError
    >>> try:
    ...     sx.descend(lambda x: jnp.log(x), 1.0, optimizer=optax.sgd(0.6), steps=9, key=jax.random.key(0))
    ... except DescentError as error:
    ...     print(error.problem, error.result.steps, sep="; ")
    step 3 has no gradient to follow: the value is nan, the gradient's norm 0.909; 2
    """

    def __init__(self, result: Descent, problem: str, *remedies: str, where: str | None = None):
        super().__init__(problem, *remedies, where=where)
        self.result = result


def _number(x: Any) -> str:
    return f"{int(x):,}" if np.issubdtype(np.asarray(x).dtype, np.integer) else f"{float(x):.6g}"
