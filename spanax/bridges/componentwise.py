"""Mixtures: the component by its score, its draw by its own derivative. `_math/by_parts.py` has the formula and the draws."""

from typing import Any, Literal

import equinox as eqx
from jaxtyping import Array, Float

from .._math.by_parts import by_parts
from ._baselines import as_baseline, less_baseline
from .base import Scored
from .facts import Facts
from .moving_average import MovingAverage


class Componentwise(Scored):
    """The gradient of a mixture as E[(cost - baseline) grad log p(c)] + E[f'(z) dz]: c the component that is drawn, z its draw.

    The default for mixtures (`MixtureSameFamily`, `MixtureGeneral`, batched or nested, inside `to_event`, `expand`, `mask` and
    transformations) and for hurdles before a density. Each component takes its own best bridge: pathwise if its draw has a
    derivative, so that bounds of a support and atoms may move (`Uniform(-1, b)`, `Delta(v)`: spike and slab); else its score,
    which is added to that of c. If no component's draw has a derivative, it is the score function of the mixture. For a
    distribution that is not a mixture, it is `Pathwise` or `ScoreFunction`.

    - `baseline`: as that of `ScoreFunction`; it changes the variance, never the mean;
    - `pathwise=False`: components by their scores only, for a program that jumps in the draw. Differentiating with respect to a
      moving bound, an atom, or a transformation of the mixture then raises `SpanaxError`.

    Unbiased for E[f], at every derivative order, if f is continuous in the draw given its component. A mixing weight of
    exactly 0, given as `probs`, is out of reach: the component is never drawn, and its share of the derivative is missing. Use
    `logits` there. Differentiating outside `expectation` raises.

    The sum of a score and a pathwise term: Schulman et al. 2015 (arXiv:1506.05254), theorem 1.

    >>> import jax, jax.numpy as jnp, numpyro.distributions as dist, spanax as sx
    >>> def f(v, *, key):  # v or 3 v, with equal probabilities
    ...     atoms = dist.Delta(jnp.array([1.0, 3.0]) * v)
    ...     return sx.sample(key, dist.MixtureSameFamily(dist.Categorical(logits=jnp.zeros(2)), atoms), via=sx.Componentwise())
    >>> print(f"{jax.grad(sx.expectation(f, samples=2000))(0.5, key=jax.random.key(0)):.1f}")
    2.0
    """

    baseline: Any = eqx.field(converter=as_baseline)
    pathwise: bool = eqx.field(static=True)

    # Written out for its signature, as that of `ScoreFunction`.
    def __init__(
        self,
        baseline: Literal["auto"] | float | Float[Array, ""] | MovingAverage | None = "auto",
        *,
        pathwise: bool = True,
    ):
        self.baseline, self.pathwise = baseline, pathwise

    @property
    def facts(self) -> Facts:
        return Facts(
            # With scores only, no derivative of a draw is used, and f may jump.
            unbiased_for="E[f], if f is continuous in the draw of a component" if self.pathwise else "E[f]",
            unbiased=True,
            evaluations="samples",
            orders=None,
            distributions="mixtures, spike and slab, hurdles; any other as well",
            source="Schulman et al. 2015, theorem 1",
        )

    def draw(self, key, distribution):
        return self.draw_with_score(key, distribution)[0]

    def draw_with_score(self, key, distribution):
        # One function for both, so that a plain draw and the draw of an expectation are the same for the same key.
        return by_parts(key, distribution, self.pathwise)

    def advantage(self, togo, others):
        return less_baseline(self.baseline, togo, others)
