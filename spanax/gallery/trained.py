"""What one training of the gallery took, and how it went."""

from dataclasses import dataclass

import numpy as np

from ..control import Result


@dataclass(frozen=True)
class Training:
    """The figures of one training, finished or not.

    - `compile_s`, `run_s`: seconds to trace and compile, and of all updates together;
    - `gradient_cosine`: the cosine of the first gradient with finite differences (see `control.Result.gradient_cosine`); None
      where it was not measured;
    - `curve`: (steps of the environment, mean return of the episodes that ended just now), where any did.
    """

    name: str
    via: str
    updates: int
    batch: int
    env_steps: int
    episodes: int
    compile_s: float
    run_s: float
    gradient_cosine: float | None
    curve: tuple[tuple[int, float], ...]

    @property
    def seconds(self) -> float:
        return self.compile_s + self.run_s


def figures(name: str, via: object, batch: int, result: Result, *, check: bool = True) -> Training:
    """The figures of a training with at least one update. `check`: is its gradient to be checked?"""
    # An update in which no episode ended has no return to show.
    ended = np.isfinite(result.returns)
    rows = zip(result.steps_so_far[ended], result.returns[ended], strict=True)
    return Training(
        name=name,
        via=repr(via),
        updates=len(result.returns),
        batch=batch,
        env_steps=result.env_steps,
        episodes=result.episodes,
        compile_s=result.compile_seconds,
        run_s=result.run_seconds,
        gradient_cosine=result.gradient_cosine if check else None,
        curve=tuple((int(steps), float(earned)) for steps, earned in rows),
    )
