"""Every bridge on two problems, measured by `sx.compare`: the table of docs/bridges.md.

The first problem is a program with eight binary draws. The second is an order of stock under a random demand, in three forms:
with a cost that is continuous in the demand, with one that jumps, and with a demand that is a mixture. The truth is exact:
every draw is enumerated, or the expectation has a closed form.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import scipy.stats
from jax.scipy.stats import norm

import spanax as sx
from benchmarks import _timing


class Problem(NamedTuple):
    """A program, the point of the gradient, the candidates by label, and the truth as `compare` takes it."""

    name: str
    program: Callable[..., Any]
    at: Any
    candidates: dict[str, Callable[..., Any]]
    truth: Any


# -- eight switches ---------------------------------------------------------------------------------------------------

LOGITS = jnp.linspace(-1.5, 1.5, 8)
WEIGHTS = jnp.array([0.9, -0.4, 1.3, 0.7, -1.1, 0.5, 1.6, -0.8])
TARGET = 0.3
DRAWN = {  # in the picture
    "Enumerate()",
    "LeaveOneOut(samples=8)",
    "DisARM()",
    "ReinMax()",
    "ScoreFunction(baseline=None)",
    "GumbelSoftmax(0.5)",
    "StraightThrough()",
}


def _switches(logits, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=logits).to_event(1), name="z")
    return (z @ WEIGHTS - TARGET) ** 2 + jnp.tanh(jnp.prod(1 + z) / 8)


def _with(program: Callable, via: Any, samples: int = 1) -> Callable:
    return sx.expectation(program, samples=samples, via={"z": via})


def switches() -> Problem:
    via = {
        "Enumerate()": sx.Enumerate(),
        "DisARM()": sx.DisARM(),
        "DisARM(pairs=4)": sx.DisARM(pairs=4),
        "LeaveOneOut()": sx.LeaveOneOut(),
        "LeaveOneOut(samples=8)": sx.LeaveOneOut(samples=8),
        "ReinMax()": sx.ReinMax(),
        "GumbelSoftmax(0.5)": sx.GumbelSoftmax(0.5),
        "GumbelSoftmax(0.5, hard=True)": sx.GumbelSoftmax(0.5, hard=True),
        "StraightThrough()": sx.StraightThrough(),
        "ScoreFunction(baseline=None)": sx.ScoreFunction(baseline=None),
    }
    candidates = {label: _with(_switches, bridge) for label, bridge in via.items()}
    candidates["ScoreFunction(), samples=2"] = _with(_switches, sx.ScoreFunction(), 2)
    candidates["ScoreFunction(), samples=8"] = _with(_switches, sx.ScoreFunction(), 8)
    return Problem("Eight switches", _switches, LOGITS, candidates, "auto")


# -- an order of stock ------------------------------------------------------------------------------------------------

STOCK = jnp.array([1.2, 0.6, 1.9, 1.0, 0.4, 1.5])  # what is ordered of each of six goods
MEAN, SPREAD = 1.0, 0.5  # of the demand
KEPT, MISSING, FINE = 0.3, 2.0, 1.5  # price of a unit left over, of a missing unit, and of running out at all
RUSH, OFTEN = 2.0, -0.5  # mean of the demand on a busy day, and the logit of such a day


def _cost(left, fine):
    """Of what is left of each good (below 0: missing). The fine for running out makes it jump."""
    return jnp.sum(jnp.where(left > 0, KEPT * left, -MISSING * left) + fine * jnp.where(left < 0, 1.0, 0.0))


def _expected(stock, fine, mean=MEAN):
    """E[_cost(stock - demand)] for a Normal demand, in closed form."""
    t = (stock - mean) / SPREAD
    over = SPREAD * (norm.pdf(t) + t * norm.cdf(t))
    return jnp.sum(KEPT * over + MISSING * (over - (stock - mean)) + fine * norm.cdf(-t))


def _ordered(fine: float) -> Callable:
    def program(stock, *, key):
        left = sx.sample(key, dist.Normal(stock - MEAN, SPREAD).to_event(1), name="z")
        return _cost(left, fine)

    return program


def _stepped(via: Any) -> Callable:
    """The fine as a hard comparison with a bridge; the noise has no parameters."""

    def program(stock, *, key):
        noise, steps = jax.random.split(key)
        left = stock - MEAN + SPREAD * jax.random.normal(noise, stock.shape)
        out = sx.hard.less(left, 0.0, via=via, key=steps if isinstance(via, sx.Perturbed) else None)
        return _cost(left, 0.0) + FINE * jnp.sum(out)

    return program


def _host_cost(stock):
    """The cost of the mean demand, in NumPy: smoothed over noise of the size of the demand's it is the expected cost."""
    left = stock - MEAN
    return np.sum(np.where(left > 0, KEPT * left, -MISSING * left) + FINE * (left < 0), axis=-1).astype(stock.dtype)


def _host_slope(stock):
    """The derivative of the expected cost, in NumPy."""
    t = (stock - MEAN) / SPREAD
    cdf, pdf = scipy.stats.norm.cdf(t), scipy.stats.norm.pdf(t)
    return KEPT * cdf - MISSING * (1 - cdf) - FINE * pdf / SPREAD


def _host_vjp(stock, cost, ct):
    return ct * np.asarray(_host_slope(stock), stock.dtype)


def _box(via: Any) -> Callable:
    batched = not isinstance(via, sx.Manual)
    seen = sx.blackbox(_host_cost, jax.ShapeDtypeStruct((), jnp.float32), via=via, batched=batched)
    return lambda stock, *, key: seen(stock, key=key)


def _busy_or_not(point, *, key):
    """The demand is that of a busy day or of a quiet one, each good by itself."""
    days = dist.Categorical(logits=jnp.stack([point["busy"], jnp.zeros(())]))
    means = point["stock"][:, None] - jnp.array([[RUSH, MEAN]])
    left = [
        sx.sample(k, dist.MixtureSameFamily(days, dist.Normal(mean, SPREAD)), name="z")
        for k, mean in zip(jax.random.split(key, len(means)), means, strict=True)
    ]
    return _cost(jnp.stack(left), 0.0)


def _busy_expected(point):
    busy = jax.nn.sigmoid(point["busy"])
    return busy * _expected(point["stock"], 0.0, RUSH) + (1 - busy) * _expected(point["stock"], 0.0)


def stock() -> list[Problem]:
    continuous, jumping = _ordered(0.0), _ordered(FINE)
    draws = {
        "Pathwise()": (sx.Pathwise(), 1),
        "LeaveOneOut(samples=8)": (sx.LeaveOneOut(samples=8), 1),
        "ScoreFunction(), samples=2": (sx.ScoreFunction(), 2),
        "ScoreFunction(), samples=8": (sx.ScoreFunction(), 8),
        "ScoreFunction(baseline=None)": (sx.ScoreFunction(baseline=None), 1),
    }
    smooth = {label: _with(continuous, via, samples) for label, (via, samples) in draws.items()}
    jumps = {label: _with(jumping, via, samples) for label, (via, samples) in draws.items()}
    steps = {
        "StraightThrough(Soft(0.2))": sx.StraightThrough(sx.Soft(0.2)),
        "StraightThrough()": sx.StraightThrough(),
        "Soft(0.2)": sx.Soft(0.2),
        "Perturbed(0.2)": sx.Perturbed(0.2),
    }
    probes = {
        "Smoothing(0.5, pairs=8)": sx.Smoothing(SPREAD, pairs=8),
        # A model that lacks the jumps, as one that was trained on the program would.
        "Surrogate(0.5, pairs=8, model=...)": sx.Surrogate(SPREAD, pairs=8, model=lambda s: _expected(s, 0.0)),
        "SPSA(0.5, samples=8)": sx.SPSA(SPREAD, samples=8),
        "FiniteDifference(0.5)": sx.FiniteDifference(SPREAD),
    }
    jumps |= {label: _stepped(via) for label, via in steps.items()}
    jumps |= {label: _box(via) for label, via in probes.items()}
    jumps["Manual(vjp=...)"] = _box(sx.Manual(vjp=_host_vjp))
    mixtures = {
        "Componentwise(), samples=2": (sx.Componentwise(), 2),
        "Componentwise(pathwise=False), samples=2": (sx.Componentwise(pathwise=False), 2),
        "ScoreFunction(), samples=2": (sx.ScoreFunction(), 2),
        "LeaveOneOut()": (sx.LeaveOneOut(), 1),
    }
    point = {"busy": jnp.asarray(OFTEN), "stock": STOCK}
    busy = {label: _with(_busy_or_not, via, samples) for label, (via, samples) in mixtures.items()}
    return [
        Problem("Stock, a continuous cost", continuous, STOCK, smooth, lambda s: _expected(s, 0.0)),
        Problem("Stock, a cost that jumps", jumping, STOCK, jumps, lambda s: _expected(s, FINE)),
        Problem("Stock, a demand that is a mixture", _busy_or_not, point, busy, _busy_expected),
    ]


# -- the table --------------------------------------------------------------------------------------------------------


def measured(problem: Problem, draws: int) -> sx.judge.Comparison:
    return sx.compare(
        problem.program,
        problem.at,
        key=jax.random.key(0),
        vias=problem.candidates,
        truth=problem.truth,
        draws=draws,
        groups="all",
    )


def fastest(problem: Problem, repeats: int) -> dict[str, float]:
    """Seconds of one compiled gradient: of the fastest round, which other work on the machine disturbs least."""
    calls, key = {}, jax.random.key(1)
    for label, candidate in problem.candidates.items():
        one = jax.jit(jax.grad(lambda at, key, f=candidate: f(at, key=key)))
        calls[label] = lambda one=one: jax.block_until_ready(one(problem.at, key))
    seconds = _timing.interleaved(calls, repeats=repeats, round_seconds=0.002)
    return {label: min(rounds) for label, rounds in seconds.items()}


def timed(found: sx.judge.Comparison, seconds: dict[str, float]) -> sx.judge.Comparison:
    """What was found, with these times of a gradient, ranked by what follows from them."""
    rows = []
    for row in found.rows:
        micros = 1e6 * seconds[row.label]
        to_accuracy = row.time_to_accuracy * micros / row.microseconds
        rows.append(dataclasses.replace(row, microseconds=micros, time_to_accuracy=to_accuracy))
    return dataclasses.replace(found, rows=tuple(sorted(rows, key=lambda row: row.time_to_accuracy)))


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 0.995 else f"{100 * share:.0f}%"


def _bias(row: sx.judge.Row, norm: float) -> str:
    if row.verdict == "biased":
        return f"**{_percent(row.bias.estimate / norm)}**"
    exact = row.variance == 0 and row.bias.high < 1e-3 * norm
    return "0" if exact else f"none found (< {_percent(row.bias.high / norm)})"


def _time(seconds: float) -> str:
    if not np.isfinite(seconds):
        return "never"
    return f"{1e3 * seconds:.2g} ms" if seconds < 0.1 else f"{1e3 * seconds:,.0f} ms"


def lines(found: sx.judge.Comparison) -> list[str]:
    """A Markdown table: bias and variance by the size of the true gradient, time a gradient, and time to 10%."""
    norm, table = (
        found.truth.norm,
        ["| bridge | bias | variance | us a gradient | time to 10% |", "|---|---|---|---|---|"],
    )
    for row in found.rows:
        variance, micros = f"{row.variance / norm**2:.2g}", f"{row.microseconds:,.0f}"
        cells = [f"`{row.label}`", _bias(row, norm), variance, micros, _time(row.time_to_accuracy)]
        table.append(f"| {' | '.join(cells)} |")
    return table


def draw(found: sx.judge.Comparison, path: Path) -> None:
    """The bias-variance plane, of a few candidates that differ."""
    few = tuple(row for row in found.rows if row.label in DRAWN)
    dataclasses.replace(found, rows=few).plot(path)


def main() -> None:
    options = _timing.parser(__doc__, repeats=400)
    options.add_argument("--draws", type=int, default=20_000, help="gradients of each bridge (default: %(default)s)")
    options.add_argument("--plot", type=Path, help="also draw the bias-variance plane of the switches into this file")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("jax", "jaxlib", "numpyro", "numpy")
    first = switches()
    for problem in [first, *stock()]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sx.SpanaxWarning)  # of Pathwise() where the cost jumps: that is the point
            found = timed(measured(problem, args.draws), fastest(problem, args.repeats))
        print(f"\n### {problem.name}\n\n" + "\n".join(lines(found)), flush=True)
        if args.plot and problem is first:
            draw(found, args.plot)


if __name__ == "__main__":
    main()
