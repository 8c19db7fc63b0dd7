"""What was found of one network: the gradient of each path, exactly, without a bridge, and with each of them."""

from __future__ import annotations

from dataclasses import dataclass

from ... import gaps


@dataclass(frozen=True)
class Crossing:
    """One bridge: its bias along each path and the noise of one gradient, as shares of the whole gradient's norm."""

    name: str
    blue_bias: float
    red_bias: float
    noise: float
    verdict: str


@dataclass(frozen=True)
class Network:
    """One of the two networks.

    - `before`, `after`: what `find_gaps` says of it without and with a bridge;
    - `exact`, `autodiff`: the norm of each path's gradient, "blue" and "red"; of `jax.grad` the mean over the draws;
    - `cosine`: of what autodiff returns with the whole gradient; NaN where that is zero;
    - `missing`: what it lacks, as a share of the whole gradient's norm;
    - `crossings`: what each bridge returns.
    """

    name: str
    before: gaps.GapReport
    after: gaps.GapReport
    exact: dict[str, float]
    autodiff: dict[str, float]
    cosine: float
    missing: float
    crossings: tuple[Crossing, ...]
