"""A network with a red and a blue path: what autodiff sees of its gradient, what it misses, and what each bridge brings back.

Three scores go two ways to one output: blue through tanh, which has a slope, and red through three bits that are drawn, which
have none. `jax.grad` returns the blue part and does not say that there was another. In the second network there is no blue path:
the whole gradient goes through the draw, and what comes back is zero. Of three bits all eight draws can be tried, so the gradient
of each path is known exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import spanax as sx

from ._gap.network import Crossing, Network
from ._shared.run import Run

DRAWS, QUICK_DRAWS = 4000, 1000
SCORES, INPUTS, TARGET = 3, 4, 1.0
# What a score adds to the output on each path: blue lifts it, red lowers it by more. So the part that autodiff sees is not only
# too small: it points the wrong way.
BLUE, RED = 0.5, -2.0
UNBIASED = sx.Enumerate(), sx.ScoreFunction(), sx.LeaveOneOut(), sx.DisARM()
BRIDGES = (*UNBIASED, sx.StraightThrough(), sx.ReinMax(), sx.GumbelSoftmax(0.5))


# The program as anybody writes it. The two copies of the weights are the same: they say which path a gradient came along.
def two_paths(weights, x, *, key):
    smooth = jnp.tanh(weights["blue"] @ x)
    bits = jax.random.bernoulli(key, jax.nn.sigmoid(weights["red"] @ x)).astype(float)
    return (BLUE * smooth.sum() + RED * bits.sum() - TARGET) ** 2


def true_gap(weights, x, *, key):
    bits = jax.random.bernoulli(key, jax.nn.sigmoid(weights["red"] @ x)).astype(float)
    return (RED * bits.sum() - TARGET) ** 2


# And with a draw that can be bridged: the only line that changes.
def two_paths_bridged(weights, x, *, key):
    smooth = jnp.tanh(weights["blue"] @ x)
    bits = sx.sample(key, dist.Bernoulli(logits=weights["red"] @ x).to_event(1), name="bits")
    return (BLUE * smooth.sum() + RED * bits.sum() - TARGET) ** 2


def true_gap_bridged(weights, x, *, key):
    bits = sx.sample(key, dist.Bernoulli(logits=weights["red"] @ x).to_event(1), name="bits")
    return (RED * bits.sum() - TARGET) ** 2


@dataclass(frozen=True)
class Settings:
    draws: int
    seed: int


@dataclass(frozen=True)
class Result:
    settings: Settings
    networks: tuple[Network, ...]
    interrupted: bool
    files: tuple[Path, ...]


NETWORKS = {"two paths": (two_paths, two_paths_bridged), "a true gap": (true_gap, true_gap_bridged)}


def run(
    out: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Result:
    """Takes both networks' gradients apart, and writes gap.png and result.json into `out`.

    - `quick`: 1,000 gradients of each bridge instead of 4,000;
    - `seed`: of the weights, the input and the draws;
    - `on_stage`: called with "two paths", "a true gap" and "drawing" before each.

    Ctrl-C (`KeyboardInterrupt`) ends it early: the network that came to its end is reported, and the result says `interrupted`.
    """
    settings = Settings(QUICK_DRAWS if quick else DRAWS, seed)
    this = Run(out, "gap", settings, on_stage)
    networks: list[Network] = []
    files = ()
    with this.until_interrupted():
        for name, programs in NETWORKS.items():
            this.stage(name)
            networks.append(take_apart(name, *programs, settings))
        from ._gap.picture import picture

        this.stage("drawing")
        files = (picture(this.out / "gap.png", networks),)
    report = this.report(networks=[_row(one) for one in networks])
    return Result(settings, tuple(networks), this.interrupted, (*files, report))


def take_apart(name: str, program: Callable[..., Any], bridged: Callable[..., Any], settings: Settings) -> Network:
    """The exact gradient by path, what autodiff has of it, and what each bridge has."""
    first, second, key = jax.random.split(jax.random.key(settings.seed), 3)
    w, x = jax.random.normal(first, (SCORES, INPUTS)), jax.random.normal(second, (INPUTS,))
    weights = {"blue": w, "red": w}
    exact = jax.grad(sx.expectation(bridged, via={"bits": sx.Enumerate()}))(weights, x, key=key)
    keys = jax.random.split(key, settings.draws)
    autodiff = jax.tree.map(lambda g: g.mean(0), jax.vmap(lambda key: jax.grad(program)(weights, x, key=key))(keys))
    # One candidate a bridge, each with one sample; the truth is found by trying all eight draws.
    paths = {path: path for path in weights}
    found = sx.compare(bridged, weights, x, key=key, vias={"bits": BRIDGES}, draws=settings.draws, groups=paths)
    whole, seen = _whole(exact), _whole(autodiff)
    length = float(np.linalg.norm(whole))
    return Network(
        name,
        sx.find_gaps(program, weights, x, key=key),
        sx.find_gaps(bridged, weights, x, key=key),
        _norms(exact),
        _norms(autodiff),
        float(seen @ whole) / (float(np.linalg.norm(seen)) * length or float("nan")),
        float(np.linalg.norm(whole - seen)) / length,
        tuple(_crossing(row, length) for row in found.rows),
    )


def _crossing(row: sx.judge.Row, length: float) -> Crossing:
    blue, red = (row.groups[path].bias.estimate / length for path in ("blue", "red"))
    return Crossing(row.label.removeprefix("bits="), blue, red, row.variance**0.5 / length, row.verdict)


def _whole(by_path: dict[str, Any]) -> np.ndarray:
    """The gradient of the weights: both paths start at the same ones."""
    return np.asarray(by_path["blue"] + by_path["red"], float).ravel()


def _norms(by_path: dict[str, Any]) -> dict[str, float]:
    return {path: float(np.linalg.norm(gradient)) for path, gradient in by_path.items()}


def _row(one: Network) -> dict[str, Any]:
    return {
        "name": one.name,
        "verdict_before": one.before.verdict,
        "verdict_after": one.after.verdict,
        "exact": one.exact,
        "autodiff": one.autodiff,
        "cosine": one.cosine,
        "missing": one.missing,
        "bridges": [asdict(crossing) for crossing in one.crossings],
    }


# What was learnt (figures in docs/gallery.md):
# - A gradient that is not zero may still be wrong. With a way around the draw, autodiff returns that way's part, here one that
#   points uphill. `find_gaps` says "partial" of it, and "dead" of the true gap.
# - Of a true gap nothing comes back: that, at least, is noticed. The dangerous one is the network with two paths.
# - Each unbiased bridge brings the red part back, at the price of noise: least where all draws are tried, most with one draw
#   and no baseline. Of the biased ones, ReinMax comes close here, and Gumbel-softmax answers for another network, with soft
#   bits.
