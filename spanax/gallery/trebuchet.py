"""Aiming a trebuchet in wind: a network that is trained through the simulator of the throw.

It sees the wind and the target, and says release angle and counterweight. The derivative of where the projectile lands, through
lift-off, release and landing, is what trains it. Far targets against the wind are out of reach; it is judged on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .. import control
from ..control.rollout import Policy
from ..control.trebuchet.env import Trebuchet
from ._shared.run import Run
from ._throws.aimer import BATCH, reach, train
from .trained import Training, figures

UPDATES, QUICK_UPDATES = 2000, 300
CASES = 1000  # winds and targets that it is judged by, those in reach of them
WIND, TARGET = -4.0, 60.0  # of the throw that is shown


@dataclass(frozen=True)
class Settings:
    updates: int
    batch: int
    seed: int


@dataclass(frozen=True)
class Misses:
    """By how many metres throws at targets in reach land off them: |distance - target|, over the same `cases` for every run."""

    drawn: int
    cases: int
    mean: float
    median: float
    percentile_95: float
    worst: float


@dataclass(frozen=True)
class Result:
    """What was learnt, if only in part (`interrupted`), how well it aims, and the files written."""

    settings: Settings
    training: Training | None
    misses: Misses | None
    interrupted: bool
    files: tuple[Path, ...]


def run(
    out: str | Path,
    *,
    quick: bool = False,
    updates: int | None = None,
    seed: int = 0,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Result:
    """Trains a network that aims, judges it, and writes trebuchet.png, trebuchet.gif and result.json into `out`.

    - `quick`: 300 updates of 256 throws each instead of 2,000, and no check of the gradient; `updates` overrides the former;
    - `on_stage`: called with "training", "judging" and "drawing" before each.

    Ctrl-C (`KeyboardInterrupt`) ends the training early: what was learnt until then is judged and drawn, and the result says
    `interrupted`.
    """
    settings = Settings((QUICK_UPDATES if quick else UPDATES) if updates is None else updates, BATCH, seed)
    this = Run(out, "trebuchet", settings, on_stage)
    trained = this.train(lambda: train(settings.updates, jax.random.key(settings.seed)))
    if trained is None:
        return Result(settings, None, None, this.interrupted, (this.report(),))
    this.stage("judging")
    # The check of a gradient throws for every weight of the network: it takes longer than a quick training.
    training = figures("BPTT", control.BPTT(horizon=1, truncate=False), BATCH, trained, check=not quick)
    winds, targets, missed = _judge(Trebuchet(), trained.policy)
    misses = _summarize(missed)
    this.stage("drawing")
    pictures = _draw(this.out, trained.policy, winds, targets, missed)
    report = this.report(misses_m=asdict(misses), training=asdict(training))
    return Result(settings, training, misses, this.interrupted, (*pictures, report))


def _judge(
    env: Trebuchet, policy: Policy
) -> tuple[Float[np.ndarray, " cases"], Float[np.ndarray, " cases"], Float[np.ndarray, " cases"]]:
    """Winds and targets in reach, and by how many metres the throws miss; always the same cases."""
    # A fixed key: every run is judged by the same winds and targets.
    drawn = jax.vmap(env.reset)(jax.random.split(jax.random.key(2019), CASES))
    targets = np.asarray(drawn.target)
    inside = reach(env).has(np.asarray(drawn.wind), targets)
    cases = jax.tree.map(lambda x: x[inside], drawn)
    # Through the simulator itself, without the network's own estimate of where it lands.
    landed = jax.jit(jax.vmap(lambda case: env.step(case, policy(env.observe(case))).distance))(cases)
    return np.asarray(cases.wind), targets[inside], np.abs(np.asarray(landed) - targets[inside])


def _summarize(missed: Float[np.ndarray, " cases"]) -> Misses:
    return Misses(
        CASES,
        len(missed),
        float(np.mean(missed)),
        float(np.median(missed)),
        float(np.percentile(missed, 95)),
        float(np.max(missed)),
    )


def _draw(out: Path, policy: Policy, winds: np.ndarray, targets: np.ndarray, missed: np.ndarray) -> tuple[Path, Path]:
    from ._throws.film import write_throw
    from ._throws.pictures import misses

    still, moving = out / "trebuchet.png", out / "trebuchet.gif"
    misses(still, winds, targets, missed)
    write_throw(moving, TARGET, WIND, policy(jnp.array([WIND, TARGET])), "A throw aimed by a network")
    return still, moving


# What was learnt (figures in docs/gallery.md):
# - The landing is an event, whose time depends on the throw; with its derivative, one throw says how to aim better. The network
#   has seen no solved aim, only where its own shots landed.
# - The largest misses are at the edge of the reach, where a little wind decides whether the target can be hit at all.
