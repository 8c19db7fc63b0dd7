"""`train`: a policy through an environment, whatever the gap."""

from __future__ import annotations

import contextlib
import math
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._checks import check_key
from .._errors import SpanaxError, SpanaxWarning, diagnosis
from .._foreign_arrays import refuse_foreign
from .._jaxprs import here
from .._progress import progress as shown
from ._training.checkpoint import Standing, checksum, load, make_folder, save, updates_of
from ._training.fingerprint import Entries, entries
from ._training.method import Method, Task
from ._training.updates import ROWS, Progress, Training
from .env import Env
from .result import Result, TrainingError
from .rollout import Policy

if TYPE_CHECKING:
    import optax

PIECE = 0.5  # seconds between two looks at how far it is
BETWEEN_SAVES = 5.0  # seconds
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
) -> Result:
    """Trains a policy in an environment.

    `policy` is any callable Equinox module, `policy(observation) -> action`, and its floating-point arrays are what is trained;
    `via` says how the gradient comes about (`BPTT`, `PolicyGradient`). There are `updates` updates, each from `batch` episodes
    or windows of them at once: by default 300, from 32 of `BPTT` or 16 of `PolicyGradient` (no more than a Gymnasium environment
    has). `loss(state, action, next_state) -> scalar`, if given, is minimised in the place of -reward. The
    `optimizer` is one of optax, which minimises (None: Adam at 3e-3 after clipping to a norm of 1).

    Everything is compiled into one program. On a terminal a line on stderr shows progress (`progress=False`: none). With
    `checkpoint`, a path, what was learnt is written there every few seconds and at the end, whatever the end is; where the file
    exists, training goes on from it, to `updates` in all, as if it had never stopped. It has to be a file of the same training:
    environment, policy with its first values, method, optimizer, loss, batch, key and precision are compared, code and constants
    of the user's among them; only `updates` may differ. A file that is damaged, foreign or of another training is refused and
    kept. Ctrl-C ends it early: the result says `interrupted`.

    Raises `TrainingError`, which holds the `Result` until then, where a gradient is no number or its norm is above 1e6, and where
    the last checkpoint cannot be written (before that, a `SpanaxWarning`); `SpanaxError`, before anything is compiled, for
    environments, policies and losses that do not fit each other (a vector reward, an action of another shape); `SpanaxError` for
    a checkpoint that cannot be used, and for what a black-box environment raises.
    """
    where = here()
    check_key(key, where=where)
    refuse_foreign(env, policy)
    _check(env, via, loss, progress, where)
    updates = via.updates if updates is None else updates
    batch = min(via.batch, getattr(env, "n", via.batch)) if batch is None else batch
    _check_counts(updates=updates, batch=batch)
    training, first = _started(env, policy, via, key, batch, optimizer or _default_optimizer(), loss, where)
    return _Run(training, first, updates, None if checkpoint is None else Path(checkpoint), progress, where).result()


def _check(env: Any, via: Any, loss: Any, progress: Any, where: str) -> None:
    if not isinstance(env, Env):
        raise SpanaxError(
            f"{env!r} is no control.Env", "control.from_gymnasium(env)", "a subclass of control.Env", where=where
        )
    if not isinstance(via, Method):
        raise SpanaxError(f"train(via={via!r})", "control.BPTT(horizon=40)", "control.PolicyGradient()", where=where)
    if not isinstance(progress, bool):
        raise SpanaxError(
            f"train(progress={progress!r})",
            "True: a line on stderr, where that is a terminal",
            "False: none",
            where=where,
        )
    if loss is not None and not callable(loss):
        raise SpanaxError(f"train(loss={loss!r})", "loss(state, action, next_state) -> scalar", where=where)


def _check_counts(**counts: Any) -> None:
    for name, number in counts.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise SpanaxError(f"train({name}={number!r})", "an integer, 1 or more", "None: the method's own")


def _default_optimizer() -> optax.GradientTransformation:
    import optax

    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(3e-3))


def _started(
    env: Env,
    policy: Any,
    via: Method,
    key: Key[Array, ""],
    batch: int,
    optimizer: optax.GradientTransformation,
    loss: Any,
    where: str,
) -> tuple[Training, Progress]:
    arrays, static = eqx.partition(policy, lambda x: eqx.is_inexact_array(x) and isinstance(x, jax.Array))
    if not jax.tree.leaves(arrays):
        raise SpanaxError(
            "the policy has no floating-point arrays that could be trained", "an Equinox module", where=where
        )
    task, (begin, go) = Task(env, batch, loss), jax.random.split(key)
    via.check(task, policy)
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
        memory=[(np.shape(x), str(jnp.result_type(x))) for x in jax.tree.leaves(first.memory)],
        loss=task.loss,
        batch=task.batch,
        key=training.key,
        precision=str(jnp.result_type(float)),
    )


class _Run:
    """One training, piece by piece."""

    def __init__(self, training: Training, first: Progress, updates: int, path: Path | None, shows: bool, where: str):
        self.training, self.first, self.updates, self.path, self.where = training, first, updates, path, where
        self.shows = shows
        log = jax.eval_shape(training.updates, first, jnp.zeros((), jnp.int32))[1]
        empty = jax.tree.map(lambda x: np.zeros((0, *x.shape[1:]), x.dtype), log)
        self.standing = Standing(first, empty, 0.0)
        self.fingerprint, self.last = {} if path is None else _fingerprint(training, first), None
        if path is not None:
            make_folder(path, where)
            if path.exists():
                self.standing = load(path, first, log, self.fingerprint, where)
                self.last = checksum(path)
        start = time.perf_counter()
        self.compiled = _compiled(training, first)
        self.compile_seconds = time.perf_counter() - start
        self.saved = time.perf_counter()

    def result(self) -> Result:
        interrupted, usable = False, True
        try:
            with self._line() as advance:
                usable = self._updates(advance)
        except KeyboardInterrupt:
            interrupted = True
        except BaseException:
            self._save()
            raise
        found, problem = self._found(interrupted), self._problem_of_saving()
        if problem and usable:
            raise TrainingError(found, *problem, "error.result: what was learnt", where=self.where)
        if not usable:
            raise self._stopped(found)
        return found

    def _line(self) -> contextlib.AbstractContextManager[Callable[..., None]]:
        if self.shows:
            return shown(self.updates - self.made, "training")
        return contextlib.nullcontext(lambda done: None)

    @property
    def made(self) -> int:
        return len(self.standing.log.norms)

    def _updates(self, advance: Callable[..., None]) -> bool:
        """All that are left; False where a gradient cannot be used."""
        count = 1
        while self.made < self.updates:
            start = time.perf_counter()
            before = self.made
            if not self._piece(min(count, self.updates - before)):
                return False
            seconds = time.perf_counter() - start
            count = max(1, min(ROWS, int(PIECE * count / max(seconds, 1e-6))))
            advance(self.made - before)
            if time.perf_counter() - self.saved > BETWEEN_SAVES:
                self._save()
        return True

    def _piece(self, count: int) -> bool:
        start = time.perf_counter()
        with self.training.task.env.telling():
            progress, log, made, usable = self.compiled(self.standing.progress, jnp.asarray(count, jnp.int32))
            usable = bool(usable)
        rows = jax.tree.map(
            lambda old, new: np.concatenate([old, np.asarray(new)[: int(made)]]), self.standing.log, log
        )
        self.standing = Standing(progress, rows, self.standing.seconds + time.perf_counter() - start)
        return usable

    def _save(self) -> None:
        if problem := self._problem_of_saving():
            warnings.warn(SpanaxWarning(diagnosis(*problem, "the training goes on", where=self.where)), stacklevel=2)

    def _problem_of_saving(self) -> tuple[str, str] | None:
        """Writes the checkpoint; or what is wrong, and what to do."""
        self.saved = time.perf_counter()
        if self.path is None:
            return None
        try:
            if checksum(self.path) not in (None, self.last):  # another process has written it
                there = updates_of(self.path, self.fingerprint)
                if there is None:
                    problem = (
                        f"the checkpoint {str(self.path)!r} was written by another training meanwhile, and is kept"
                    )
                    return problem, "a path of its own for each training"
                if there >= self.made:
                    return None
            self.last = save(self.path, self.standing, self.fingerprint)
        except OSError as error:
            problem = f"the checkpoint {str(self.path)!r} could not be written: {error.strerror or error}"
            return problem, "room on the disk, and the rights to write there"
        return None

    def _found(self, interrupted: bool) -> Result:
        policy = eqx.combine(self.standing.progress.arrays, self.training.static)
        return Result(
            self.training,
            self.first,
            policy,
            self.standing.log,
            self.compile_seconds,
            self.standing.seconds,
            interrupted,
        )

    def _stopped(self, found: Result) -> TrainingError:
        norm, value = float(found.gradient_norms[-1]), float(found.objectives[-1])
        what = f"its norm is {norm:.3g}, and the objective {value:.3g}"
        if math.isfinite(norm):
            what = f"its norm, {norm:.3g}, is above {LARGEST:.0e}"
        before = [float(n) for n in found.gradient_norms[-4:-1]]
        told = f"; the norms before it: {', '.join(f'{n:.3g}' for n in before)}" if before else ""
        return TrainingError(
            found,
            f"the gradient of update {self.made} cannot be used: {what}{told}",
            "a shorter horizon: control.BPTT(horizon=20)",
            "a smaller step, or clipping: optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))",
            "error.result.policy: what was learnt before it",
            "jax.config.update('jax_debug_nans', True), to see where a NaN comes from",
            where=self.where,
        )


def _compiled(training: Training, first: Progress) -> Callable[..., Any]:
    """`training.updates` for arrays like these, compiled now."""
    arrays, static = eqx.partition(training, eqx.is_array)
    run = jax.jit(lambda arrays, progress, count: eqx.combine(arrays, static).updates(progress, count))
    program = run.lower(arrays, first, jnp.zeros((), jnp.int32)).compile()
    return lambda progress, count: program(arrays, progress, count)
