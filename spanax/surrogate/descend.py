"""`descend`: the loop for objectives whose gradients are expensive and noisy."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._checks import check_key, check_positive, check_whole
from .._errors import SpanaxError
from .._fingerprint import entries
from .._foreign_arrays import refuse_foreign
from .._progress import progress as progress_line
from .._pytree import PyTree
from ..blackbox import BlackBox
from ..blackbox.bounds import box_of
from ..blackbox.within import black_boxes, failure, forget_failures, is_flat, points_asked
from ..bridges import Bounded, Box
from ._descend.estimates import Slope, smoothed
from ._descend.journal import Journal, Standing, from_numpy, to_numpy
from ._descend.learning import Learners
from ._descend.step import Step, start
from .descent import Descent, DescentError, Iterate

if TYPE_CHECKING:
    import optax


def descend(
    objective: Callable[..., Float[Array, ""]],
    x0: PyTree[Array],
    *,
    optimizer: optax.GradientTransformation,
    steps: int,
    key: Key[Array, ""],
    bounds: tuple[Any, Any] | None = None,
    tolerance: float | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    callback: Callable[[Iterate], Any] | None = None,
    progress: bool = True,
) -> Descent:
    """Minimises an expensive, noisy objective along its gradient, and can be interrupted at any moment.

    The gradient is what `jax.grad` of the objective gives: that of its black boxes by their bridges, of `sx.smooth`, of
    `sx.expectation`. A bridge that learns (`sx.Surrogate`) is trained along the way. Ctrl-C ends the descent early, with the
    result until then.

    **Arguments:**

    - `objective`: `objective(x)`, or `objective(x, key=key)`, returns a floating-point scalar: a function of JAX, or a
      `sx.blackbox`. It is compiled once; each step has a key of its own.
    - `x0`: the start, a pytree of floating-point arrays.
    - `optimizer`: one of optax. Those that take them (line searches, `optax.lbfgs`) get `value=`, `grad=` and `value_fn=`, the
      objective with the key of the step.
    - `steps`: how many in all, those of a checkpoint among them.
    - `key`: a PRNG key, for the noise of the gradients.
    - `bounds`: (lower, upper), numbers or pytrees of x's structure with a number or an array for each leaf, None for no
      bound. x is projected onto them after each step. An objective that is itself a black box without bounds gets them too, so
      that no probe lies outside; black boxes inside a function have bounds of their own.
    - `tolerance`: it stops when the averaged gradient (over about the last 19) lies no more than so many standard errors of its
      own noise from zero: 2 is a good number for a noisy objective. Without noise nothing stops it. None: never.
    - `checkpoint`: a path, where each step is written. If the file exists, the descent continues from it, exactly as if it had
      never stopped. It has to be one of the same descent: objective, start, bounds, optimizer, key and precision are
      compared, the user's code and constants among them; `steps` may differ.
    - `callback`: called after each step with an `Iterate`; if it returns something true, the descent stops.
    - `progress`: on a terminal, a line on stderr shows progress (False: none).

    **Returns:**

    A `Descent`: the best point by its smoothed value, the last one, and the history.

    **Raises:**

    - `DescentError`, which holds the `Descent` until then, where an evaluation fails (see `sx.Run`), or value or gradient are
      not finite.
    - `SpanaxError`, before anything is evaluated, for arguments that do not fit, an x0 outside the bounds, and a checkpoint
      that is damaged, of another descent, or written by another process.

    The smoothed values are those of local linear regression (Fan and Gijbels 1996, section 2.2), in windows as wide as the noise
    allows.

    >>> import jax, numpy as np, optax, spanax as sx
    >>> f = sx.blackbox(lambda x: np.sum((x - 3) ** 2), jax.ShapeDtypeStruct((), float), via=sx.Smoothing(0.1, pairs=4))
    >>> found = sx.descend(f, np.zeros(2), optimizer=optax.adam(0.3), steps=60, key=jax.random.key(0), bounds=(0.0, 2.5))
    >>> print(found.x, found.evaluations)
    [2.5 2.5] 540
    """
    _check(objective, optimizer, steps, key, tolerance, callback, progress)
    refuse_foreign(x0, bounds)
    x = start(x0)
    box = None if bounds is None else _box(bounds, x)
    if bounds is not None:
        objective = _bounded(objective, bounds)
    return _Run(objective, x, optimizer, key, box, tolerance, checkpoint).result(steps, callback, progress)


def _check(objective, optimizer, steps, key, tolerance, callback, progress) -> None:
    check_key(key)
    if not callable(objective):
        raise SpanaxError(f"descend(objective={objective!r})", "a function: objective(x, key=key) -> scalar")
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise SpanaxError(f"descend(optimizer={optimizer!r})", "optax.adam(0.1)")
    check_whole("descend(steps", steps)
    if tolerance is not None:
        check_positive("descend(tolerance", tolerance, "standard errors, such as 2", "None: it never stops early")
    if callback is not None and not callable(callback):
        raise SpanaxError(f"descend(callback={callback!r})", "a function of one Iterate")
    if not isinstance(progress, bool):
        raise SpanaxError(f"descend(progress={progress!r})", "True", "False")


def _box(bounds: Any, x: PyTree[Array]) -> Box:
    box = box_of("descend", bounds, x)
    if not all(
        jnp.all((leaf >= low) & (leaf <= high))
        for leaf, low, high in zip(*map(jax.tree.leaves, (x, box.lower, box.upper)), strict=True)
    ):
        raise SpanaxError("descend: x0 lies outside the bounds", "an x0 between them", "wider bounds")
    return box


def _bounded(objective: Any, bounds: Any) -> Any:
    """A black box that has no bounds of its own, with these."""
    if isinstance(objective, BlackBox) and objective.host.bounds is None and isinstance(objective.via, Bounded):
        return objective.between(bounds)
    return objective


class _Run:
    """One descent, step by step. Its state is what the journal keeps."""

    def __init__(self, objective, x, optimizer, key, box, tolerance, checkpoint):
        self.objective, self.key, self.tolerance, self.checkpoint = objective, key, tolerance, checkpoint
        self.step = _compiled(objective, optimizer, box, x, key)
        self.boxes = black_boxes(self.step.program)
        self.learners = Learners(self.step.program)
        self.x, self.memory = x, self.step.memory
        self.learned = self.learners.empty()
        self.slope = Slope.empty(sum(leaf.size for leaf in jax.tree.leaves(x)))
        leaves = [np.zeros((0, *leaf.shape), leaf.dtype) for leaf in jax.tree.leaves(x)]
        self.rows = [np.zeros(0), np.zeros(0), np.zeros(0, np.int64), *leaves]
        self.columns: list[list[np.ndarray]] = [[] for _ in self.rows]
        self.journal: Journal | None = None
        self.fingerprint_of = x, optimizer, box

    # -- the loop

    def result(self, steps: int, callback: Callable | None, shows: bool) -> Descent:
        self._open()
        try:
            stopped = self._loop(steps, callback, shows)
        # A normal end: what was found until the last whole step is returned.
        except KeyboardInterrupt:
            stopped = "interrupted"
        except _FlatError:
            stopped = "flat"
        finally:
            if self.journal is not None:
                self.journal.close()
        return self._descent(stopped)

    def _loop(self, steps: int, callback: Callable | None, shows: bool) -> str:
        made = self.steps
        line = progress_line(max(steps - made, 1), "descending") if shows else contextlib.nullcontext(lambda: None)
        with line as advance:
            while self.steps < steps:
                if self._is_flat():
                    return "tolerance"
                iterate = self._advance()
                advance()
                if callback is not None and callback(iterate):
                    return "callback"
        return "tolerance" if self._is_flat() else "steps"

    def _is_flat(self) -> bool:
        return self.tolerance is not None and self.slope.standard_errors <= self.tolerance

    def _advance(self) -> Iterate:
        before = points_asked(self.boxes)
        made = self._step()
        # In float64, whatever x has: sums of squares over many steps.
        value, gradient = float(made.value), np.asarray(made.gradient, np.float64)
        norm = float(np.linalg.norm(gradient))
        if not (np.isfinite(value) and np.isfinite(norm)):
            self._fail(
                f"step {self.steps + 1} has no gradient to follow: the value is {value:.3g}, the gradient's norm {norm:.3g}",
                "a smaller step of the optimizer",
                "bounds=(lower, upper)",
            )
        if not all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(made.x)):
            self._fail(
                f"step {self.steps + 1} of the optimizer leads to an x that is not finite: the gradient's norm is {norm:.3g}",
                "a smaller step of the optimizer",
                "optax.chain(optax.clip_by_global_norm(1.0), ...)",
                "bounds=(lower, upper)",
            )
        learned = self.learners.learned(self.learned)
        asked = points_asked(self.boxes) - before if self.boxes else 1
        evaluations = (int(self.columns[2][-1]) if self.steps else 0) + asked
        row = [np.float64(value), np.float64(norm), np.int64(evaluations), *map(np.asarray, jax.tree.leaves(self.x))]
        iterate = Iterate(self.steps, self.x, value, norm, evaluations)
        self.x, self.memory, self.learned, self.slope = made.x, made.memory, learned, self.slope.add(gradient)
        for column, cell in zip(self.columns, row, strict=True):
            column.append(cell)
        if self.journal is not None:
            self.journal.append(to_numpy(self._state()), [np.asarray(cell) for cell in row], self._stacked)
        return iterate

    def _step(self) -> Any:
        forget_failures(self.boxes)
        # By the step's number, so that a resumed descent has the same draws.
        key = jax.random.fold_in(self.key, self.steps)
        try:
            with self.learners.carrying(self.learned):
                return jax.block_until_ready(self.step.run(self.x, self.memory, key))
        except Exception:
            own = failure(self.boxes)
            if own is None:
                raise
        # At the start it would be a gradient of 0 that nobody asked for; after a way down it is the end of the way.
        if is_flat(own) and self.steps:
            raise _FlatError
        # Outside of the handler: JAX's own error quotes the same, below pages of its frames.
        self._fail(own.problem, *own.remedies, where=own.where)

    def _fail(self, problem: str, *remedies: str, where: str | None = None) -> NoReturn:
        result = self._descent("failed")
        raise DescentError(result, problem, *remedies, "error.result: the descent until then", where=where)

    # -- what is kept

    @property
    def steps(self) -> int:
        return len(self.columns[0])

    def _state(self) -> tuple[Any, ...]:
        return self.x, self.memory, self.learned, self.slope

    def _stacked(self) -> list[np.ndarray]:
        return [
            np.stack(column).astype(empty.dtype) if column else empty
            for column, empty in zip(self.columns, self.rows, strict=True)
        ]

    def _open(self) -> None:
        if self.checkpoint is None:
            return
        x, optimizer, box = self.fingerprint_of
        defining = entries(
            objective=self.objective,
            optimizer=optimizer,
            start=x,
            bounds=box,
            key=self.key,
            precision=str(jnp.result_type(float)),
        )
        like = Standing(to_numpy(self._state()), self.rows)
        self.journal = Journal(self.checkpoint, defining, like)
        standing = self.journal.standing
        if standing is not None:
            self.x, self.memory, self.learned, self.slope = from_numpy(standing.leaves, self._state())
            self.columns = [list(column) for column in standing.rows]

    def _descent(self, stopped: str) -> Descent:
        values, norms, evaluations, *leaves = self._stacked()
        tree = jax.tree.structure(self.x)
        level = smoothed(values)
        history = {
            "value": values,
            "smoothed": level,
            "gradient_norm": norms,
            "evaluations": evaluations,
            "x": jax.tree.unflatten(tree, leaves),
        }
        best = int(np.argmin(level)) if len(level) else None
        x = self.x if best is None else jax.tree.unflatten(tree, [jnp.asarray(leaf[best]) for leaf in leaves])
        value = np.nan if best is None else float(level[best])
        return Descent(x, value, self.x, len(values), stopped, history, self.learners.checks(self.learned))


class _FlatError(Exception):
    """The points of a derivative no longer show how the objective changes."""


def _compiled(objective: Any, optimizer: Any, box: Box | None, x: PyTree[Array], key: Any) -> Step:
    try:
        return Step(objective, optimizer, box, x, key)
    except jax.errors.TracerArrayConversionError as error:
        problem = "descend: the objective leaves JAX, which cannot differentiate it"
        remedy = (
            "sx.blackbox(fn, jax.ShapeDtypeStruct((), float), via=sx.Smoothing(sigma=0.1, pairs=16)) of that function"
        )
        raise SpanaxError(problem, remedy) from error
