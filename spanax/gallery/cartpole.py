"""Balancing a pole on a cart, twice: through the simulator, and with the simulator as a black box.

The cart is pushed left or right: a step, which a straight-through bridge carries the gradient across. Backpropagation through
time then needs a few episodes. A policy gradient asks nothing of the simulator, and needs some hundred.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .. import control
from ..control.rollout import Policy
from ._shared.judging import Judgement, judge
from ._shared.run import Run
from .trained import Training, figures

EPS = 1e-3  # of Adam: once the pole stands, its gradients are tiny, and steps of full size would forget the way there
UPDATES, GRADIENT_UPDATES, QUICK_GRADIENT_UPDATES = 150, 100, 70
HORIZON, BATCH, RATE, GRADIENT_RATE = 4, 16, 3e-2, 1e-2
STARTS = np.random.default_rng(0).uniform(-0.05, 0.05, (100, 4))
UNITS = np.array([2.4, 2.0, 0.21, 2.0])  # of an observation: about the largest that a pole which stays up has


@dataclass(frozen=True)
class Settings:
    updates: int
    gradient_updates: int
    seed: int


@dataclass(frozen=True)
class Learner:
    """One way of training, the policy that it gave, and how that was judged."""

    training: Training
    judgement: Judgement
    policy: Policy


@dataclass(frozen=True)
class Result:
    """The learners with at least one update, if only in part (`interrupted`), and the files written."""

    settings: Settings
    learners: tuple[Learner, ...]
    interrupted: bool
    files: tuple[Path, ...]


def run(
    out: str | Path,
    *,
    quick: bool = False,
    updates: int | None = None,
    gradient_updates: int | None = None,
    seed: int = 0,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Result:
    """Trains both policies, judges them, and writes cartpole.png, cartpole.gif and result.json into `out`.

    - `updates`: of backpropagation through time, one for 4 steps of one episode; 150 if None;
    - `gradient_updates`: of the policy gradient, one for 16 episodes; 100, or 70 if `quick`;
    - `on_stage`: called with what comes next: "training: BPTT", "judging: BPTT", ..., "drawing".

    Ctrl-C (`KeyboardInterrupt`) ends the training early: what was learnt until then is judged and drawn, and the result says
    `interrupted`.
    """
    if gradient_updates is None:
        gradient_updates = QUICK_GRADIENT_UPDATES if quick else GRADIENT_UPDATES
    settings = Settings(UPDATES if updates is None else updates, gradient_updates, seed)
    this = Run(out, "cartpole", settings, on_stage, packages=("gymnasium",))
    learners = _learners(this, settings)
    pictures = ()
    if learners:
        this.stage("drawing")
        pictures = _draw(this.out, learners)
    report = this.report(
        learners=[{**asdict(one.training), "judgement": asdict(one.judgement)} for one in learners],
    )
    return Result(settings, learners, this.interrupted, (*pictures, report))


def _learners(this: Run, settings: Settings) -> tuple[Learner, ...]:
    """Those of at least one update, until Ctrl-C ends it."""
    learners: list[Learner] = []
    with this.until_interrupted():
        for name, train in (("BPTT", _through_the_simulator), ("policy gradient", _as_a_black_box)):
            this.stage(f"training: {name}")
            via, batch, trained = train(settings)
            if len(trained.returns):
                this.stage(f"judging: {name}")
                judgement = judge("CartPole-v1", control.CartPole(), trained.policy, STARTS)
                learners.append(Learner(_figures(name, via, batch, trained), judgement, trained.policy))
            if trained.interrupted:
                # The interrupt came while the policy was trained, which kept it: the learners after it are not begun.
                raise KeyboardInterrupt
    return tuple(learners)


def _figures(name: str, via: Any, batch: int, trained: control.Result) -> Training:
    """The check of a policy gradient is left out: of 64 batches it is mostly noise, and takes longer than the training."""
    return figures(name, via, batch, trained, check=isinstance(via, control.BPTT))


def _through_the_simulator(settings: Settings) -> tuple[Any, int, control.Result]:
    import optax

    first, rest = jax.random.split(jax.random.key(settings.seed))
    # Window after window of whole episodes: what comes later than a window is learned from the states it leads to.
    via = control.BPTT(horizon=HORIZON, truncate=True)
    # Its rate falls to 0, so that the last updates settle rather than wander.
    optimizer = optax.adam(optax.cosine_decay_schedule(RATE, settings.updates), eps=EPS)
    env = control.CartPole()
    # Its own mirror image, as the problem is: half of the states need not be visited. The loss is the environment's own, which
    # says how to catch a pole.
    policy = control.mirrored(control.MLPPolicy(env, key=first, width=32, depth=1, scale=1 / UNITS), env)
    trained = control.train(
        env,
        policy,
        via=via,
        optimizer=optimizer,
        key=rest,
        updates=settings.updates,
        batch=1,
    )
    return via, 1, trained


def _as_a_black_box(settings: Settings) -> tuple[Any, int, control.Result]:
    import optax

    first, rest = jax.random.split(jax.random.key(settings.seed))
    env, via = control.CartPole(), control.PolicyGradient()
    trained = control.train(
        env,
        control.MLPPolicy(env, key=first, width=32),
        via=via,
        optimizer=optax.adam(GRADIENT_RATE),
        key=rest,
        updates=settings.gradient_updates,
        batch=BATCH,
    )
    return via, BATCH, trained


def _draw(out: Path, learners: tuple[Learner, ...]) -> tuple[Path, Path]:
    from ._pictures.cartpole import motion, picture

    still, moving = out / "cartpole.png", out / "cartpole.gif"
    picture(still, [(one.training, one.judgement) for one in learners])
    motion(moving, control.CartPole(), learners[0].policy)
    return still, moving


# What was learnt (figures in docs/gallery.md and docs/control.md):
# - Through the simulator two episodes are enough, where the policy gradient takes hundreds: a mirror image and a loss that says
#   how a pole is caught are what a black box cannot be told.
# - The straight-through gradient of a push is far from the real one, and it learns all the same: in short windows it need only
#   say which way. As a black box the same game is solved without any of that, and takes more steps.
