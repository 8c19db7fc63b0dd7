"""The record that each bridge carries about itself, for the documentation and for `compare`."""

import dataclasses


# The one place that says so: the documentation, the command line, `compare` and the contract test all read this record, so that
# none of them can promise anything else.
@dataclasses.dataclass(frozen=True)
class Facts:
    """What an estimator promises.

    - `unbiased_for`: what its expectation is the gradient of; for a biased one, how it is biased;
    - `unbiased`: is that the expectation of the program itself?
    - `evaluations`: how many times (the rest of) the program runs for one gradient;
    - `orders`: the highest derivative order that is right (None: every order);
    - `distributions`: which draws it takes;
    - `source`: paper and equation.

    >>> import spanax as sx
    >>> sx.Enumerate().facts.unbiased_for
    'E[f], without noise'
    """

    unbiased_for: str
    unbiased: bool
    evaluations: str
    orders: int | None
    distributions: str
    source: str
