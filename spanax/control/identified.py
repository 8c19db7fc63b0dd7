"""What `identify` returns: the environment that fits the data, its parameters with their errors, and how well it predicts."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from .env import Env


class Identified(eqx.Module):
    """A simulator fitted to data. `identify` returns it.

    - `env`: the environment with the parameters found; a `Corrected` one where a residual was learned and kept;
    - `parameters`, `standard_errors`: by name, floats or arrays of NumPy as the fields are. A standard error is NaN where the
      parameter ended at a bound;
    - `error_before`, `error_after`: of `env` as it was given and of `env` here, on every fifth window, which nothing was fitted
      to: the first half of a window tells its first state, the second half is predicted as one run, and this is the root mean
      square of prediction - measurement, each channel in units of its own standard deviation over all data. 1: no better than
      the mean. The noise of the measurements is part of it;
    - `error_without_residual`: the same of the parameters alone; None where no residual was asked for;
    - `noise`: of each measured channel, in its own unit, the standard deviation of the measurements around the fit;
    - `residual`: the network; None where none was asked for, or where it did not lower the held-out error: then it is left out;
    - `windows`, `held_out`: how many windows were fitted, and how many held out; `steps`: of a window, at most;
    - `initial`: the parameters as they were given.

    >>> import jax, jax.numpy as jnp
    >>> from spanax import control
    >>> swing = control.rollout(control.Pendulum(l=0.9), lambda seen: jnp.ones(1), jnp.array([3.0, 0.0]), 60)
    >>> found = control.identify(control.Pendulum(), swing, parameters=["l"], key=jax.random.key(0))
    >>> isinstance(found, control.Identified), found.residual, found.error_after < found.error_before
    (True, None, True)
    """

    env: Env
    parameters: dict[str, Any]
    standard_errors: dict[str, Any]
    error_before: float
    error_after: float
    error_without_residual: float | None
    noise: Float[np.ndarray, " channels"]
    residual: Any
    windows: int
    held_out: int
    steps: int
    initial: dict[str, Any]

    def __repr__(self):
        rows = [("", "found", "standard error", "given"), *self._rows()]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            "  ".join(
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        # Without parameters, where only a residual was learned, the table would be a head without rows.
        return "\n".join(
            [self._title, *(f"  {line}".rstrip() for line in (lines if self.parameters else [])), f"  {self._errors}"]
        )

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in ("", "found", "standard error", "given"))
        rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in self._rows())
        return (
            f"<div><p><b>{html.escape(self._title)}</b></p><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
            f"<p>{html.escape(self._errors)}</p></div>"
        )

    @property
    def _title(self) -> str:
        return (
            f"Identified from {self.windows} windows of {self.steps} steps or fewer; {self.held_out} more were held out"
        )

    @property
    def _errors(self) -> str:
        residual = (
            "" if self.error_without_residual is None else f" ({self.error_without_residual:.3g} without the residual)"
        )
        # Both errors are the same then, and two equal numbers would not say why.
        if self.error_without_residual is not None and self.residual is None:
            residual = " (the residual did not lower it, and is left out)"
        return f"held-out error: {self.error_before:.3g} before, {self.error_after:.3g} after{residual}"

    def _rows(self) -> Iterator[tuple[str, str, str, str]]:
        for name in self.parameters:
            columns = (np.atleast_1d(of[name]) for of in (self.parameters, self.standard_errors, self.initial))
            for index, row in enumerate(zip(*map(np.ravel, columns), strict=True)):
                label = name if np.ndim(self.parameters[name]) == 0 else f"{name}[{index}]"
                yield label, *_numbers(*row)


def _numbers(found: float, error: float, given: float) -> tuple[str, str, str]:
    """The standard error to two digits, and what was found to as many places."""
    # Such an error does not say how many places are known.
    if not (np.isfinite(error) and error > 0):
        return f"{found:.6g}", "at its bound" if np.isnan(error) else f"{error:.2g}", f"{given:.6g}"
    places = max(0, min(12, 1 - int(np.floor(np.log10(error)))))
    return f"{found:.{places}f}", f"{error:.{places}f}", f"{given:.6g}"
