"""HIPS/autograd's examples, and the functions of NumPy and SciPy that its tests cover, with plain `import numpy as np`."""

import itertools

import numpy as np
import pytest

import spanax as sx

from .autograd_like import PROGRAMS, scalar

REQUIRED = 0.95  # of the programs
PARTS = 6  # every sixth program is in one part with it


def leaves(tree):
    """The numbers and arrays in lists, tuples and dictionaries, in order, that of a dictionary's sorted keys."""
    if isinstance(tree, dict):
        tree = [tree[key] for key in sorted(tree)]
    return [leaf for branch in tree for leaf in leaves(branch)] if isinstance(tree, list | tuple) else [tree]


def moved(tree, steps):
    """The tree with each leaf moved by the next of `steps`."""
    if isinstance(tree, dict):
        return {key: moved(tree[key], steps) for key in sorted(tree)}
    if isinstance(tree, list | tuple):
        return type(tree)(moved(branch, steps) for branch in tree)
    x = tree + next(steps)
    return x if np.ndim(tree) else float(x)


def along(f, args, direction, h=2e-3):
    """The derivative of f along one direction of all arguments: central differences, extrapolated."""

    def at(k):
        return float(f(*moved(args, iter([k * d for d in direction]))))

    coarse, fine = ((at(k) - at(-k)) / (2 * k) for k in (h, h / 2))
    finer = (at(h / 4) - at(-h / 4)) / (h / 2)
    better, best = fine + (fine - coarse) / 3, finer + (finer - fine) / 3
    return best + (best - better) / 15


def check(function, args):
    def f(*args):
        return scalar(function(*args))

    value, gradient = sx.value_and_gradient(f, *args, argnums=tuple(range(len(args))))
    np.testing.assert_allclose(value, f(*args), rtol=1e-10)
    slopes = leaves(gradient)
    assert [np.shape(slope) for slope in slopes] == [np.shape(x) for x in leaves(args)]
    rng = np.random.default_rng(0)
    for _ in range(3):
        direction = [rng.standard_normal(np.shape(x)) for x in leaves(args)]
        expected = along(f, args, direction)
        got = sum(np.sum(slope * d) for slope, d in zip(slopes, direction, strict=True))
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.few(1)
def test_share_that_works(part):
    """Value equal to NumPy's, gradient to central differences along three random directions of all arguments.

    What does not work must say so: a wrong number is never part of the share that is allowed.
    """
    assert len(PROGRAMS) >= 120
    programs = dict(itertools.islice(PROGRAMS.items(), part, None, PARTS))
    refused, wrong = {}, {}
    for name, (function, args) in programs.items():
        try:
            check(function, args)
        except sx.SpanaxError as error:
            refused[name] = error.problem
        except Exception as error:
            wrong[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    share = 1 - len(refused | wrong) / len(programs)
    lines = [f"{name}: {why}" for name, why in (refused | wrong).items()]
    report = "\n  ".join([f"{share:.1%} of {len(programs)}; not:", *lines])
    print(report)
    assert not wrong, report
    assert share >= REQUIRED, report


def test_the_check_can_fail(monkeypatch):
    """A gradient that is off by a millionth and a half does not pass."""
    right = sx.value_and_gradient

    def wrong(f, *args, **options):
        value, gradient = right(f, *args, **options)
        return value, tuple((1 + 1.5e-6) * slope for slope in gradient)

    function, args = PROGRAMS["unary_sin"]
    check(function, args)
    monkeypatch.setattr(sx, "value_and_gradient", wrong)
    with pytest.raises(AssertionError):
        check(function, args)
