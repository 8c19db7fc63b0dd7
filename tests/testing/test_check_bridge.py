"""Every public bridge keeps the contract; bridges that break it are told from the rest by the check that names what they break.

Keys are fixed. Each check that is statistical allows 5 standard errors: see `spanax.testing._statistics`.
"""

import inspect
import pathlib
import re
import threading

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import lax

import spanax as sx
from spanax.testing import ContractError, check_bridge


def square(x):
    return np.sum(x**2)


def its_vjp(x, y, ct):
    return 2 * x * ct


def its_jvp(x, y, v):
    return 2 * np.sum(x * v)


BRIDGES = [
    sx.Pathwise(),
    sx.ScoreFunction(),
    sx.Enumerate(),
    sx.LeaveOneOut(),
    sx.DisARM(),
    sx.GumbelSoftmax(0.5),
    sx.GumbelSoftmax(jnp.array(0.5), hard=True),
    sx.StraightThrough(),
    sx.StraightThrough(sx.Perturbed(0.1, samples=10)),
    sx.ReinMax(),
    sx.Soft(0.1),
    sx.Perturbed(0.1),
    sx.Smoothing(),
    sx.FiniteDifference(),
    sx.FiniteDifference(scheme="complex"),
    sx.SPSA(0.1),
]


@pytest.mark.parametrize("bridge", BRIDGES, ids=repr)
def test_it_keeps_the_contract(bridge):
    report = check_bridge(bridge)
    assert not report.failed and len(report.passed) >= 22
    assert len({outcome.name for outcome in report.outcomes}) == len(report.outcomes)


def test_manual_with_and_without_its_function():
    for bridge in (sx.Manual(vjp=its_vjp), sx.Manual(jvp=its_jvp)):
        report = check_bridge(bridge, f=square, x=np.arange(3.0))
        assert {"changes of the function", "linear in its last argument"} <= set(report.passed)
        assert "changes of the function" not in check_bridge(bridge).passed


def test_every_public_bridge_is_here():
    public = {v for v in vars(sx).values() if isinstance(v, type) and issubclass(v, sx.Bridge)}
    assert {type(b) for b in BRIDGES} | {sx.Manual} == {cls for cls in public if not inspect.isabstract(cls)}


def facts(unbiased=True, orders=1, for_what="E[f]"):
    return sx.Facts(for_what, unbiased, "1", orders, "Bernoulli", "Williams 1992")


def only_bernoulli(distribution):
    """Those of one family are enough, and quicker."""
    if not isinstance(distribution, dist.Independent):
        raise sx.SpanaxError("for Bernoulli draws")
    return distribution


class Scored(sx.Score):
    """Score functions that are wrong in some way. Unbiased, they say (Williams 1992)."""

    @property
    def facts(self):
        return facts(orders=None)

    def draw(self, key, distribution):
        return sx.ScoreFunction().draw(key, only_bernoulli(distribution))

    def advantage(self, togo, others):
        return togo


class SignError(Scored):
    """Its sign is wrong (Williams 1992)."""

    def advantage(self, togo, others):
        return -togo


class Doubled(Scored):
    """Twice too large (Williams 1992)."""

    def advantage(self, togo, others):
        return 2 * togo


class SilentZero(Scored):
    """Zero (Williams 1992)."""

    def advantage(self, togo, others):
        return 0 * togo


class NotANumber(Scored):
    """NaN where parameters are extreme (Williams 1992)."""

    def draw(self, key, distribution):
        z = super().draw(key, distribution)
        return jnp.where(jnp.abs(distribution.base_dist.logits) > 40, jnp.nan, z)


class StoppedCosts(Scored):
    """Right at first order only, and says that it is at all of them (Williams 1992)."""

    def advantage(self, togo, others):
        return lax.stop_gradient(togo)


class OwnBaseline(Scored):
    """Its baseline depends on the draw: a third of the draw's own cost, squared (Kool et al. 2019)."""

    def advantage(self, togo, others):
        return togo - togo**2 / 3


class OthersTwice(Scored):
    """Wrong only where there are replicates (Kool et al. 2019)."""

    def advantage(self, togo, others):
        return togo if others is None else togo - others * togo


class OneKey(Scored):
    """All draws are made with one key (Williams 1992)."""

    def draw(self, key, distribution):
        return super().draw(jax.random.key(7), distribution)


class NoDocstring(Scored):
    def advantage(self, togo, others):
        return togo


class NoSource(Scored):
    """Unbiased."""

    @property
    def facts(self):
        return sx.Facts("E[f]", True, "samples", None, "any", "me")


class HalfFacts(Scored):
    """Its facts leave out what it is unbiased for (Williams 1992)."""

    @property
    def facts(self):
        return sx.Facts("", True, "samples", None, "any", "Williams 1992")


class Unpicklable(Scored):
    """Holds a lock (Williams 1992)."""

    lock: threading.Lock

    def __init__(self):
        self.lock = threading.Lock()


class Loud(Scored):
    """Sets a switch of NumPy's (Williams 1992)."""

    def draw(self, key, distribution):
        np.random.seed(0)
        return super().draw(key, distribution)


class ClaimsToBeUnbiased(sx.Local):
    """Straight-through, with the claim that it is unbiased (Bengio et al. 2013)."""

    @property
    def facts(self):
        return facts(orders=None)

    def draw(self, key, distribution):
        return sx.StraightThrough().draw(key, only_bernoulli(distribution))


class ClaimsFirstOrder(sx.Local):
    """Says that only first derivatives are right, and gives second ones (Bengio et al. 2013)."""

    @property
    def facts(self):
        return facts(False, 1, "nothing exactly")

    def draw(self, key, distribution):
        return sx.StraightThrough().draw(key, only_bernoulli(distribution))


class HalfRelaxed(sx.Local):
    """A relaxed draw with half of its derivative (Jang et al. 2017)."""

    @property
    def facts(self):
        return facts(False, None, "the relaxed program's expectation")

    def draw(self, key, distribution):
        z = sx.GumbelSoftmax(0.5).draw(key, only_bernoulli(distribution))
        return (z + lax.stop_gradient(z)) / 2


class OneKeyInside(sx.Branching):
    """Enumerates nothing: two draws with a key of its own (Kool et al. 2019)."""

    @property
    def facts(self):
        return sx.Facts("E[f]", True, "2", None, "any", "Kool et al. 2019")

    def draw(self, key, distribution):
        return sx.LeaveOneOut().draw(key, only_bernoulli(distribution))

    def branches(self, distribution):
        return 2

    def objective(self, key, distribution, rest):
        return sx.LeaveOneOut().objective(jax.random.key(3), distribution, rest)


class Miscounts(OneKeyInside):
    """Says that it runs twice, and runs three times (Kool et al. 2019)."""

    def branches(self, distribution):
        return 3

    def objective(self, key, distribution, rest):
        return sx.LeaveOneOut(3).objective(key, distribution, rest)


class TypeErrors(Scored):
    """Refuses Normal draws, but not with a SpanaxError (Williams 1992)."""

    def draw(self, key, distribution):
        if isinstance(distribution, dist.Normal):
            raise TypeError("Normal")
        return super().draw(key, distribution)


MUTANTS = {
    SignError: {"gradient", "direction"},
    Doubled: {"gradient", "gradient in float32", "draws in a loop"},
    SilentZero: {"gradient", "silent zero", "direction"},
    NotANumber: {"extreme parameters"},
    StoppedCosts: {"second derivative"},
    OwnBaseline: {"gradient"},
    OthersTwice: {"two replicates"},
    OneKey: {"same key, same draw", "distribution of the draws", "value"},
    NoDocstring: {"docstring"},
    NoSource: {"source"},
    HalfFacts: {"facts are complete"},
    Unpicklable: {"pickle"},
    Loud: {"global settings"},
    ClaimsToBeUnbiased: {"gradient"},
    ClaimsFirstOrder: {"second derivative"},
    HalfRelaxed: {"derivative of its own value"},
    OneKeyInside: {"value"},
    Miscounts: {"evaluations"},
    TypeErrors: {"distributions"},
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda cls: cls.__name__)
def test_a_broken_bridge_is_named(mutant):
    with pytest.raises(ContractError) as error:
        check_bridge(mutant(), draws=5_000)
    failed = {outcome.name for outcome in error.value.report.failed}
    assert MUTANTS[mutant] <= failed
    assert all(f"FAILED {name}" in str(error.value) for name in failed)
    assert isinstance(error.value, AssertionError) and isinstance(error.value, sx.SpanaxError)


PAGE = pathlib.Path(__file__).parent.parent.parent / "docs" / "own-bridge.md"


def test_the_bridge_of_the_documentation_passes():
    """Its class is made by exec, and so in no module that pickle could import it from."""
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (text,) = (example for example in examples if "class Cautious(" in example)
    namespace: dict = {}
    exec(text.partition("def f(")[0], namespace)
    assert not check_bridge(namespace["Cautious"](), draws=5_000).failed


ERRORS = [
    ("that is no bridge", lambda: check_bridge(3)),  # pyright: ignore[reportArgumentType]
    ("that is no bridge", lambda: check_bridge(sx.DisARM)),  # pyright: ignore[reportArgumentType]
    ("draws=10", lambda: check_bridge(sx.ScoreFunction(), draws=10)),
    ("one PRNG key", lambda: check_bridge(sx.ScoreFunction(), key=3)),  # pyright: ignore[reportArgumentType]
]


@pytest.mark.parametrize("words, call", ERRORS)
def test_errors(words, call):
    with pytest.raises(sx.SpanaxError, match=words):
        call()


def test_a_mean_that_is_too_noisy_is_said_to_be(key):
    with pytest.raises(ContractError, match=r"too noisy to be checked.*draws="):
        check_bridge(sx.ScoreFunction(1e3), draws=1000)
