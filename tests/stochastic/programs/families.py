"""The families of distributions that random programs draw from, each twice: as Spanax source, and as its outcomes.

A draw has finitely many outcomes. Discrete families have those of their support (a tail lighter than 1e-5 is cut off),
continuous ones those of a quadrature: either of the noise (the nodes move with the parameters, the weights are fixed) or,
where a program jumps in the draw, of the draw itself (the nodes are fixed, the weights are densities).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

Arrays = np.ndarray


@dataclasses.dataclass(frozen=True)
class Family:
    source: str  # of the distribution, for a parameter {x}; {vector} is jnp.stack, F the floating dtype
    outcomes: int
    log_p: Callable[[Arrays, Arrays], Arrays]  # (index, parameter) -> its log-probability or the weight of its node
    vias: tuple[str, ...]  # bridges that fit it anywhere
    branching: tuple[str, ...] = ()  # bridges that need to run the rest of the program again
    continuous: bool = False  # nothing may jump in the draw
    event: str | None = None  # reads one number out of a draw that has an event shape; None: a scalar
    small: float = 2.0  # a bound on the draw
    integer: bool = False  # the draw is an index
    value: str = ""  # the draw, of its outcome's index i and the parameter x; "": the index
    noise: str = ""  # the table of noise that a pathwise draw is made of
    tail: float = 0.0  # error of what is cut off or interpolated


SCORES = ("sx.ScoreFunction()", "sx.ScoreFunction(None)", "sx.ScoreFunction(0.5)", "")
BRANCHING = ("sx.LeaveOneOut(2)", "sx.LeaveOneOut(3)")
FINITE = (*BRANCHING, "sx.Enumerate()", "sx.Enumerate()")
PATHWISE = ("sx.Pathwise()", "", "sx.ScoreFunction()", "sx.ScoreFunction(0.5)")


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _binary(p):
    return lambda i, x: np.log(np.where(i > 0, p(x), 1 - p(x)))


def _table(rows):
    """log p from the (unnormalised) probabilities of all outcomes, stacked in front."""

    def log_p(i, x):
        p = np.stack(np.broadcast_arrays(*rows(x)))
        return np.log(p[i, np.arange(len(i))] / np.sum(p, 0))

    return log_p


def _binomial(n, p):
    def log_p(i, x):
        q = p(x)
        return np.log(np.array([math.comb(n, k) for k in range(n + 1)]))[i] + i * np.log(q) + (n - i) * np.log(1 - q)

    return log_p


def _poisson(rate):
    def log_p(i, x):
        r = rate(x)
        return i * np.log(r) - r - np.array([math.lgamma(k + 1) for k in range(20)])[i]

    return log_p


def _geometric(p):
    return lambda i, x: i * np.log1p(-p(x)) + np.log(p(x))


def _weights(weights):
    return lambda i, x: np.log(weights)[i] + 0 * np.real(x)


HERMITE, _HERMITE_W = np.polynomial.hermite_e.hermegauss(9)
HERMITE_W = _HERMITE_W / _HERMITE_W.sum()
LEGENDRE, _LEGENDRE_W = np.polynomial.legendre.leggauss(9)
LEGENDRE, LEGENDRE_W = (LEGENDRE + 1) / 2, _LEGENDRE_W / 2  # of a uniform number
LAGUERRE, LAGUERRE_W = np.polynomial.laguerre.laggauss(9)

# Panels on both sides of 0.2, where programs jump in a Normal draw.
_NODES, _NODES_W = np.polynomial.legendre.leggauss(12)
PANEL = np.concatenate([0.2 + 4.5 * side * (1 + side * _NODES) / 2 for side in (-1, 1)])
PANEL_W = np.concatenate([4.5 / 2 * _NODES_W] * 2)


def _density(i, x):
    z = PANEL[i]
    return np.log(PANEL_W[i]) - 0.5 * ((z - x) / 0.6) ** 2 - np.log(0.6 * np.sqrt(2 * np.pi))


PAIRS = [(a, b) for a in range(3) for b in range(3 - a)]  # two trials over three categories: the first two counts


TRINOMIAL = np.array([(a, b, 2 - a - b) for a, b in PAIRS])
TABLES = {"HERMITE": HERMITE, "LEGENDRE": LEGENDRE, "LAGUERRE": LAGUERRE, "PANEL": PANEL, "TRINOMIAL": TRINOMIAL}


def _trinomial(i, x):
    a, b = np.array(PAIRS)[i].T
    logits = np.stack([x, 0.4 - x, 0 * x])
    log = logits - np.log(np.sum(np.exp(logits), 0))
    ways = np.array(
        [math.factorial(2) // (math.factorial(p) * math.factorial(q) * math.factorial(2 - p - q)) for p, q in PAIRS]
    )
    return np.log(ways[i]) + a * log[0] + b * log[1] + (2 - a - b) * log[2]


def _beta_binomial(i, x):
    """Two trials; concentrations a = 1 + exp(x)/2 and 2."""
    a, b = 1 + np.exp(x) / 2, 2.0
    rows = [b * (b + 1), 2 * a * b, a * (a + 1)]
    return np.log(np.stack(np.broadcast_arrays(*rows))[i, np.arange(len(i))] / ((a + b) * (a + b + 1)))


def _component(i, x):
    """A mixture of two Normals: (component, node)."""
    p = _sigmoid(x)
    return np.log(np.where(i // 9 == 0, 1 - p, p)) + np.log(HERMITE_W)[i % 9]


_MIXTURE = (
    "dist.MixtureSameFamily(dist.Categorical(logits=jnp.stack([0.0 * {x}, {x}])), "
    "dist.Normal(jnp.stack([{x}, 0.5 - {x}]), jnp.asarray([0.5, 0.4], {x}.dtype)))"
)

FAMILIES = {
    "Bernoulli(logits)": Family(
        "dist.Bernoulli(logits={x})", 2, _binary(_sigmoid), SCORES, (*FINITE, "sx.DisARM()", "sx.DisARM(2)"), small=1
    ),
    "Bernoulli(probs)": Family(
        "dist.Bernoulli(probs=0.5 + 0.4 * jnp.sin({x}))",
        2,
        _binary(lambda x: 0.5 + 0.4 * np.sin(x)),
        SCORES,
        (*FINITE, "sx.DisARM()"),
        small=1,
    ),
    "Categorical(logits)": Family(
        "dist.Categorical(logits=jnp.stack([{x}, jnp.sin(3 * {x}), 0.5 - {x}], -1))",
        3,
        _table(lambda x: [np.exp(x), np.exp(np.sin(3 * x)), np.exp(0.5 - x)]),
        SCORES,
        FINITE,
        integer=True,
    ),
    "Categorical(probs)": Family(
        "dist.Categorical(probs=jnp.stack([0.3 + 0.2 * jnp.sin({x}), 0.7 - 0.2 * jnp.sin({x})], -1))",
        2,
        _table(lambda x: [0.3 + 0.2 * np.sin(x), 0.7 - 0.2 * np.sin(x)]),
        SCORES,
        FINITE,
        small=1,
        integer=True,
    ),
    "Binomial(logits)": Family("dist.Binomial(2, logits={x})", 3, _binomial(2, _sigmoid), SCORES, FINITE, integer=True),
    "Binomial(probs)": Family(
        "dist.Binomial(3, probs=0.5 + 0.3 * jnp.sin({x}))",
        4,
        _binomial(3, lambda x: 0.5 + 0.3 * np.sin(x)),
        SCORES,
        FINITE,
        small=3,
        integer=True,
    ),
    "BetaBinomial": Family(
        "dist.BetaBinomial(1 + jnp.exp({x}) / 2, 2.0, total_count=2)",
        3,
        _beta_binomial,
        SCORES,
        BRANCHING,
        integer=True,
    ),
    "DiscreteUniform": Family("dist.DiscreteUniform(0, 2)", 3, _weights(np.ones(3) / 3), SCORES, FINITE, integer=True),
    "Poisson": Family(
        "dist.Poisson(0.3 * jnp.exp(0.5 * jnp.sin({x})))",
        7,
        _poisson(lambda x: 0.3 * np.exp(0.5 * np.sin(x))),
        SCORES,
        BRANCHING,
        small=6,
        integer=True,
        tail=1e-5,
    ),
    "ZeroInflatedPoisson": Family(
        "dist.ZeroInflatedPoisson(0.3 + 0.2 * jnp.sin({x}), 0.3 + 0.1 * jnp.sin({x}))",
        6,
        lambda i, x: np.log(
            np.where(i == 0, 0.3 + 0.2 * np.sin(x), 0)
            + (0.7 - 0.2 * np.sin(x)) * np.exp(_poisson(lambda x: 0.3 + 0.1 * np.sin(x))(i, x))
        ),
        SCORES,
        BRANCHING,
        small=5,
        integer=True,
        tail=1e-5,
    ),
    "Geometric(probs)": Family(
        "dist.Geometric(probs=0.8 + 0.1 * jnp.sin({x}))",
        8,
        _geometric(lambda x: 0.8 + 0.1 * np.sin(x)),
        SCORES,
        BRANCHING,
        small=7,
        integer=True,
        tail=1e-4,
    ),
    "Multinomial": Family(
        "dist.Multinomial(2, logits=jnp.stack([{x}, 0.4 - {x}, 0.0 * {x}], -1))",
        6,
        _trinomial,
        SCORES,
        BRANCHING,
        event="{z}[..., 0] - 0.5 * {z}[..., 1]",
        value="TRINOMIAL[i]",
    ),
    "Normal": Family(
        "dist.Normal({x}, 0.5)",
        9,
        _weights(HERMITE_W),
        PATHWISE,
        BRANCHING,
        continuous=True,
        tail=1e-4,
        value="x + 0.5 * HERMITE[i]",
        noise="HERMITE",
    ),
    "Normal(scale)": Family(
        "dist.Normal(0.5 - {x}, jnp.exp(0.3 * {x} - 1))",
        9,
        _weights(HERMITE_W),
        PATHWISE,
        BRANCHING,
        continuous=True,
        tail=1e-4,
        value="0.5 - x + jnp.exp(0.3 * x - 1) * HERMITE[i]",
        noise="HERMITE",
    ),
    "LogNormal": Family(
        "dist.LogNormal(0.5 * {x} - 0.5, 0.4)",
        9,
        _weights(HERMITE_W),
        PATHWISE,
        BRANCHING,
        continuous=True,
        tail=1e-4,
        value="jnp.exp(0.5 * x - 0.5 + 0.4 * HERMITE[i])",
        noise="HERMITE",
    ),
    "Exponential": Family(
        "dist.Exponential(2 + jnp.sin({x}))",
        9,
        _weights(LAGUERRE_W),
        PATHWISE,
        BRANCHING,
        continuous=True,
        tail=3e-3,
        value="LAGUERRE[i] / (2 + jnp.sin(x))",
        noise="LAGUERRE",
    ),
    "Uniform": Family(
        "dist.Uniform(jnp.sin({x}) - 1, 1.5)",
        9,
        _weights(LEGENDRE_W),
        ("sx.Pathwise()", ""),
        continuous=True,
        tail=1e-5,
        value="jnp.sin(x) - 1 + (2.5 - jnp.sin(x)) * LEGENDRE[i]",
        noise="LEGENDRE",
    ),
    "Mixture": Family(
        _MIXTURE,
        18,
        _component,
        ("sx.ScoreFunction()", ""),
        BRANCHING,
        continuous=True,
        value="jnp.where(i // 9 == 0, x + 0.5 * HERMITE[i % 9], 0.5 - x + 0.4 * HERMITE[i % 9])",
        tail=1e-4,
    ),
    "Normal(jump)": Family(
        "dist.Normal({x}, 0.6)",
        24,
        _density,
        ("", "sx.ScoreFunction()"),
        BRANCHING,
        small=1,
        tail=1e-4,
        value="PANEL[i]",
    ),
}
JUMPS = {  # how a program jumps in a Normal draw at 0.2, as source and in NumPy
    "where": "jnp.where({z} > 0.2, 1.0, 0.3 * {z})",
    "cond": "lax.cond({z} > 0.2, lambda: jnp.ones_like({z}), lambda: 0.3 * {z})",
    "table": "jnp.asarray([-0.5, 0.5], F)[({z} > 0.2).astype(int)]",
    "argmax": "jnp.argmax(jnp.stack([{z}, jnp.full_like({z}, 0.2)])).astype(F)",
    "sign": "jnp.sign({z} - 0.2)",
}
JUMPED = {
    "where": lambda z: np.where(z > 0.2, 1.0, 0.3 * z),
    "cond": lambda z: np.where(z > 0.2, 1.0, 0.3 * z),
    "table": lambda z: np.where(z > 0.2, 0.5, -0.5),
    "argmax": lambda z: np.where(z > 0.2, 0.0, 1.0),
    "sign": lambda z: np.sign(z - 0.2),
}
WRAPPERS = {  # of a draw of two elements
    "batch": "{d}",
    "to_event": "{d}.to_event(1)",
    "mask": "{d}.mask(True)",
}


def value_of(family: Family, i: Arrays, x: Arrays) -> Arrays:
    """The draw, read as one number, in NumPy."""
    if not family.value:
        return i.astype(float)
    z = eval(family.value, {"jnp": np, "i": i, "x": x, **TABLES})
    return eval(family.event.format(z="z"), {"z": z}) if family.event else z
