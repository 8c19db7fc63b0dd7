"""A model in the controller's forward pass: swinging a pendulum up by planning, and learning the model through the plans.

The controller looks 1.5 seconds ahead, which is too short for a swing-up: what lies beyond the horizon it has to learn first,
from its own plans. A policy trained by backpropagation through time has to find the same swings without planning; where the
best swing is a matter of choice, plans win. Then the controller's model is wrong on purpose, and is put right by watching
another controller act: the derivative of an action by the mass of the model goes through the whole plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .. import control
from ._mpc.loop import play, returns
from ._shared.run import Run
from .pendulum import OPTIMUM, STARTS

HORIZON = 30
# (sweeps of the terminal cost, plans of each, starts that are judged, updates of the other policy)
FULL, QUICK = (6, 768, 100, 500), (2, 128, 8, 300)
TRUE_MASS, FIRST_MASS, ROUNDS, DEMONSTRATIONS = 1.4, 0.8, 6, 16


@dataclass(frozen=True)
class Settings:
    sweeps: int
    plans: int
    starts: int
    updates: int
    horizon: int
    seed: int


@dataclass(frozen=True)
class Judged:
    """One controller from fixed starts: the mean return, how far that is from the best there is, and the worst start's return."""

    name: str
    mean: float
    regret: float | None
    worst: float


@dataclass(frozen=True)
class Result:
    """How the controllers were judged, the mass of the model after each round, and the files written."""

    settings: Settings
    judged: tuple[Judged, ...]
    masses: tuple[float, ...]
    interrupted: bool
    files: tuple[Path, ...]


def run(
    out: str | Path,
    *,
    quick: bool = False,
    horizon: int = HORIZON,
    seed: int = 0,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Result:
    """Plans, judges, learns a mass, and writes mpc.png, mpc.gif and result.json into `out`.

    - `quick`: a terminal cost from fewer plans, and fewer starts; `horizon`: steps of a plan;
    - `on_stage`: called with "training", "judging", "learning the mass" and "drawing" before each.

    Ctrl-C (`KeyboardInterrupt`) ends the work early: what is known by then is written, and the result says `interrupted`.
    """
    settings = Settings(*(QUICK if quick else FULL), horizon, seed)
    this = Run(out, "mpc", settings, on_stage)
    judged, masses, files = [], (), ()
    with this.until_interrupted():
        this.stage("training")
        controller, policy = learn(settings), train(settings)
        this.stage("judging")
        judged += [_judge(settings, "MPC", controller), _judge(settings, "BPTT", policy)]
        this.stage("learning the mass")
        masses = learn_mass(seed)
        this.stage("drawing")
        files = _draw(this.out, controller, policy, masses)
    report = this.report(judged=[asdict(one) for one in judged], masses=masses, true_mass=TRUE_MASS)
    return Result(settings, tuple(judged), masses, this.interrupted, (*files, report))


def learn(settings: Settings) -> control.MPC:
    """The controller, with a terminal cost from its own plans."""
    # All states that a swing may come to, and not only those of resets.
    edge = jnp.array([jnp.pi, 8.0])
    planner = control.MPC(control.Pendulum(), settings.horizon, 12, tries=256, starts=64)
    planner = planner.with_learnt_terminal(
        key=jax.random.key(settings.seed),
        sample=lambda key: jax.random.uniform(key, (2,), minval=-edge, maxval=edge),
        sweeps=settings.sweeps,
        plans=settings.plans,
    )
    # In closed loop the last plan is a good first one, so that few others and few iterations are enough.
    return control.MPC(planner.env, settings.horizon, 15, terminal=planner.terminal, tries=64, starts=2)


def train(settings: Settings) -> control.MLPPolicy:
    env = control.Pendulum()
    policy = control.MLPPolicy(env, key=jax.random.key(settings.seed))
    via = control.BPTT(horizon=40, truncate=False)
    key = jax.random.key(settings.seed + 1)
    return control.train(env, policy, via=via, key=key, updates=settings.updates, progress=False).policy


def _judge(settings: Settings, name: str, policy: Any) -> Judged:
    starts, env = jnp.asarray(STARTS[: settings.starts], jnp.float32), control.Pendulum()
    mpc = isinstance(policy, control.MPC)
    found = np.asarray(returns(policy, starts)) if mpc else control.evaluate(env, policy, starts)
    # The optimum is that of all starts.
    regret = OPTIMUM - float(found.mean()) if settings.starts == len(STARTS) else None
    return Judged(name, float(found.mean()), regret, float(found.min()))


def learn_mass(seed: int) -> tuple[float, ...]:
    """The mass of a model, round by round, until its controller acts as another one does, whose pendulum is heavier."""
    states = 0.5 * jax.random.normal(jax.random.key(seed), (DEMONSTRATIONS, 2))
    # Torque has its price, so that the demonstrations are not all at the bound, where they say nothing about the mass.
    learner = control.MPC(control.Pendulum(), 10, tries=32, starts=2, loss=_loss)
    shown = jax.vmap(learner.with_env(control.Pendulum(m=TRUE_MASS)).act)(states)

    @jax.jit
    def gauss_newton(mass):
        def miss(mass):
            model = eqx.tree_at(lambda env: env.m, control.Pendulum(), mass)
            return (jax.vmap(learner.with_env(model).act)(states) - shown).ravel()

        slope, misses = jax.jacfwd(miss)(mass), miss(mass)
        # A plan that has not converged has no derivative: its demonstration does not count.
        usable = jnp.isfinite(slope)
        slope = jnp.where(usable, slope, 0)
        return mass - jnp.sum(slope * misses) / jnp.sum(slope**2)

    masses = [jnp.array(FIRST_MASS)]
    for _ in range(ROUNDS):
        masses.append(gauss_newton(masses[-1]))
    return tuple(map(float, masses))


def _loss(state: Any, action: Any, after: Any) -> Any:
    return after[0] ** 2 + 0.1 * after[1] ** 2 + 0.1 * action[0] ** 2


def _draw(out: Path, controller: control.MPC, policy: Any, masses: tuple[float, ...]) -> tuple[Path, Path]:
    from ._pictures.mpc import motion, picture

    model: Any = controller.env
    start = jnp.array([jnp.pi - 0.02, 0.0])
    played = jax.tree.map(np.asarray, play(controller, start, 100))
    other = jax.jit(lambda state: control.rollout(controller.env, policy, state, 100))(start)
    still, moving = out / "mpc.png", out / "mpc.gif"
    picture(still, played, np.asarray(other.states[:, 0]), masses, TRUE_MASS, model.dt)
    motion(moving, played, controller.env)
    return still, moving


# What was learnt: a horizon of 30 steps is enough once its end has a price; a choice of swings needs many plans to be tried, not
# one to be improved for long; and a controller's derivative costs one more pass over its plan, however long it searched.
