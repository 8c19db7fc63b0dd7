"""One policy of the refining, and what it earns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A policy, by the simulator that it was trained in, and its mean return from 100 starts on the real pendulum."""

    simulator: str
    episodes: int  # of the real system, that the simulator was refined with
    mean_return: float
