"""`train`: a policy through an environment, whatever the gap.

The updates are one compiled program that runs in pieces of about half a second; between two pieces the host shows progress,
keeps the log, writes the checkpoint and answers Ctrl-C. A method (`via`) is an objective with a carry; its derivative is
the update.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._checks import check_key, check_whole
from .._errors import SpanaxError, warn
from .._fingerprint import Entries, entries
from .._foreign_arrays import refuse_foreign
from .._progress import progress as progress_line
from ._fit import check_env
from ._training.callbacks import Callbacks
from ._training.checkpoint import Standing, checksum, load, make_folder, save, updates_of
from ._training.method import Method, Task
from ._training.updates import ROWS, Progress, Training
from .env import Env, most_at_once
from .result import Result, TrainingError
from .rollout import Policy

if TYPE_CHECKING:
    import optax

PIECE = 0.5  # seconds between two updates of the progress line
# Seconds: what a crash costs at most.
BETWEEN_SAVES = 5.0
# A gradient whose norm is above this has no direction that could be trusted, in float32 even less.
LARGEST = 1e6


def train(
    env: Env,
    policy: Policy,
    *,
    via: Method,
    key: Key[Array, ""],
    updates: int | None = None,
    batch: int | None = None,
    optimizer: optax.GradientTransformation | None = None,
    loss: Callable[[Any, Array, Any], Float[Array, ""]] | None = None,
    progress: bool = True,
    checkpoint: str | os.PathLike[str] | None = None,
    callback: Callable[[int, dict[str, float], Any], Any] | Sequence[Callable[..., Any]] | None = None,
) -> Result:
    """Trains a policy in an environment.

    Everything is compiled into one program. Ctrl-C ends the training early: the result says `interrupted`.

    **Arguments:**

    - `env`: a `control.Env`.
    - `policy`: any callable Equinox module, `policy(observation) -> action`; its floating-point arrays are trained.
    - `via`: the method, which says how the gradient is estimated: `BPTT`, `SHAC`, `Choice`, `Mixed`, `PolicyGradient`; or
      `LearnedModel`, which trains by one of these in a model of the environment.
    - `key`: for resets and draws.
    - `updates`: how many; None: the method's own number.
    - `batch`: each update is from so many episodes, or windows of them, at once; None: the method's own number (no more than a
      Gymnasium environment has).
    - `optimizer`: one of optax, which minimises; None: the method's own, by default Adam at 3e-3 after clipping to a norm of 1.
    - `loss`: `loss(state, action, next_state) -> scalar`, if given, is minimised in the place of `env.loss`, which is -reward
      where an environment does not state another (methods that need values alone, such as `PolicyGradient`: of -reward).
    - `progress`: on a terminal, a line on stderr shows progress (False: none).
    - `checkpoint`: a path, where the training is written every few seconds and at the end, however it ends; where the file
      exists, training continues from it, to `updates` in all, as if it had never stopped. It has to be a file of the same
      training: environment, policy with its first values, method, optimizer, loss, batch, key and precision are compared, code
      and constants of the user's among them; only `updates` may differ (a default optimizer whose rate falls with them, as
      that of `SHAC` and `Choice` does, goes on at the rate of the longer training). A file that is damaged, foreign or of
      another training is refused and kept.
    - `callback`: `callback(step, metrics, policy)`, or a list of such, is called for each update in order: `step` counts from 1;
      `metrics` has the floats "return" (the mean of the episodes that ended, NaN where none did), "objective" and
      "gradient_norm" of the update, and "env_steps", "episodes" and "seconds" until then. Updates run in pieces of about half a
      second: the calls come after each piece, with the `policy` (and the seconds) of its end. One that returns False ends the
      training after the piece, and the result says `interrupted`. Where one raises, what was learned is in the checkpoint, and
      the error goes on. `CSVLog` and `TensorBoard` are ready ones. It is not compared with the checkpoint's.

    **Returns:**

    A `Result`: the trained policy, returns, gradient norms and times.

    **Raises:**

    - `TrainingError`, which holds the `Result` until then, where a gradient is not a number or its norm is above 1e6, and where
      the last checkpoint cannot be written (before that, a `SpanaxWarning`).
    - `SpanaxError`, before anything is compiled, for environments, policies and losses that do not fit each other (a vector
      reward, an action of another shape), and for a checkpoint that cannot be used; while it runs, for what a black-box
      environment raises.

    >>> import jax
    >>> from spanax import control
    >>> env, key = control.Pendulum(), jax.random.key(0)
    >>> policy = control.MLPPolicy(env, key=key, width=4, depth=1)
    >>> result = control.train(env, policy, via=control.BPTT(horizon=2), key=key, updates=3, batch=2, progress=False)
    >>> result.policy(jax.numpy.ones(3)).shape
    (1,)
    """
    check_key(key)
    refuse_foreign(env, policy)
    _check(env, via, loss, progress)
    callbacks = Callbacks(callback)
    updates = via.updates if updates is None else updates
    most = most_at_once(env, via.batch) if via.plays else via.batch
    batch = min(via.batch, most) if batch is None else batch
    check_whole("train(updates", updates, 1, "an integer, 1 or more", "None: the method's own")
    check_whole("train(batch", batch, 1, "an integer, 1 or more", "None: the method's own")
    training, first = _start(env, policy, via, key, batch, optimizer, loss, updates)
    path = None if checkpoint is None else Path(checkpoint)
    # A default may fall with the number of updates, which alone may differ where a training is continued.
    named = optimizer or via.optimizer(via.updates, policy)
    return _Run(training, first, updates, path, progress, callbacks, named).result()


def _check(env: Any, via: Any, loss: Any, progress: Any) -> None:
    check_env(env)
    if not isinstance(via, Method):
        raise SpanaxError(f"train(via={via!r})", "control.BPTT(horizon=40)", "control.PolicyGradient()")
    if not isinstance(progress, bool):
        raise SpanaxError(
            f"train(progress={progress!r})", "True: a line on stderr, where that is a terminal", "False: none"
        )
    if loss is not None and not callable(loss):
        raise SpanaxError(f"train(loss={loss!r})", "loss(state, action, next_state) -> scalar")


def _start(
    env: Env,
    policy: Any,
    via: Method,
    key: Key[Array, ""],
    batch: int,
    optimizer: optax.GradientTransformation | None,
    loss: Any,
    updates: int = 1,
) -> tuple[Training, Progress]:
    # NumPy arrays, such as the scale of an `MLPPolicy`, are constants.
    arrays, static = eqx.partition(policy, lambda x: eqx.is_inexact_array(x) and isinstance(x, jax.Array))
    if not jax.tree.leaves(arrays):
        raise SpanaxError("the policy has no floating-point arrays that could be trained", "an Equinox module")
    # Two streams: where episodes start must not depend on the updates' draws.
    task, (begin, go) = Task(env, batch, loss, via.by_derivative), jax.random.split(key)
    via.check(task, policy)
    # A method's own is made for policies that it has checked.
    optimizer = via.optimizer(updates, policy) if optimizer is None else optimizer
    carry = via.start(task, policy, begin)
    training = Training(task, via, optimizer, static, go, jnp.asarray(LARGEST, float))
    return training, Progress(arrays, optimizer.init(arrays), carry, jnp.zeros((), jnp.int32))


def _fingerprint(training: Training, first: Progress) -> Entries:
    """What defines the training: all but the number of updates."""
    task = training.task
    return entries(
        environment=task.env,
        policy=eqx.combine(first.arrays, training.static),
        method=training.method,
        optimizer=training.optimizer,
        # What the optimizer keeps for each parameter; its code is read like any other.
        memory=[(np.shape(x), str(jnp.result_type(x))) for x in jax.tree.leaves(first.memory)],
        loss=task.loss,
        batch=task.batch,
        key=training.key,
        precision=str(jnp.result_type(float)),
    )


class _Run:
    """One training, piece by piece."""

    def __init__(
        self,
        training: Training,
        first: Progress,
        updates: int,
        path: Path | None,
        shows: bool,
        callbacks: Callbacks,
        named: Any,
    ):
        self.training, self.first, self.updates, self.path, self.shows = training, first, updates, path, shows
        self.callbacks, self.stopped = callbacks, False
        # Only to know the shapes of a row: nothing is computed.
        log = jax.eval_shape(training.updates, first, jnp.zeros((), jnp.int32))[1]
        empty = jax.tree.map(lambda x: np.zeros((0, *x.shape[1:]), x.dtype), log)
        self.standing = Standing(first, empty, 0.0)
        self.fingerprint, self.last = {}, None
        if path is not None:
            self.fingerprint = _fingerprint(dataclasses.replace(training, optimizer=named), first)
            make_folder(path)
            # Before anything is compiled: a file that does not fit is refused at once.
            if path.exists():
                self.standing = load(path, first, log, self.fingerprint)
                self.last = checksum(path)
        # A log that cannot be written is refused before the wait.
        callbacks.begin(self.standing.log, self.standing.seconds)
        # Compiled here, and not at the first call, so that the two times can be reported separately.
        start = time.perf_counter()
        try:
            self.compiled = _compile(training, first)
        except BaseException:
            callbacks.end()
            raise
        self.compile_seconds = time.perf_counter() - start
        self.saved = time.perf_counter()

    def result(self) -> Result:
        interrupted, usable = False, True
        try:
            with self._line() as advance:
                usable = self._updates(advance)
            interrupted = self.stopped
        # Ctrl-C is a normal end: what was learned until the last piece is returned.
        except KeyboardInterrupt:
            interrupted = True
        # An error of the environment, say: what was learned is saved first.
        except BaseException:
            self._save()
            raise
        finally:
            self.callbacks.end()
        result, problem = self._build_result(interrupted), self._problem_of_saving()
        if problem and usable:
            raise TrainingError(result, *problem, "error.result: what was learned")
        if not usable:
            raise self._unusable_gradient(result)
        if not interrupted:
            self._judge(result)
        return result

    def _judge(self, result: Result) -> None:
        """Raises, or warns, where the method finds that what it has learned from is not what it took it for."""
        verdict = self.training.method.verdict(self.training.task, result.metrics)
        if verdict is not None and verdict.fatal:
            raise TrainingError(result, verdict.problem, *verdict.remedies, "error.result: what was learned")
        if verdict is not None:
            warn(verdict.problem, *verdict.remedies)

    def _line(self) -> contextlib.AbstractContextManager[Callable[..., None]]:
        if self.shows:
            return progress_line(self.updates - self.updates_made, "training")
        return contextlib.nullcontext(lambda done: None)

    @property
    def updates_made(self) -> int:
        return len(self.standing.log.norms)

    def _updates(self, advance: Callable[..., None]) -> bool:
        """All that are left; False where a gradient cannot be used."""
        # From one update on, so many at a time as take `PIECE` seconds, judged by the last piece.
        count = 1
        while self.updates_made < self.updates:
            start = time.perf_counter()
            before = self.updates_made
            usable = self._piece(min(count, self.updates - before))
            seconds = time.perf_counter() - start
            self.stopped = not self.callbacks.report(self.standing.log, self._policy(), self.standing.seconds)
            if self.stopped or not usable:
                return usable
            # A first piece of one update also measures how fast they are.
            count = max(1, min(ROWS, int(PIECE * count / max(seconds, 1e-6))))
            advance(self.updates_made - before)
            if time.perf_counter() - self.saved > BETWEEN_SAVES:
                self._save()
        return True

    def _piece(self, count: int) -> bool:
        start = time.perf_counter()
        # Until the numbers are there: errors of a callback arrive with them.
        with self.training.task.env.own_errors():
            progress, log, made, usable = self.compiled(self.standing.progress, jnp.asarray(count, jnp.int32))
            usable = bool(usable)
        rows = jax.tree.map(
            lambda old, new: np.concatenate([old, np.asarray(new)[: int(made)]]), self.standing.log, log
        )
        # The log is the host's: the device has room for one piece.
        self.standing = Standing(progress, rows, self.standing.seconds + time.perf_counter() - start)
        return usable

    def _save(self) -> None:
        if problem := self._problem_of_saving():
            warn(*problem, "the training continues")

    def _problem_of_saving(self) -> tuple[str, str] | None:
        """Writes the checkpoint; returns what is wrong and what helps where it could not."""
        self.saved = time.perf_counter()
        if self.path is None:
            return None
        try:
            # Another process has written it: the same training, perhaps further on, or another one.
            if checksum(self.path) not in (None, self.last):
                there = updates_of(self.path, self.fingerprint)
                if there is None:
                    problem = (
                        f"the checkpoint {str(self.path)!r} was written by another training meanwhile, and is kept"
                    )
                    return problem, "a path of its own for each training"
                if there >= self.updates_made:
                    return None
            self.last = save(self.path, self.standing, self.fingerprint)
        except OSError as error:
            problem = f"the checkpoint {str(self.path)!r} could not be written: {error.strerror or error}"
            return problem, "room on the disk, and the rights to write there"
        return None

    def _policy(self) -> Any:
        return eqx.combine(self.standing.progress.arrays, self.training.static)

    def _build_result(self, interrupted: bool) -> Result:
        return Result(
            self.training,
            self.first,
            self._policy(),
            self.standing.log,
            self.compile_seconds,
            self.standing.seconds,
            interrupted,
        )

    def _unusable_gradient(self, result: Result) -> TrainingError:
        norm, value = float(result.gradient_norms[-1]), float(result.objectives[-1])
        what = f"its norm is {norm:.3g}, and the objective {value:.3g}"
        if math.isfinite(norm):
            what = f"its norm, {norm:.3g}, is above {LARGEST:.0e}"
        before = [float(n) for n in result.gradient_norms[-4:-1]]
        history = f"; the norms before it: {', '.join(f'{n:.3g}' for n in before)}" if before else ""
        return TrainingError(
            result,
            f"the gradient of update {self.updates_made} cannot be used: {what}{history}",
            "a shorter horizon: control.BPTT(horizon=20)",
            "a smaller step, or clipping: optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))",
            "error.result.policy: what was learned before it",
            "jax.config.update('jax_debug_nans', True), to see where a NaN comes from",
        )


def _compile(training: Training, first: Progress) -> Callable[..., Any]:
    """`training.updates` for arrays like these, compiled now."""
    # Arrays are arguments, not constants: XLA would fold what depends on them alone, and take minutes over a large one.
    arrays, static = eqx.partition(training, eqx.is_array)
    run = jax.jit(lambda arrays, progress, count: eqx.combine(arrays, static).updates(progress, count))
    program = run.lower(arrays, first, jnp.zeros((), jnp.int32)).compile()
    return lambda progress, count: program(arrays, progress, count)
