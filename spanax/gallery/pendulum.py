"""Swinging a pendulum up by backpropagation through time.

The motor is too weak to lift the rod in one go: the policy has to learn to swing. The gradient comes through the first 40 steps
of the simulation; the policy is then judged by whole episodes in Gymnasium's own Pendulum-v1, from 100 fixed starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import numpy as np

from .. import control
from ..control.rollout import Policy
from ._shared.judging import Judgement, judge
from ._shared.run import Run
from .trained import Training, figures

UPDATES, QUICK_UPDATES = 500, 300
STARTS = np.random.default_rng(0).uniform([-np.pi, -1.0], [np.pi, 1.0], (100, 2))
OPTIMUM = -142.18  # the mean return over STARTS of the best torques there are, by dynamic programming


@dataclass(frozen=True)
class Settings:
    updates: int
    batch: int
    horizon: int
    seed: int


@dataclass(frozen=True)
class Regret(Judgement):
    """And how far the mean return is from the best there is."""

    optimum: float = OPTIMUM

    @property
    def regret(self) -> float:
        return self.optimum - self.mean


@dataclass(frozen=True)
class Result:
    """What was learnt, if only in part (`interrupted`), how it was judged, and the files written."""

    settings: Settings
    training: Training | None
    judgement: Regret | None
    interrupted: bool
    files: tuple[Path, ...]


def run(
    out: str | Path,
    *,
    quick: bool = False,
    updates: int | None = None,
    batch: int = 32,
    horizon: int = 40,
    seed: int = 0,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Result:
    """Trains a policy, judges it, and writes pendulum.png, pendulum.gif and result.json into `out`.

    - `quick`: 300 updates instead of 500; `updates` overrides both;
    - `batch`, `horizon`: starts of one update, and the steps from each that its gradient goes back through;
    - `on_stage`: called with "training", "judging" and "drawing" before each.

    Ctrl-C (`KeyboardInterrupt`) ends the training early: what was learnt until then is judged and drawn, and the result says
    `interrupted`.
    """
    settings = Settings((QUICK_UPDATES if quick else UPDATES) if updates is None else updates, batch, horizon, seed)
    this = Run(out, "pendulum", settings, on_stage, packages=("gymnasium",))
    # The whole of the 40 steps, not truncated: the swing pays only at its end.
    env, via = control.Pendulum(), control.BPTT(horizon=horizon, truncate=False)
    trained = this.train(lambda: _train(env, via, settings))
    if trained is None:
        return Result(settings, None, None, this.interrupted, (this.report(),))
    this.stage("judging")
    # Judged by whole episodes in Gymnasium, not by the 40 steps that it was trained on.
    training = figures("BPTT", via, batch, trained)
    judgement = Regret(**asdict(judge("Pendulum-v1", env, trained.policy, STARTS)))
    this.stage("drawing")
    pictures = _draw(this.out, env, trained.policy, settings, training, judgement)
    report = this.report(
        judgement={**asdict(judgement), "regret": judgement.regret},
        training=asdict(training),
    )
    return Result(settings, training, judgement, this.interrupted, (*pictures, report))


def _train(env: control.Pendulum, via: control.BPTT, settings: Settings) -> control.Result:
    # The policy's weights and the starts by different keys, so that one can be changed without the other.
    first, rest = jax.random.split(jax.random.key(settings.seed))
    policy = control.MLPPolicy(env, key=first)
    return control.train(env, policy, via=via, key=rest, updates=settings.updates, batch=settings.batch)


def _draw(
    out: Path, env: control.Pendulum, policy: Policy, settings: Settings, training: Training, judgement: Regret
) -> tuple[Path, Path]:
    from ._pictures.pendulum import motion, picture

    still, moving = out / "pendulum.png", out / "pendulum.gif"
    title = f"Pendulum by BPTT (judged by whole episodes: {judgement.mean:,.1f}; the best there is: {OPTIMUM:,.1f})"
    picture(still, env, policy, training, settings.horizon, title)
    motion(moving, env, policy)
    return still, moving


# What was learnt (figures in docs/gallery.md and docs/control.md):
# - Through the simulator, a second or two of training is enough: each gradient is exact, and goes back through 40 steps.
# - What is left to the optimum are starts from which another direction, or one swing less, would be better. That is a choice,
#   which no derivative of one motion sees: `control.Choice` makes it.
