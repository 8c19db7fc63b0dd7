"""What every bridge says about itself, for each one that spanax exports: a new bridge is covered unasked."""

import dataclasses
import inspect
import math
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx

EXPORTED = {
    name: value
    for name, value in vars(sx).items()
    if isinstance(value, type) and issubclass(value, sx.bridges.Bridge) and not inspect.isabstract(value)
}

NEEDED = {
    "Soft": (0.1,),
    "Perturbed": (0.1,),
    "SPSA": (0.1,),
    "Manual": (math.hypot,),
}  # what a bridge cannot be without


def plain(cls):
    return cls(*NEEDED.get(cls.__name__, ()))


# Each as it is by default, and with arrays, statics and other modules for fields.
INSTANCES = [plain(cls) for cls in EXPORTED.values()] + [
    sx.ScoreFunction(None),
    sx.ScoreFunction(0.5),
    sx.ScoreFunction(sx.MovingAverage(0.8).update(2.0)),
    sx.GumbelSoftmax(0.3, hard=True),
    sx.GumbelSoftmax(jnp.array(0.3)),
    sx.LeaveOneOut(samples=5),
    sx.DisARM(pairs=3),
    sx.ReinMax(temperature=1.3),
    sx.Soft(jnp.array(0.2), kernel="gaussian"),
    sx.StraightThrough(sx.Soft(0.3)),
    sx.StraightThrough(sx.Perturbed(jnp.array(0.3), samples=4)),
    sx.Smoothing({"a": jnp.array(0.1), "b": 0.2}, pairs=3, directions="coordinate", antithetic=False),
    sx.FiniteDifference(scheme="complex"),
    sx.FiniteDifference(step=jnp.array(0.1)),
    sx.Manual(jvp=math.hypot),
    sx.Surrogate({"a": jnp.array(0.1), "b": 0.2}, pairs=3, trust="direct"),
    sx.MovingAverage(0.7).update(1.0),
]
BRIDGES = [x for x in INSTANCES if isinstance(x, sx.bridges.Bridge)]

every_class = pytest.mark.parametrize("cls", EXPORTED.values(), ids=EXPORTED)
every_bridge = pytest.mark.parametrize("bridge", BRIDGES, ids=repr)
every_instance = pytest.mark.parametrize("instance", INSTANCES, ids=repr)


def test_the_bridges_are_found():
    found = {"ScoreFunction", "Enumerate", "LeaveOneOut", "DisARM", "Pathwise", "StraightThrough", "Soft", "Perturbed"}
    assert found < set(EXPORTED)


@every_class
def test_it_is_one_of_the_kinds_and_final(cls):
    kinds = {
        kind
        for kind in (sx.bridges.Local, sx.bridges.Score, sx.bridges.Branching, sx.bridges.Step, sx.bridges.Probing)
        if issubclass(cls, kind)
    }
    if cls is sx.StraightThrough:  # of a draw, and of an operation
        assert kinds == {sx.bridges.Local, sx.bridges.Step}
    else:
        assert len(kinds) == (cls is not sx.Manual)  # which needs nothing but the user's function
    assert all(inspect.isabstract(parent) for parent in cls.__mro__[1:] if issubclass(parent, sx.bridges.Bridge))


@every_bridge
def test_facts_are_complete(bridge):
    facts = bridge.facts
    assert isinstance(facts, sx.bridges.Facts)
    texts = [getattr(facts, name) for name in ("unbiased_for", "evaluations", "distributions", "source")]
    assert all(isinstance(text, str) and text.strip() for text in texts)
    assert isinstance(facts.unbiased, bool)
    assert facts.orders is None or facts.orders >= 1
    assert len(dataclasses.fields(facts)) == len(texts) + 2  # a new fact needs a line here


@pytest.mark.parametrize(
    "bridge, evaluations",
    [
        (sx.LeaveOneOut(5), 5),
        (sx.DisARM(3), 6),
        (sx.ReinMax(), 1),
        (sx.Pathwise(), 1),
        (sx.Soft(0.1), 1),
        (sx.Perturbed(0.1, samples=6), 6),
        (sx.StraightThrough(sx.Perturbed(0.1, samples=6)), 6),
    ],
    ids=repr,
)
def test_facts_count_the_evaluations(bridge, evaluations):
    assert bridge.facts.evaluations == str(evaluations)


def test_facts_tell_the_biased_from_the_unbiased():
    biased = {"GumbelSoftmax", "StraightThrough", "ReinMax", "Soft", "Perturbed"}
    assert {name for name, cls in EXPORTED.items() if not plain(cls).facts.unbiased} >= biased
    assert all(
        plain(cls).facts.unbiased for name, cls in EXPORTED.items() if name in {"ScoreFunction", "DisARM", "Enumerate"}
    )


def test_facts_of_straight_through_are_those_of_what_it_is_of():
    assert sx.StraightThrough().facts.orders is None and sx.StraightThrough(sx.Soft(0.1)).facts.orders is None
    assert sx.StraightThrough(sx.Perturbed(0.1)).facts.orders == 1
    assert "draw" in sx.StraightThrough().facts.unbiased_for
    for of in (sx.Soft(0.1), sx.Perturbed(0.1)):
        facts = sx.StraightThrough(of).facts
        assert facts.distributions == "hard operations" and of.facts.unbiased_for in facts.unbiased_for


@every_class
def test_docstring_states_bias_and_source(cls):
    assert cls.__doc__, "a docstring of its own"
    doc = inspect.getdoc(cls) or ""
    assert re.search(r"[Bb]iased|\bExact\b", doc)
    assert re.search(r"\b(19|20)\d\d\b", doc) or "definition" in plain(cls).facts.source
    assert re.search(r"\b(19|20)\d\d\b", plain(cls).facts.source) or "definition" in plain(cls).facts.source


@every_instance
def test_repr_can_be_read(instance):
    text = repr(instance)
    assert text.startswith(f"{type(instance).__name__}(") and text.endswith(")")
    assert "<" not in text and "0x" not in text and "\n" not in text


@pytest.mark.parametrize(
    "text, bridge",
    [
        ("Pathwise()", sx.Pathwise()),
        ("ScoreFunction(baseline='auto')", sx.ScoreFunction()),
        ("ScoreFunction(baseline=None)", sx.ScoreFunction(None)),
        ("LeaveOneOut(samples=5)", sx.LeaveOneOut(5)),
        ("Soft(softness=0.1)", sx.Soft(0.1)),
        ("StraightThrough()", sx.StraightThrough()),
        ("StraightThrough(of=Soft(softness=0.1, kernel='gaussian'))", sx.StraightThrough(sx.Soft(0.1, "gaussian"))),
        ("GumbelSoftmax(temperature=0.3, hard=True)", sx.GumbelSoftmax(0.3, hard=True)),
    ],
)
def test_repr_of_plain_fields_is_the_call(text, bridge):
    assert repr(bridge) == text


def same(a, b):
    leaves_a, tree_a = jax.tree.flatten(a)
    leaves_b, tree_b = jax.tree.flatten(b)
    return tree_a == tree_b and all(np.array_equal(x, y) for x, y in zip(leaves_a, leaves_b, strict=True))


@every_instance
def test_it_is_a_pytree_with_hashable_structure(instance):
    leaves, tree = jax.tree.flatten(instance)
    back = jax.tree.unflatten(tree, leaves)
    assert type(back) is type(instance) and repr(back) == repr(instance) and same(back, instance)
    assert isinstance(hash(tree), int)
    assert all(isinstance(leaf, jax.Array | float) for leaf in leaves)
    jax.jit(lambda x: x)(instance)


@every_instance
def test_it_pickles(instance):
    back = pickle.loads(pickle.dumps(instance))
    assert type(back) is type(instance) and repr(back) == repr(instance) and same(back, instance)


@every_bridge
def test_it_cannot_be_changed(bridge):
    with pytest.raises(AttributeError):
        bridge.something = 1


REFUSED = {
    "one draw to leave out of": (lambda: sx.LeaveOneOut(1), r"LeaveOneOut\(samples=1\)"),
    "no pair": (lambda: sx.DisARM(0), r"DisARM\(pairs=0\)"),
    "an unknown baseline": (lambda: sx.ScoreFunction("average"), "'average'"),  # pyright: ignore[reportArgumentType]
    "a baseline for each element": (lambda: sx.ScoreFunction(jnp.zeros(3)), r"\[3\]"),
    "a baseline of one element": (lambda: sx.ScoreFunction(jnp.zeros((1, 1))), r"\[1, 1\]"),
}


@pytest.mark.parametrize("make, match", REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused_with_a_remedy(make, match):
    with pytest.raises(sx.SpanaxError, match=match) as caught:
        make()
    assert caught.value.remedies
    assert "\n  (a) " in str(caught.value)


# -- the moving average


def test_moving_average_is_the_weighted_mean_of_past_costs():
    costs, decay = np.array([4.0, 2.0, -1.0, 7.0]), 0.6
    weights = decay ** np.arange(len(costs))[::-1]
    average = sx.MovingAverage(decay)
    for cost in costs:
        average = average.update(cost)
    np.testing.assert_allclose(average.value, weights @ costs / np.sum(weights), rtol=1e-6)


def test_moving_average_takes_the_mean_of_an_array_and_stops_its_derivative():
    def update(cost):
        return sx.MovingAverage().update(cost).value

    np.testing.assert_allclose(update(jnp.array([1.0, 3.0])), 2.0, rtol=1e-6)
    assert jax.grad(update)(3.0) == 0.0


def test_moving_average_is_threaded_through_a_scan():
    average, _ = jax.lax.scan(
        lambda a, c: (a.update(c), None), sx.MovingAverage(0.5, jnp.float32(0), jnp.float32(0)), jnp.array([1.0, 2.0])
    )
    np.testing.assert_allclose(average.value, (0.5 * 1 + 2) / 1.5, rtol=1e-6)
