"""Every public bridge keeps the contract; bridges that break it are told from the rest by the check that names what they break.

Keys are fixed. Each check that is statistical allows 5 standard errors: see `spanax.testing._trials.statistics`.
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


BRIDGES = [  # five of them, of all kinds, are those that @pytest.mark.few takes
    sx.DisARM(),
    sx.Pathwise(),
    sx.ReinMax(),
    sx.ScoreFunction(),
    sx.Enumerate(),
    sx.Componentwise(),
    sx.LeaveOneOut(),
    sx.GumbelSoftmax(0.5),
    sx.GumbelSoftmax(jnp.array(0.5), hard=True),
    sx.StraightThrough(),
    sx.StraightThrough(sx.Perturbed(0.1, samples=10)),
    sx.Soft(0.1),
    sx.Perturbed(0.1),
    sx.FiniteDifference(),
    sx.Smoothing(),
    sx.SPSA({"a": 0.1, "b": jnp.array(0.05)}),
    sx.Surrogate(),
]


@pytest.mark.few(5)
@pytest.mark.parametrize("bridge", BRIDGES, ids=repr)
def test_it_keeps_the_contract(bridge):
    report = check_bridge(bridge, draws=10_000 if isinstance(bridge, sx.bridges.Probing) else 5_000)
    assert not report.failed and len(report.passed) >= 22
    assert len({outcome.name for outcome in report.outcomes}) == len(report.outcomes)


def test_manual_with_and_without_its_function():
    for bridge in (sx.Manual(vjp=its_vjp), sx.Manual(jvp=its_jvp)):
        report = check_bridge(bridge, f=square, x=np.arange(3.0))
        assert {"changes of the function", "linear in its last argument"} <= set(report.passed)
        assert "changes of the function" not in check_bridge(bridge).passed


def test_every_public_bridge_is_here():
    public = {v for v in vars(sx).values() if isinstance(v, type) and issubclass(v, sx.bridges.Bridge)}
    assert {type(b) for b in BRIDGES} | {sx.Manual} == {cls for cls in public if not inspect.isabstract(cls)}


def facts(unbiased: bool = True, orders: int | None = 1, for_what: str = "E[f]"):
    return sx.bridges.Facts(for_what, unbiased, "1", orders, "Bernoulli", "Williams 1992")


def only_bernoulli(distribution):
    """Those of one family are enough, and quicker."""
    if not isinstance(distribution, dist.Independent):
        raise sx.SpanaxError("for Bernoulli draws")
    return distribution


class Scored(sx.bridges.Score):
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


KEPT = []


class Careless(Scored):  # and without a docstring
    lock: threading.Lock
    seen: int

    def __init__(self):
        self.lock, self.seen = threading.Lock(), 0

    @property
    def facts(self):
        return sx.bridges.Facts("", True, "7", None, "any", "me")

    def draw(self, key, distribution):
        np.random.seed(0)
        object.__setattr__(self, "seen", self.seen + 1)
        if isinstance(distribution, dist.Normal):
            raise TypeError("Normal")
        return super().draw(key, distribution).astype("float32")

    def advantage(self, togo, others):
        KEPT[:] = [togo]
        return togo.astype("float32")


class ClaimsToBeUnbiased(sx.bridges.Local):
    """Straight-through, with the claim that it is unbiased (Bengio et al. 2013)."""

    @property
    def facts(self):
        return facts(orders=None)

    def draw(self, key, distribution):
        return sx.StraightThrough().draw(key, only_bernoulli(distribution))


class ClaimsFirstOrder(sx.bridges.Local):
    """Says that only first derivatives are right, and gives second ones (Bengio et al. 2013)."""

    @property
    def facts(self):
        return facts(False, 1, "nothing exactly")

    def draw(self, key, distribution):
        return sx.StraightThrough().draw(key, only_bernoulli(distribution))


class HalfRelaxed(sx.bridges.Local):
    """A relaxed draw with half of its derivative (Jang et al. 2017)."""

    @property
    def facts(self):
        return facts(False, None, "the relaxed program's expectation")

    def draw(self, key, distribution):
        z = sx.GumbelSoftmax(0.5).draw(key, only_bernoulli(distribution))
        return (z + lax.stop_gradient(z)) / 2


class OneKeyInside(sx.bridges.Branching):
    """Enumerates nothing: two draws with a key of its own (Kool et al. 2019)."""

    @property
    def facts(self):
        return sx.bridges.Facts("E[f]", True, "2", None, "any", "Kool et al. 2019")

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


class RunsMore(OneKeyInside):
    """Says that it runs twice, runs five times, and gives float32 (Kool et al. 2019)."""

    def objective(self, key, distribution, rest):
        return sx.LeaveOneOut(5).objective(key, distribution, rest).astype("float32")


class DoubleSlope(sx.bridges.Local):
    """Straight-through, of twice the mean (Bengio et al. 2013)."""

    @property
    def facts(self):
        return facts(False, None, "f linear in the draw")

    def draw(self, key, distribution):
        z = sx.StraightThrough().draw(key, only_bernoulli(distribution))
        return 2 * z - lax.stop_gradient(z)


class FirstOfTheBatch(sx.bridges.Local):
    """Gives all of a batch the category of the first, as z + p - p, which is rounded (Bengio et al. 2013)."""

    @property
    def facts(self):
        return facts(False, None, "nothing exactly")

    def draw(self, key, distribution):
        if getattr(distribution, "probs", jnp.zeros(1)).shape[-1] != 3:
            raise sx.SpanaxError("for Categorical draws")
        p = distribution.probs  # pyright: ignore[reportAttributeAccessIssue]
        z = jax.nn.one_hot(jnp.ravel(jax.random.categorical(key, jnp.log(p)))[0], 3, dtype=p.dtype)
        return lax.stop_gradient(jnp.broadcast_to(z, p.shape)) + p - lax.stop_gradient(p)


class Branches(Scored):
    """Asks a field in Python (Williams 1992)."""

    share: float = 1.0

    def advantage(self, togo, others):
        return togo if self.share > 0 else 0 * togo


class StepTwice(sx.bridges.Step):
    """A relaxed comparison with twice its derivative, and says that it is unbiased (Berthet et al. 2020)."""

    @property
    def facts(self):
        return sx.bridges.Facts("E[op(x + sigma z)]", True, "10", None, "comparisons", "Berthet et al. 2020")

    def step(self, operation, x, key):
        if operation.name != "greater":
            raise sx.SpanaxError("for comparisons")
        value = sx.Perturbed(0.3, samples=10).step(operation, x, key)
        return 2 * value - lax.stop_gradient(value)


class BadProbes(sx.bridges.Probing):
    """Forgets what was dropped, miscounts, and says that it is unbiased (Spall 1992)."""

    @property
    def facts(self):
        return sx.bridges.Facts("f", True, "2 size(x)", 1, "none: any function", "Spall 1992")

    def points(self, x, key):
        return sx.SPSA(0.1).points(x, key)

    def combine(self, x, X, Y, ct=1.0, *, y, kept=None):
        return jax.tree.map(lambda g: g.astype("float32"), sx.SPSA(0.1).combine(x, X, Y, ct, y=y))

    def usable(self, kept):
        return True


MUTANTS = {
    SignError: {"gradient", "direction"},
    Doubled: {"gradient", "gradient in float32", "draws in a loop"},
    SilentZero: {"gradient", "silent zero", "direction"},
    NotANumber: {"extreme parameters"},
    StoppedCosts: {"second derivative"},
    OwnBaseline: {"gradient"},
    OthersTwice: {"two replicates"},
    OneKey: {"same key, same draw", "distribution of the draws", "value"},
    ClaimsToBeUnbiased: {"gradient"},
    ClaimsFirstOrder: {"second derivative"},
    HalfRelaxed: {"derivative of its own value"},
    OneKeyInside: {"value"},
    Miscounts: {"evaluations"},
    RunsMore: {"evaluations", "advantage or objective"},
    DoubleSlope: {"gradient of a linear cost"},
    FirstOfTheBatch: {"distribution of the draws", "value"},
    Branches: {"traced settings"},
    StepTwice: {"derivative of its own mean value", "second derivative of a step", "unbiasedness of a step"},
    BadProbes: {
        "unbiased for a wave",
        "dropped points",
        "usable",
        "evaluations of a derivative",
        "shape and dtype of a derivative",
    },
    Careless: {
        "docstring",
        "source",
        "facts are complete",
        "pickle",
        "unchanged by its use",
        "global settings",
        "distributions",
        "shape and dtype of a draw",
        "advantage or objective",
        "evaluations",
        "tracers stay inside",
    },
}


@pytest.mark.few(6)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda cls: cls.__name__)
def test_a_broken_bridge_is_named(mutant):
    with pytest.raises(ContractError) as error:
        check_bridge(mutant(), draws=5_000)
    failed = {outcome.name for outcome in error.value.report.failed}
    assert MUTANTS[mutant] <= failed
    words = " ".join(str(error.value).split())
    assert "FAILED" in words and all(name in words for name in failed) and "test_check_bridge.py" in error.value.where
    assert isinstance(error.value, AssertionError) and isinstance(error.value, sx.SpanaxError)


PAGE = pathlib.Path(__file__).parent.parent.parent / "docs" / "own-bridge.md"


def examples():
    """What the page defines: made by exec, and so in no module that pickle could import it from."""
    namespace: dict = {}
    for example in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(example.partition("\ndef f(")[0].partition("\ntry:")[0], namespace)
    return namespace


@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["Cautious", "Damped", "Pair", "Blend", "OnePair"])
def test_the_bridges_of_the_documentation_pass(name):
    assert not check_bridge(examples()[name](), draws=5_000).failed


def test_a_bridge_takes_15_lines():
    (example,) = re.findall(r"(class Cautious.*?)\n\ndef f", PAGE.read_text(), re.DOTALL)
    assert len(example.splitlines()) <= 15


class Numpyro(sx.bridges.Branching):
    """With the score that numpyro has (Williams 1992)."""

    @property
    def facts(self):
        return sx.bridges.Facts("E[f]", True, "1", None, "Bernoulli", "Williams 1992")

    def draw(self, key, distribution):
        return sx.DisARM().draw(key, only_bernoulli(distribution))

    def branches(self, distribution):
        return 1

    def objective(self, key, distribution, rest):
        z = self.draw(key, distribution)
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            log_p = jnp.asarray(distribution.log_prob(z))
        cost = rest(z)
        return cost + jnp.expm1(log_p - lax.stop_gradient(log_p)).astype(cost.dtype) * cost


def test_a_derivative_that_is_wrong_at_logits_of_0_only():
    """NumPyro clips logits, and the derivative of the clipped ones is 0 or 1 for -1/2 or 1/2 there."""
    with pytest.raises(ContractError) as error:
        check_bridge(Numpyro(), draws=5_000)
    assert {outcome.name for outcome in error.value.report.failed} == {"gradient at logits of 0"}


def test_manual_by_functions_without_a_name():
    report = check_bridge(sx.Manual(vjp=lambda x, y, ct: 2 * x * ct), f=square, x=np.arange(3.0))
    assert {"pickle", "repr"} <= set(report.passed)


def test_a_report_fits_the_screen():
    report = check_bridge(sx.Manual(vjp=its_vjp))
    assert all(len(line) <= 80 for line in str(report).splitlines()) and "skipped" in str(report)


ERRORS = [
    ("that is not a bridge", lambda: check_bridge(3)),  # pyright: ignore[reportArgumentType]
    ("that is not a bridge", lambda: check_bridge(sx.DisARM)),  # pyright: ignore[reportArgumentType]
    ("draws=10", lambda: check_bridge(sx.ScoreFunction(), draws=10)),
    ("check_bridge\\(x=", lambda: check_bridge(sx.ScoreFunction(), x=1.0)),
    ("pytree of finite floats", lambda: check_bridge(sx.SPSA(0.1), x=3)),
    ("check_bridge\\(f=", lambda: check_bridge(sx.SPSA(0.1), f=square)),
    ("one PRNG key", lambda: check_bridge(sx.ScoreFunction(), key=3)),  # pyright: ignore[reportArgumentType]
]


@pytest.mark.parametrize("words, call", ERRORS)
def test_errors(words, call):
    with pytest.raises(sx.SpanaxError, match=words):
        call()


class OffByAThousand(Scored):
    """With a baseline that only adds noise (Williams 1992)."""

    def advantage(self, togo, others):
        return togo - 1e3


def test_a_mean_that_is_too_noisy_is_said_to_be(key):
    with pytest.raises(ContractError, match=r"(?s)too noisy to be checked.*draws="):
        check_bridge(OffByAThousand(), draws=1000)
