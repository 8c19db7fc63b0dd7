"""A VAE with 200 Bernoulli latents on real digits, trained once for each bridge, and the bridges compared.

The draw of the latents cuts the gradient to the encoder. Each bridge carries it across in its own way, with the same
budget of decoder evaluations; `gaussian` replaces the Bernoulli latents by Normal ones, which need no such help.

Data: `_vae/digits.py`. Model and objective: `_vae/model.py`. Training: `_vae/training.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .._errors import SpanaxError
from ._shared.run import Run
from ._vae import digits
from ._vae.result import BridgeFigures, Result, Settings, judge, report_rows, write_figures
from ._vae.training import Training, chunk_size, setup
from .names import VaeBridge

STEPS, QUICK_STEPS = 6_000, 500


@dataclass(frozen=True)
class Progress:
    """Where a run stands: `elbo` is the held-out ELBO after `step` of `steps` steps, None before the first."""

    bridge: VaeBridge
    step: int
    steps: int
    elbo: float | None


def run(
    out: str | Path,
    *,
    quick: bool = False,
    via: Sequence[str] = tuple(VaeBridge),
    steps: int | None = None,
    samples: int = 4,
    seed: int = 0,
    variance_repeats: int = 128,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Result:
    """Trains a VAE through each bridge named in `via`, and writes pictures and result.json into `out`.

    - `quick`: 500 steps instead of 6,000; `steps` overrides both;
    - `samples`: evaluations of the decoder for each image and gradient, an even number;
    - `variance_repeats`: gradients from which the variance is estimated;
    - `on_progress`: called before the first step of each bridge and after each chunk of steps.

    The same `seed` gives the same split, initial parameters and draws. Ctrl-C (`KeyboardInterrupt`) ends the training
    early: what was trained until then is judged and written, and the result says `interrupted`.
    """
    if steps is None:
        steps = QUICK_STEPS if quick else STEPS
    settings = _settings(via, steps, samples, seed, variance_repeats)
    this = Run(out, "vae", settings, needs=("sklearn",))
    data = digits.load(seed)
    trainings, figures = _train_all(this, settings, data, on_progress)
    files = write_figures(this.out, data, seed, trainings) if trainings else ()
    report = this.report(bridges=report_rows(figures))
    return Result(settings, figures, this.interrupted, (*files, report))


def _settings(via: Sequence[str], steps: int, samples: int, seed: int, variance_repeats: int) -> Settings:
    names = [bridge.value for bridge in VaeBridge]
    # Refused before the data is loaded or a folder made.
    if unknown := [name for name in via if name not in names]:
        raise SpanaxError(f"no bridge of the VAE is named {', '.join(unknown)}", f"one of {', '.join(names)}", where="")
    if samples < 2 or samples % 2:
        raise SpanaxError(f"samples={samples}: DisARM draws pairs, so the number must be even", "samples=4", where="")
    if min(steps, variance_repeats - 1, len(via)) < 1:
        raise SpanaxError("nothing to train: at least one bridge, one step and two variance repeats are needed")
    # Named twice, a bridge is trained once.
    bridges = tuple(dict.fromkeys(VaeBridge(name) for name in via))
    return Settings(bridges, steps, samples, seed, variance_repeats)


def _train_all(
    this: Run, settings: Settings, data: digits.Digits, on_progress: Callable[[Progress], None]
) -> tuple[list[Training], tuple[BridgeFigures, ...]]:
    """The trainings of at least one step with their figures."""
    trainings: list[Training] = []
    figures: list[BridgeFigures] = []
    with this.until_interrupted():
        for name in settings.bridges:
            trainings.append(Training(name, setup(name, settings.samples), data, settings.seed))
            # Before the first chunk, which compiles for seconds: the reader sees which bridge it is.
            on_progress(Progress(name, 0, settings.steps, None))
            for elbo in trainings[-1].chunks(settings.steps, chunk_size(settings.steps)):
                on_progress(Progress(name, trainings[-1].steps, settings.steps, elbo))
            figures.append(judge(trainings[-1], settings.variance_repeats))
    # The training that Ctrl-C ended has steps, but has not been judged.
    trainings = [training for training in trainings if training.steps]
    figures += [judge(training, settings.variance_repeats) for training in trainings[len(figures) :]]
    return trainings, tuple(figures)


# What was learnt (figures in docs/gallery.md):
# - A baseline is worth most: the same score function with a moving average has a tenth of the variance, with the other draws of
#   the image for a baseline (leave-one-out, DisARM) a twentieth.
# - The biased bridges have another twentieth of that, and are ahead after a short training. How much their bias is at the weights
#   that one has, `compare` measures.
# - Normal latents need no bridge. After a short training they are no better than binary ones with a good bridge.
