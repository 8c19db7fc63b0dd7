"""Straight-through: a hard value with the derivative of something smooth, which is biased and varies little."""

import equinox as eqx

from .._errors import SpanaxError
from .._math.distributions import (
    bernoulli_probs,
    categorical_mean,
    family,
    hard_draw,
    is_bernoulli,
    is_categorical,
    one_hot_draw,
)
from .._math.first_order import first_order
from .base import Local, Step
from .facts import Facts


class StraightThrough(Local, Step):
    """A hard value with the derivative of something smooth.

    Of a draw: that of its mean, dz/dtheta := dE[z]/dtheta. Biased, unless the rest of the program is linear in each
    element given the others: its expectation is E[f'(z)] dp/dtheta. A Bernoulli draw is 0. or 1.; a Categorical draw comes as
    one-hot weights, with the categories on a new last axis. `ReinMax` is better at the same cost.

    Of a hard operation: `StraightThrough()` takes the operation for the identity (its result must have the shape of its input;
    for a comparison, the derivative is that of the difference), `StraightThrough(Soft(0.1))` has the derivative of the relaxed
    operation, `StraightThrough(Perturbed(0.1))` that of the perturbed one. The value is exactly the hard one, also in floating
    point. Biased, both for the hard program and for the relaxed one.

    It has the derivative orders of what it is made from. Raises `SpanaxError` for a draw of any distribution but Bernoulli and
    Categorical, and for an operation that cannot be taken for the identity.

    Bengio, Leonard and Courville 2013 (arXiv:1308.3432), section 4.

    >>> import jax, spanax as sx
    >>> jax.value_and_grad(lambda x: 2 * sx.hard.round(x, via=sx.StraightThrough()))(0.7)[1].item()
    2.0
    """

    of: Step | None = eqx.field(default=None)

    def __check_init__(self):
        # Straight-through of straight-through would be the identity of the inner one: one of them is a mistake.
        if self.of is not None and (not isinstance(self.of, Step) or isinstance(self.of, StraightThrough)):
            raise SpanaxError(f"StraightThrough({self.of!r})", "StraightThrough(Soft(0.1))", "StraightThrough()")

    @property
    def facts(self) -> Facts:
        if self.of is not None:
            of = self.of.facts
            return Facts(
                unbiased_for=f"an operation whose derivative is that of: {of.unbiased_for}; the value is the hard one",
                unbiased=False,
                evaluations=of.evaluations,
                orders=of.orders,
                distributions="hard operations",
                source=f"Bengio et al. 2013, section 4; {of.source}",
            )
        return Facts(
            unbiased_for="f linear in the draw (otherwise first-order biased)",
            unbiased=False,
            evaluations="1",
            orders=None,
            distributions="Bernoulli, Categorical (as one-hot weights); hard operations",
            source="Bengio et al. 2013, section 4",
        )

    def draw(self, key, distribution):
        if self.of is not None:
            raise SpanaxError(f"{self!r} is for hard operations, not for draws", "StraightThrough()")
        if is_bernoulli(distribution):
            # `first_order` adds the tangent of the mean to a value that has none: z + mean - stop_gradient(mean) would round.
            z, mean = hard_draw(key, distribution), bernoulli_probs(distribution)[1]
        elif is_categorical(distribution):
            z, mean = one_hot_draw(key, distribution), categorical_mean(distribution)
        else:
            raise SpanaxError(
                f"StraightThrough() is for Bernoulli and Categorical draws, not {family(distribution)}",
                "ScoreFunction()",
            )
        return first_order(_identity, "StraightThrough()", z, (), mean)

    def step(self, operation, x, key):
        if self.of is not None:
            return first_order(_identity, repr(self), operation.value, (), self.of.step(operation, x, key))
        if operation.identity is None:
            raise SpanaxError(
                f"{operation.name} is nothing like the identity, and StraightThrough() takes it for that",
                "StraightThrough(Soft(0.1)): the derivative of the relaxed operation",
            )
        return first_order(_identity, "StraightThrough()", operation.value, (), operation.identity(x))


def _identity(at, d_mean):
    return d_mean
