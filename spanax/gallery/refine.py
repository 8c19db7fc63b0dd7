"""The map is not the territory: a simulator that is wrong, refined with data of the real system.

The real pendulum is heavier and shorter than the simulated one, and has friction and a drag that nobody thought of. A policy that
is trained in the coarse simulator fails on it. One real episode, seen through a noisy sensor, identifies mass, length and
friction; a few more teach a network what is left out. Then a trebuchet: the real wind grows with height, and the model's does
not. Some observed throws tell how much of the measured wind, and how much drag, the model needs to aim.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from .. import control
from .._errors import SpanaxWarning
from ..control.rollout import Policy
from ._refine import pendulum, throws
from ._refine.stage import Stage
from ._shared.run import Run
from .pendulum import STARTS

UPDATES = 300  # of each policy
EPISODES, QUICK_EPISODES = 10, 0  # real ones, from which the residual is learned; 0: it is not
THROWS, TARGETS = 10, 20


@dataclass(frozen=True)
class Settings:
    updates: int
    episodes: int
    seed: int


@dataclass(frozen=True)
class Found:
    """A parameter: what it really is (None if there is no such number), and what was found."""

    name: str
    real: float | None
    coarse: float
    found: float
    standard_error: float


@dataclass(frozen=True)
class Aiming:
    """By how many metres (root mean square) aimed throws miss in the real wind, before and after the observed throws."""

    throws: int
    before: float
    after: float


@dataclass(frozen=True)
class Result:
    """How each policy fares on the real pendulum, how the throws do, and the files written; in part if `interrupted`."""

    settings: Settings
    stages: tuple[Stage, ...]
    found: tuple[Found, ...]
    aiming: Aiming | None
    interrupted: bool
    files: tuple[Path, ...]


def run(
    out: str | Path,
    *,
    quick: bool = False,
    updates: int | None = None,
    episodes: int | None = None,
    seed: int = 0,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Result:
    """Refines both simulators, and writes refine.png and result.json into `out`.

    - `quick`: no residual is learned; `updates`: of each policy, 300 by default;
    - `episodes`: of the real pendulum for the residual (0: none is learned), 10 by default and 0 with `quick`;
    - `on_stage`: called with what is done next.

    Ctrl-C (`KeyboardInterrupt`) ends the work early: what was found until then is drawn and reported.
    """
    settings = Settings(
        UPDATES if updates is None else updates,
        (QUICK_EPISODES if quick else EPISODES) if episodes is None else episodes,
        seed,
    )
    this = Run(out, "refine", settings, on_stage)
    work = _Work(this, settings)
    with this.until_interrupted():
        work.swing()
        work.aim()
    files = work.draw()
    report = this.report(
        stages=[asdict(stage) for stage in work.stages],
        found=[asdict(one) for one in work.found],
        aiming=None if work.aiming is None else asdict(work.aiming),
    )
    return Result(settings, tuple(work.stages), tuple(work.found), work.aiming, this.interrupted, (*files, report))


class _Work:
    """What has been done so far, so that Ctrl-C leaves it."""

    def __init__(self, this: Run, settings: Settings):
        self.this, self.settings = this, settings
        self.stages: list[Stage] = []
        self.found: list[Found] = []
        self.aiming: Aiming | None = None
        self.misses: tuple[np.ndarray, np.ndarray] | None = None

    def swing(self) -> None:
        """The pendulum: coarse, identified, with a residual, and as good as it gets."""
        key = jax.random.key(self.settings.seed)
        coarse = self._train("coarse simulator", pendulum.COARSE, 0)
        one = pendulum.observe(coarse, np.array([[np.pi, 0.0]]), key)
        identified = self._identify(one, None)
        self.found += _table(identified, pendulum.REAL, {"m": 1.0, "l": 1.0, "friction": 0.0})
        self._train("parameters identified", identified.env, 1)
        if self.settings.episodes:
            # From the coarse policy: it swings for longer before it stands, and motion is what tells.
            starts = np.random.default_rng(self.settings.seed).uniform(
                [-np.pi, -1], [np.pi, 1], (self.settings.episodes, 2)
            )
            several = pendulum.observe(coarse, starts, jax.random.fold_in(key, 1))
            learned = self._identify(several, 16)
            self._train(
                "and a residual" if learned.residual is not None else "and no residual: it did not help",
                learned.env,
                len(starts),
            )
        self._train("the truth", pendulum.REAL, 0)

    def aim(self) -> None:
        """The trebuchet: aimed with the coarse model of the wind, and with the one that was learned."""
        self.this.stage("observing throws")
        rng, coarse = np.random.default_rng(self.settings.seed), throws.Thrower()
        seen = throws.observe(throws.draw(THROWS, rng), rng)
        learned = control.identify(coarse, seen, parameters=throws.PARAMETERS, key=jax.random.key(self.settings.seed))
        real = {"gain": None, "machine.drag_coefficient": throws.DRAG}
        self.found += [
            Found(name, real[name], 1.0, learned.parameters[name], learned.standard_errors[name])
            for name in throws.PARAMETERS
        ]
        winds, targets = rng.normal(0, throws.WIND, TARGETS), rng.uniform(35, 55, TARGETS)
        before, after = (throws.misses(env, winds, targets) for env in (coarse, learned.env))
        self.misses = before, after
        self.aiming = Aiming(THROWS, *(float(np.sqrt(np.mean(miss**2))) for miss in (before, after)))

    def draw(self) -> tuple[Path, ...]:
        if not self.stages:
            return ()
        from ._refine.picture import picture

        self.this.stage("drawing")
        path = self.this.out / "refine.png"
        picture(path, self.stages, self.misses)
        return (path,)

    def _train(self, simulator: str, env: control.Env, episodes: int) -> Policy:
        self.this.stage(f"training: {simulator}")
        trained = pendulum.train(env, self.settings.seed, self.settings.updates)
        if trained.interrupted:
            raise KeyboardInterrupt
        starts = jnp.asarray(STARTS, float)
        self.stages.append(
            Stage(simulator, episodes, float(np.mean(control.evaluate(pendulum.REAL, trained.policy, starts))))
        )
        return trained.policy

    def _identify(self, data: control.Trajectory, residual: int | None) -> control.Identified:
        self.this.stage("identifying")
        with warnings.catch_warnings():
            # It is known that something is left out: that is the story.
            warnings.simplefilter("ignore", SpanaxWarning)
            return control.identify(
                pendulum.COARSE,
                data,
                parameters=pendulum.PARAMETERS,
                residual=residual,
                key=jax.random.key(self.settings.seed),
            )


def _table(identified: control.Identified, real: pendulum.Damped, coarse: dict[str, float]) -> list[Found]:
    # The friction that fits best stands for the drag as well: it has no true value.
    truths = {"m": real.m, "l": real.l, "friction": None}
    parameters, errors = identified.parameters, identified.standard_errors
    return [Found(name, truths[name], coarse[name], parameters[name], errors[name]) for name in parameters]


# What was learnt: one noisy episode that identifies three numbers is worth as much as the true simulator. What is left out shows
# first as a warning, and takes many more. A wrong input (the wind) is found in the same way, from observed throws.
