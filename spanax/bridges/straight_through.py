"""Straight-through: a hard draw with the derivative of its mean."""

from .._errors import SpanaxError
from ._base import Local
from ._distributions import (
    bernoulli_probs,
    categorical_mean,
    family,
    hard_draw,
    is_bernoulli,
    is_categorical,
    one_hot_draw,
)
from ._facts import Facts
from ._first_order import first_order


class StraightThrough(Local):
    """A hard draw whose derivative is that of its mean: dz/dtheta := dE[z]/dtheta.

    Biased, unless the rest of the program is linear in each element given the others: its expectation is
    E[f'(z)] dp/dtheta. A Bernoulli draw is 0. or 1.; a Categorical draw comes as one-hot weights, with the
    categories on a new last axis. Derivatives of every order are those of the mean. `ReinMax` is better at the same cost.

    Raises `SpanaxError` for any distribution but Bernoulli and Categorical.

    Bengio, Leonard and Courville 2013 (arXiv:1308.3432), section 4.
    """

    @property
    def facts(self) -> Facts:
        return Facts(
            unbiased_for="f linear in the draw (otherwise first-order biased)",
            unbiased=False,
            evaluations="1",
            orders=None,
            distributions="Bernoulli, Categorical (as one-hot weights)",
            source="Bengio et al. 2013, section 4",
        )

    def draw(self, key, distribution):
        if is_bernoulli(distribution):
            z, mean = hard_draw(key, distribution), bernoulli_probs(distribution)[1]
        elif is_categorical(distribution):
            z, mean = one_hot_draw(key, distribution), categorical_mean(distribution)
        else:
            raise SpanaxError(
                f"StraightThrough() is for Bernoulli and Categorical draws, not {family(distribution)}",
                "",
                "ScoreFunction()",
            )
        return first_order(_identity, "StraightThrough()", z, (), mean)


def _identity(at, d_mean):
    return d_mean
