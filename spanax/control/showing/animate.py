"""`animate`: a trajectory as a GIF or an MP4, with the drawing of its environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..._checks import check_positive, check_whole
from ..._errors import SpanaxError
from ..._foreign_arrays import refuse_foreign
from ..env import Env
from ..rollout import Trajectory
from .canvas import Picture, new_figure, pixels, refuse_traced
from .film import ffmpeg, write_gif, write_mp4
from .steps import FPS

SLOWEST = 0.01  # pictures a second: a GIF counts time in 16 bits, to 655 s
SMALLEST = 240  # pixels of width, below which a picture is enlarged


def animate(
    env: Env,
    trajectory: Trajectory,
    path: str | os.PathLike[str],
    *,
    title: str = "",
    fps: float | None = None,
    every: int = 1,
) -> None:
    """Writes a film of a trajectory: a GIF, or an MP4, whichever the path ends with.

    Each step until the end of the episode is one picture, as `env.render(state, action)` draws it, below the title and
    the time (or the step, where it is not said how long one takes). A `Trebuchet`'s single step is shown as the
    whole throw. An MP4 needs the program ffmpeg.

    **Arguments:**

    - `env`: the environment that the trajectory is from, with a drawing: ours, or one that defines `render`;
    - `trajectory`: of one episode, as `rollout` returns it;
    - `path`: of the file, which ends in .gif or .mp4;
    - `title`: written above the pictures;
    - `fps`: pictures a second; None: as fast as it happens (`env.render_fps`), else 20;
    - `every`: only each so-manieth step is shown; the speed of the film stays the same.

    **Raises:**

    - `SpanaxError` for an environment without a drawing, a batch of trajectories, another kind of file, a file that cannot be
      written, and where matplotlib (`pip install 'spanax[plots]'`) or ffmpeg is missing.

    >>> import jax, os, tempfile
    >>> from spanax import control
    >>> env = control.Pendulum()
    >>> swing = control.rollout(env, lambda observation: 2 * jax.numpy.sign(observation[2:]), jax.numpy.array([3.0, 0.5]), 5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     control.animate(env, swing, os.path.join(folder, "swing.gif"))
    ...     os.listdir(folder)
    ['swing.gif']
    """
    refuse_foreign(env, trajectory)
    place = _check(env, trajectory, path, every)
    rate = fps if fps is not None else (env.render_fps or FPS) / every
    check_positive("animate(fps", rate, "a positive number of pictures a second", "None: as fast as it happens")
    if rate < SLOWEST:
        raise SpanaxError(f"animate(fps={rate!r}): no player waits so long", f"a rate of {SLOWEST} or more")
    pictures = _headed(env.frames(trajectory, every), title)
    try:
        (write_gif if place.suffix.lower() == ".gif" else write_mp4)(place, pictures, 1 / rate)
    except OSError as error:
        problem = f"the film cannot be written to {str(place)!r}: {error.strerror or error}"
        raise SpanaxError(problem, "a folder that exists, is writable, and has room") from error


def _check(env: Any, trajectory: Any, path: Any, every: Any) -> Path:
    """All that can be known before the first picture."""
    if not isinstance(env, Env):
        raise SpanaxError(f"{env!r} is not a control.Env", "a subclass of control.Env")
    if not isinstance(trajectory, Trajectory):
        raise SpanaxError(f"animate(trajectory={type(trajectory).__name__})", "what control.rollout(...) returns")
    refuse_traced(env, trajectory)
    if np.ndim(trajectory.rewards) != 1:
        raise SpanaxError(
            f"animate shows one episode, and these rewards have shape {list(np.shape(trajectory.rewards))}",
            "one of a batch: jax.tree.map(lambda x: x[0], trajectory)",
        )
    check_whole("animate(every", every)
    place = Path(path)
    if place.suffix.lower() not in (".gif", ".mp4"):
        raise SpanaxError(f"animate(path={os.fspath(path)!r})", 'a path that ends in ".gif"', 'or in ".mp4"')
    # Looked for before minutes of drawing.
    if place.suffix.lower() == ".mp4":
        ffmpeg()
    return place


def _headed(frames: Iterator[tuple[Picture, str]], title: str) -> Iterator[Picture]:
    """Each picture under its line of text, all of one size."""
    head = None
    for picture, caption in frames:
        enlarged = _enlarge(picture)
        head = _Head(enlarged.shape[1], title) if head is None else head
        yield np.concatenate([head.reading(caption), enlarged])


def _enlarge(picture: Picture) -> Picture:
    # By a whole factor, so that pixels stay squares: an environment of 16 x 16 pixels is drawn as such.
    factor = -(-SMALLEST // picture.shape[1])
    return np.repeat(np.repeat(picture, factor, 0), factor, 1)


class _Head:
    """The line above a picture: the title on the left, the time on the right."""

    def __init__(self, width: int, title: str):
        self.figure, self.width = new_figure(width / 100, 0.34), width
        # As it stands: a "$" begins no formula.
        self.figure.text(0.03, 0.45, title, fontsize=12, va="center", parse_math=False)
        self.caption = self.figure.text(0.97, 0.45, "", fontsize=12, ha="right", va="center", family="monospace")

    def reading(self, caption: str) -> Picture:
        self.caption.set_text(caption)
        # To the pixel: a figure of inches may be one off.
        drawn = pixels(self.figure)[:, : self.width]
        return np.pad(drawn, ((0, 0), (0, self.width - drawn.shape[1]), (0, 0)), constant_values=255)
