"""What a VAE run found out, and the files it leaves."""

import dataclasses
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from ..names import VaeBridge
from .digits import Digits
from .figures import Curve, learning_curves, reconstructions
from .model import reconstruct
from .training import Training, mean_and_error


@dataclass(frozen=True)
class Settings:
    """What the run was asked for. `samples` is the evaluations of the decoder for each image and gradient."""

    bridges: tuple[VaeBridge, ...]
    steps: int
    samples: int
    seed: int
    variance_repeats: int


@dataclass(frozen=True)
class BridgeFigures:
    """One bridge, judged on the model that it trained.

    - `elbo`, `elbo_se`: mean and standard error over the held-out images, in nats, with true draws;
    - `gradient_variance`: the trace of the covariance of the encoder's gradient at its own trained parameters, on one
      fixed minibatch. It says nothing about bias;
    - `step_ms`: the median over chunks of the milliseconds of a training step, compilation (`compile_s`) left out;
    - `curve`: pairs of steps and held-out ELBO; `curve_se`: the standard errors of the latter.
    """

    name: VaeBridge
    bridge: str
    steps: int
    elbo: float
    elbo_se: float
    gradient_variance: float
    step_ms: float
    compile_s: float
    curve: tuple[tuple[int, float], ...]
    curve_se: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """The figures of every bridge that was trained, if only in part (`interrupted`), and the files written."""

    settings: Settings
    bridges: tuple[BridgeFigures, ...]
    interrupted: bool
    files: tuple[Path, ...]


def judge(training: Training, repeats: int) -> BridgeFigures:
    """The figures of one training, finished or not, of at least one step."""
    # Again, and not the curve's last point: an interrupt may have come between the two.
    elbo, error = mean_and_error(training.held_out_elbos())
    return BridgeFigures(
        name=training.name,
        bridge=repr(training.setup.via),
        steps=training.steps,
        elbo=elbo,
        elbo_se=error,
        gradient_variance=training.gradient_variance(repeats),
        step_ms=statistics.median(training.step_ms),
        compile_s=training.compile_s,
        curve=tuple(training.curve),
        curve_se=tuple(training.curve_se),
    )


def write_figures(out: Path, data: Digits, seed: int, trainings: list[Training]) -> tuple[Path, ...]:
    """Draws reconstructions.png and curves.png into `out`."""
    images = data.one_of_each()
    rows = {t.name.value: reconstruct(t.state.model, images, key=jax.random.key(seed)) for t in trainings}
    pictures, curves = out / "reconstructions.png", out / "curves.png"
    reconstructions(pictures, images, rows)
    learning_curves(curves, {t.name.value: _curve(t) for t in trainings}, len(data.held_out))
    return pictures, curves


def _curve(training: Training) -> Curve:
    steps, elbos = zip(*training.curve, strict=True)
    return Curve(steps, elbos, training.curve_se, not training.setup.via.facts.unbiased)


def report_rows(bridges: tuple[BridgeFigures, ...]) -> list[dict[str, Any]]:
    """What result.json holds of each bridge."""
    return [dataclasses.asdict(figures) for figures in bridges]
