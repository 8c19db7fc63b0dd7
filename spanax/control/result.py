"""What training returns: the policy, the course of the training, and files and pictures of it."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float, Int

from .._errors import SpanaxError
from .._sealed_file import UnfitError, dtypes_of, read_arrays, read_sealed, seal, write_arrays
from ._training.gradient_cosine import gradient_cosine
from ._training.html import training_html
from ._training.updates import Log, Progress, Training
from .policies._portable import with_arrays

FORMAT = b"spanax.result.1\n"
# In the order of the file.
_CURVES = ("returns", "objectives", "gradient_norms", "steps_so_far")
_COUNTS = ("env_steps", "episodes", "compile_seconds", "run_seconds", "interrupted")


class Result:
    """A trained policy, and what it took. `train` returns it.

    - `policy`: after the last update;
    - `returns`: for each update, the mean return of the episodes that ended in it, NaN where none did;
    - `env_steps`, `episodes`: all steps of the environment, and all episodes that began; `steps_so_far`: steps after each update;
    - `compile_seconds`: tracing and compiling; `run_seconds`: the updates, since the first one, of resumed trainings as well;
    - `objectives`, `gradient_norms`: for each update, what was minimised and the gradient's Euclidean norm;
    - `metrics`: for each update, what the method itself reports, by name (`LearnedModel`: how well its model predicts);
    - `interrupted`: Ctrl-C, or a callback, ended it early.

    >>> import jax
    >>> from spanax import control
    >>> env, key = control.Pendulum(), jax.random.key(0)
    >>> policy = control.MLPPolicy(env, key=key, width=4, depth=1)
    >>> result = control.train(env, policy, via=control.BPTT(horizon=2), key=key, updates=3, batch=2, progress=False)
    >>> result.env_steps, result.gradient_norms.shape, result.interrupted
    (12, (3,), False)
    """

    policy: Any
    returns: Float[np.ndarray, " updates"]
    objectives: Float[np.ndarray, " updates"]
    gradient_norms: Float[np.ndarray, " updates"]
    steps_so_far: Int[np.ndarray, " updates"]
    env_steps: int
    episodes: int
    compile_seconds: float
    run_seconds: float
    interrupted: bool
    metrics: dict[str, Float[np.ndarray, " updates"]]

    def __init__(
        self,
        training: Training,
        first: Progress,
        policy: Any,
        log: Log,
        compile_seconds: float,
        run_seconds: float,
        interrupted: bool,
    ):
        self._training, self._first = training, first
        self.policy, self.compile_seconds, self.run_seconds = policy, compile_seconds, run_seconds
        self.interrupted = interrupted
        seen = log.seen
        # An update in which no episode ended has no mean return: NaN.
        with np.errstate(invalid="ignore"):
            self.returns = np.where(seen.ended > 0, seen.earned / np.maximum(seen.ended, 1), np.nan)
        self.objectives, self.gradient_norms = np.asarray(log.objectives), np.asarray(log.norms)
        self.metrics = {name: np.asarray(rows) for name, rows in log.metrics.items()}
        # The log counts in 32 bits, each update by itself; a long training has more steps than those hold.
        self.steps_so_far = np.cumsum(seen.steps, dtype=np.int64)
        self.env_steps, self.episodes = int(np.sum(seen.steps, dtype=np.int64)), int(np.sum(seen.episodes))

    @functools.cached_property
    def gradient_cosine(self) -> float | None:
        """The cosine of the first update's gradient with finite differences of its objective, along 16 random directions.

        1 for a right gradient, up to rounding; less where a bridge is biased, by that much of its direction. Where the policy
        draws, both are means over 64 batches, and noisy. None for a black box, where it would take steps of the environment. It
        is measured when it is first asked for, and then kept. A result that was loaded has the one that was measured before it
        was saved, and raises `SpanaxError` where none was.
        """
        # A file holds no environment to measure it in.
        if self._training is None or self._first is None:
            raise SpanaxError(
                "the gradient's cosine was not measured before this result was saved",
                "result.gradient_cosine, before result.save(path)",
            )
        return gradient_cosine(self._training, self._first)

    def __repr__(self):
        return (
            f"Result({self._updates}, last returns {self._last_returns}, "
            f"{self.env_steps:,} steps in {self.episodes:,} episodes, "
            f"{self.compile_seconds:.1f} s to compile and {self.run_seconds:.1f} s to run)"
        )

    def _repr_html_(self) -> str:
        counts = {
            "last returns": self._last_returns,
            "steps of the environment": f"{self.env_steps:,} in {self.episodes:,} episodes",
            "seconds": f"{self.compile_seconds:.1f} to compile, {self.run_seconds:.1f} to run",
        }
        return training_html(f"Training, {self._updates}", counts, self.steps_so_far, self.returns)

    @property
    def _updates(self) -> str:
        return f"{len(self.returns):,} updates{' (interrupted)' if self.interrupted else ''}"

    @property
    def _last_returns(self) -> str:
        """The mean of the last tenth of the returns."""
        known = self.returns[np.isfinite(self.returns)]
        return f"{np.mean(known[-max(1, len(known) // 10) :]):.4g}" if len(known) else "none yet"

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draws returns and gradient norms against steps into a file (needs matplotlib: `pip install 'spanax[plots]'`)."""
        from ._training.curves import draw

        title = f"{self.env_steps:,} steps in {self.episodes:,} episodes"
        draw(Path(path), title, self.steps_so_far, self.returns, self.gradient_norms)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the result to a file, without pickle; `Result.load` reads it.

        The file holds counts and curves, the policy's arrays, and the gradient's cosine if it has been measured.

        **Raises:** `SpanaxError` where the file cannot be written; a file that was there is kept then.
        """
        curves = [*(getattr(self, name) for name in _CURVES), *self.metrics.values()]
        weights = _trained_arrays(self.policy)
        head = {name: getattr(self, name) for name in _COUNTS}
        head |= {"curves": dtypes_of(curves), "metrics": list(self.metrics), "policy": dtypes_of(weights)}
        # Only what has been measured: to ask would compile and run a program.
        if "gradient_cosine" in self.__dict__:
            head["gradient_cosine"] = self.gradient_cosine
        try:
            seal(Path(path), FORMAT, head, write_arrays([*curves, *weights]))
        except OSError as error:
            problem = f"the result cannot be written to {os.fspath(path)!r}: {error.strerror or error}"
            raise SpanaxError(problem, "a folder that exists, is writable, and has room") from error

    @staticmethod
    def load(path: str | os.PathLike[str], policy: Any) -> Result:
        """The result that `save` wrote. `policy`: one of the same structure, as it was given to `train`; its arrays are replaced.

        **Raises:** `SpanaxError` for a file that is missing, damaged, not one of these or of another version, and for a policy
        of another structure.

        >>> import jax, os, tempfile
        >>> from spanax import control
        >>> env, key = control.Pendulum(), jax.random.key(0)
        >>> policy = control.MLPPolicy(env, key=key, width=4, depth=1)
        >>> result = control.train(env, policy, via=control.BPTT(horizon=2), key=key, updates=3, batch=2, progress=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result.save(os.path.join(folder, "pendulum.result"))
        ...     again = control.Result.load(os.path.join(folder, "pendulum.result"), policy)
        >>> bool((again.policy.log_std == result.policy.log_std).all()), len(again.objectives)
        (True, 3)
        """
        try:
            head, rest = read_sealed(Path(path), FORMAT, "a file that Result.save wrote")
            curves, weights = read_arrays(rest, head["curves"]), read_arrays(rest, head["policy"])
            # Before anything is built from them: arrays of another policy would make one that runs and is wrong.
            if [x.shape for x in weights] != [x.shape for x in _trained_arrays(policy)]:
                raise UnfitError("its policy has arrays of other shapes", "the policy that `train` was given")
        except UnfitError as error:
            problem = f"no result can be loaded from {os.fspath(path)!r}: {error.why}"
            raise SpanaxError(problem, *error.remedies) from None
        # The constructor takes a training, which a file does not hold.
        result = object.__new__(Result)
        result._training = result._first = None
        arrays, static = eqx.partition(policy, _is_trained)
        result.policy = eqx.combine(with_arrays(arrays, weights), static)
        measured = {"gradient_cosine": head["gradient_cosine"]} if "gradient_cosine" in head else {}
        # Files of earlier versions have no metrics.
        named = dict(zip([*_CURVES, *head.get("metrics", [])], curves, strict=True))
        result.metrics = {name: named.pop(name) for name in head.get("metrics", [])}
        vars(result).update({name: head[name] for name in _COUNTS} | named | measured)
        return result


def _is_trained(x: Any) -> bool:
    return eqx.is_inexact_array(x) and isinstance(x, jax.Array)


def _trained_arrays(policy: Any) -> list[Any]:
    """What `train` changes; all else is as it was given."""
    return [x for x in jax.tree.leaves(policy) if _is_trained(x)]


class TrainingError(SpanaxError):
    """A gradient was not a number, or too large. `result`: what was learned before that update.

    >>> import equinox as eqx, jax
    >>> from spanax import control
    >>> env, key = control.Pendulum(), jax.random.key(0)
    >>> policy = control.MLPPolicy(env, key=key, width=4, depth=1)
    >>> broken = eqx.tree_at(lambda p: p.network.layers[0].bias, policy, jax.numpy.full(4, jax.numpy.nan))
    >>> try:
    ...     control.train(env, broken, via=control.BPTT(horizon=2), key=key, updates=3, batch=2, progress=False)
    ... except control.TrainingError as error:
    ...     print(error.problem, len(error.result.objectives))
    the gradient of update 1 cannot be used: its norm is nan, and the objective nan 1
    """

    def __init__(self, result: Result, problem: str, *remedies: str, where: str | None = None):
        super().__init__(problem, *remedies, where=where)
        self.result = result
