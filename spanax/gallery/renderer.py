"""Fitting a picture through a renderer that has no derivative: four ways to the same triangles.

The renderer is plain NumPy with hard edges, a z-buffer and integer pixels. Move a vertex a little and nothing happens, until a
whole pixel changes its colour: its derivative is zero. Given are a target picture, and a scene of five triangles that looks a
little like it; to be found are vertices and colours that render as the target does.

The error is the same for all, the mean square of the difference from the target. It is outside of the black box, on purpose: the
derivative of the error by the image is exact, and only what the renderer does with the scene has to be estimated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import spanax as sx

from ._renderer.edges import edge_derivative as edge_derivative
from ._renderer.fits import TARGET, Fit, report_rows
from ._renderer.image_derivative import ImageDerivative
from ._renderer.raster import LEVELS, Rasteriser
from ._renderer.scenes import rasteriser, start_scene, target_scene
from ._shared.run import Run

STEPS, QUICK_STEPS = 400, 200
RATE = 0.008  # of Adam, in sides of the picture and in full scales of a colour; it falls to 0
PIXEL = 1 / 64
SIGMA = {"vertices": PIXEL, "colours": 2 * PIXEL}


@dataclass(frozen=True)
class Settings:
    steps: int
    seed: int
    target_error: float = TARGET


@dataclass(frozen=True)
class Result:
    """The fits of at least one step, if only in part (`interrupted`), and the files written."""

    settings: Settings
    start_error: float
    fits: tuple[Fit, ...]
    interrupted: bool
    files: tuple[Path, ...]


def run(
    out: str | Path,
    *,
    quick: bool = False,
    steps: int | None = None,
    seed: int = 0,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Result:
    """Fits the scene in four ways from one start, and writes renderer.png, renderer.gif and result.json into `out`.

    - `quick`: 200 steps for each instead of 400; `steps` overrides both;
    - `seed`: of the start, and of the directions of the probes;
    - `on_stage`: called with "fitting: smoothing", ..., "drawing" before each.

    Ctrl-C (`KeyboardInterrupt`) ends the fits early: the steps until then are judged and drawn, and the result says
    `interrupted`.
    """
    settings = Settings((QUICK_STEPS if quick else STEPS) if steps is None else steps, seed)
    this = Run(out, "renderer", settings, on_stage)
    render, start = rasteriser(), start_scene(seed)
    target = render(target_scene())
    fits = _fit_all(this, settings, render, target, start)
    pictures: tuple[Path, ...] = ()
    if fits:
        this.stage("drawing")
        pictures = _draw(this.out, render, target, start, fits)
    start_error = float(error_of(render, target, start))
    report = this.report(start_error=start_error, fits=report_rows(fits))
    return Result(settings, start_error, fits, this.interrupted, (*pictures, report))


def renderers(rasterise: Rasteriser) -> dict[str, Callable[..., Any]]:
    """The four: each is a JAX function `render(scene, key=key)` with a derivative of its own."""
    image = jax.ShapeDtypeStruct((3, rasterise.side, rasterise.side), jnp.float32)
    # Nothing is known of the program. Probes look a pixel far; all of one step are rendered in one call.
    smoothing = sx.blackbox(rasterise, image, via=sx.Smoothing(SIGMA, pairs=16), batched=True)
    # Nothing is known either, but what past probes have shown is remembered, in a model that learns along the way: a quarter of
    # them is enough. Trusted directly it is biased, and averages over the probes of many steps.
    learnt = sx.Surrogate(SIGMA, pairs=4, trust="direct", memory=64)
    surrogate = sx.blackbox(rasterise, image, via=learnt, batched=True)
    # How images come about is known: the derivative is derived by hand, see `_renderer/image_derivative.py`.
    edges = sx.blackbox(rasterise, image, via=sx.Manual(vjp=ImageDerivative(rasterise)))
    # The source is at hand, and runs in JAX. The image stays as it is; its comparisons get derivatives that are a pixel wide.
    softened = sx.soften(rasterise, 1.0, straight_through=True)
    return {
        "smoothing": smoothing,
        "surrogate": surrogate,
        "edge sampling": edges,
        "softened": lambda scene, key: softened(scene),
    }


def error_of(rasterise: Rasteriser, target: np.ndarray, scene: Any) -> np.ndarray:
    """By how many of 255 levels the image of a scene, or of each of a batch, is off in the mean."""
    return np.abs(rasterise(scene).astype(np.float32) - target).mean((-3, -2, -1))


def fit(
    name: str, render: Any, rasterise: Rasteriser, target: np.ndarray, start: Any, settings: Settings
) -> Fit | None:
    """The scene fitted through one of the `renderers`, from the start; None where Ctrl-C came before the first step."""
    import optax

    pixels = jnp.asarray(target, jnp.float32)

    def error(scene, key):
        return jnp.mean((render(scene, key=key) - pixels) ** 2) / LEVELS**2

    began, ends = time.perf_counter(), []
    descent = sx.descend(
        error,
        jax.tree.map(jnp.asarray, start),
        # The rate falls to 0: the last steps settle between the pixels instead of jumping over them.
        optimizer=optax.adam(optax.cosine_decay_schedule(RATE, settings.steps)),
        steps=settings.steps,
        bounds=({"vertices": -0.5, "colours": 0.0}, {"vertices": 1.5, "colours": 1.0}),
        key=jax.random.key(settings.seed),
        callback=lambda iterate: ends.append(time.perf_counter() - began),
    )
    if not descent.steps:
        return None
    # The history has the scenes before each step: moved up by one, and with the last, they are those after it.
    scenes = jax.tree.map(
        lambda before, last: np.concatenate([before[1:], last[None]]), descent.history["x"], descent.last
    )
    # Whatever a fit followed, all are judged by the hard renderer.
    errors = error_of(rasterise, target, scenes)
    return Fit.of(name, scenes, errors, ends, descent.history["evaluations"], descent.stopped == "interrupted")


def _fit_all(this: Run, settings: Settings, rasterise: Rasteriser, target: np.ndarray, start: Any) -> tuple[Fit, ...]:
    fits: list[Fit] = []
    with this.until_interrupted():
        for name, render in renderers(rasterise).items():
            this.stage(f"fitting: {name}")
            fitted = fit(name, render, rasterise, target, start, settings)
            if fitted is not None:
                fits.append(fitted)
            if fitted is None or fitted.interrupted:
                # What it has done is kept; those after it are not begun.
                raise KeyboardInterrupt
    return tuple(fits)


def _draw(out: Path, rasterise: Rasteriser, target: np.ndarray, start: Any, fits: tuple[Fit, ...]) -> tuple[Path, Path]:
    from ._renderer.pictures import motion, strip

    still, moving = out / "renderer.png", out / "renderer.gif"
    strip(still, rasterise, target, start, fits)
    motion(moving, rasterise, target, fits)
    return still, moving


# What was learnt (figures in docs/renderer.md):
# - Keep the error outside of the black box. Its derivative by the image is exact, and vanishes where the image is right already;
#   with the error inside, the same evaluations end farther from the target.
# - Probes forget, a surrogate remembers: 45 numbers are few for it, and it needs a third of the evaluations. Each of its steps
#   takes longer, which pays where the renderer is slower than this one.
# - Knowing how images come about saves 15 to 30 times more: an integral along the edges, or the program itself, softened.
