"""Bias by group of leaves: what a large gradient hides, what facts say, and what could have been seen."""

import json
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.stats import binom

import spanax as sx
from spanax.judge._measure.arguments import Arguments
from spanax.judge._measure.groups import groups_of
from spanax.judge._measure.moments import moments
from spanax.judge._measure.sites import leaves_of_draws
from spanax.judge._measure.statistics import LEVEL, Reference, bias
from spanax.judge._measure.verdicts import recommend_row
from spanax.judge._show.group_lines import SHOWN, group_lines
from spanax.judge.compare import compare
from spanax.judge.rows import Group, Interval, Row

from .test_statistics import Recorded

KEY = jax.random.key(0)

# -- a categorical VAE whose decoder's gradient is large, and not estimated

PIXELS, LATENTS, VALUES = 6, 2, 3


def negative_elbo(via, samples=1):
    def elbo(params, x, *, key):
        logits = jnp.einsum("d,dlk->lk", x, params["encoder"])
        z = sx.sample(key, dist.Categorical(logits=logits).to_event(1), via=via, name="z")
        z = z if z.ndim == 2 else jax.nn.one_hot(z, VALUES)
        pixels = jnp.tanh(jnp.einsum("lk,lkd->d", z, params["decoder"])) + params["bias"]
        log_q = jax.nn.log_softmax(logits)
        divergence = jnp.sum(jnp.exp(log_q) * (log_q + jnp.log(VALUES)))
        return 0.5 * jnp.sum((x - pixels) ** 2) + divergence + 10 * jnp.sum(params["bias"] ** 2)

    return sx.expectation(elbo, samples=samples)


RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.standard_normal(PIXELS), jnp.float32)
PARAMS = {
    "encoder": jnp.asarray(0.3 * RNG.standard_normal((PIXELS, LATENTS, VALUES)), jnp.float32),
    "decoder": jnp.asarray(RNG.standard_normal((LATENTS, VALUES, PIXELS)), jnp.float32),
    "bias": jnp.full(PIXELS, 10.0),
}


def test_a_decoder_hides_no_bias_of_the_encoder(tmp_path):
    straight, exact = negative_elbo(sx.StraightThrough()), negative_elbo(sx.Enumerate())
    bridges = {"straight-through": straight, "leave-one-out": negative_elbo(sx.LeaveOneOut(4))}
    found = compare(exact, PARAMS, X, key=KEY, vias=bridges, truth=exact, draws=400)
    row = next(row for row in found.rows if row.label == "straight-through")
    encoder = jax.grad(exact)(PARAMS, X, key=KEY)["encoder"]
    keys = jax.random.split(jax.random.key(1), 10_000)
    mean = jax.jit(jax.vmap(lambda key: jax.grad(straight)(PARAMS, X, key=key)["encoder"]))(keys).mean(0)
    known = float(jnp.linalg.norm(mean - encoder))  # its own error is a hundredth of the encoder's norm
    group = row.groups["params['encoder']"]
    assert group.verdict == "biased" and group.bias.low < 1.1 * known and known < 1.1 * group.bias.high
    assert known > 0.1 * group.norm and known < 0.01 * found.truth.norm  # hidden in the whole
    assert row.verdict == "biased" and row.time_to_accuracy == math.inf  # 10% of the encoder is out of reach
    assert [row.groups[f"params['{name}']"].verdict for name in ("decoder", "bias")] == ["no bias found"] * 2
    assert found.code == "vias['leave-one-out']" and found.recommendation.startswith("leave-one-out: no bias found (< ")
    assert any(t.startswith("straight-through is biased, by ") and "in params['encoder']" in t for t in found.warnings)
    text = str(found)
    assert max(map(len, text.splitlines())) <= 100 and text.count("  params['encoder']  ") == 2
    assert "biased: " in text and "unbiased" not in text and "no bias found (< " in text
    narrow = found.to_text(80)
    assert max(map(len, narrow.splitlines())) <= 80 and "    params['encoder']: biased: " in narrow
    content = json.loads(found.to_json())["rows"][-1]["groups"]["params['encoder']"]
    assert (
        content["verdict"] == "biased" and content["bias"]["high"] == group.bias.high and 0 < content["p_value"] < 0.01
    )
    found.to_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count('<tr class="group">') == 6 and "unbiased" not in page and "no bias found (&lt; " in page


# -- what is recommended, and in which words


def row(label, high, seconds, promises, verdict="no bias found"):
    found = Interval(high / 2, 0.0, high)
    return Row(label, found, {}, 0.5, 1.0, ("p", 1.0), 1.0, 1.0, 1.0, 1.0, seconds, verdict, {}, promises)


def test_facts_come_before_figures():
    straight, score = row("st", 0.01, 1e-6, False), row("score", 0.3, 1e3, True)
    best, said = recommend_row([straight, score], 0.1, 1.0)
    assert best is score and said.startswith("score: no bias found (< 30%)")
    assert said.endswith("st takes 1 us, but is biased by its facts (no bias found (< 1%))")
    best, said = recommend_row([straight, row("score", 0.9, 1e3, True, "undecided")], 0.1, 1.0)
    assert best.label == "score" and "no bias found yet, with too few draws to exclude one (< 90%)" in said
    best, said = recommend_row([straight, row("mine", 0.3, 1e3, None)], 0.1, 1.0)
    assert best.label == "mine"  # of a function nothing is known, of the other a bias is
    best, said = recommend_row([straight, row("jumps", 0.3, 1e3, True, "biased")], 0.1, 1.0)
    assert best is straight and said.startswith(
        "biased by its facts, and so is all else that is left: st: no bias found"
    )


def test_a_bias_by_facts_begins_the_recommendation_and_is_heard_inside_functions():
    coin = lambda theta, *, key: 3 * sx.sample(key, dist.Bernoulli(logits=theta), name="z")  # linear: it has none here
    found = compare(coin, 0.5, key=KEY, vias={"z": [sx.StraightThrough()]}, draws=100)
    assert found.recommendation.startswith("biased by its facts") and found.rows[0].unbiased_by_facts is False
    assert any(
        t.startswith("z=StraightThrough() is biased by its facts; here no bias found (<") for t in found.warnings
    )
    inside = {
        name: lambda theta, *, key, via=via: jnp.mean(
            jax.vmap(sx.expectation(coin, via={"z": via}), in_axes=(None,))(theta, key=jax.random.split(key, 3))
        )
        for name, via in {"st": sx.StraightThrough(), "loo": sx.LeaveOneOut()}.items()
    }
    found = compare(coin, 0.5, key=KEY, vias=inside, draws=100)
    assert {row.label: row.unbiased_by_facts for row in found.rows} == {"st": False, "loo": None}
    assert found.code == "vias['loo']"


# -- which leaves are together


class Layer(NamedTuple):
    w: Any
    b: Any


class Net(eqx.Module):
    first: Layer
    scale: Any
    name: str = eqx.field(static=True, default="net")


def named(*args, argnums=0, groups=None):
    arguments = Arguments.of(lambda p, q=None, r=None: 0.0, args, {}, argnums, "")
    found = groups_of(arguments, groups, "")
    return {name: [arguments.names[i] for i in leaves] for name, leaves in found.items()}


def test_the_default_is_the_top_level():
    ones = jnp.ones(2)
    assert named(ones) == {"p": ["p"]}
    assert named({"a": {"w": ones, "n": 3}, "b": ones}) == {"p['a']": ["p['a']['w']"], "p['b']": ["p['b']"]}
    assert named([ones, (ones, 1.0)]) == {"p[0]": ["p[0]"], "p[1]": ["p[1][0]", "p[1][1]"]}
    net = Net(Layer(ones, ones), ones)
    assert named(net) == {"p.first": ["p.first.w", "p.first.b"], "p.scale": ["p.scale"]}
    both = named(ones, {"a": ones, "none": jnp.zeros((0, 3)), "int": jnp.arange(3)}, argnums=(0, 1))
    assert both == {"p": ["p"], "q['a']": ["q['a']"]}


def test_groups_are_a_prefix_of_names():
    ones, params = jnp.ones(2), {"a": {"w": jnp.ones(2), "n": 3}, "b": jnp.ones(3), "c": jnp.arange(2)}
    assert named(params, groups="all") == {"all": ["p['a']['w']", "p['b']"]}
    assert named(params, groups={"a": {"w": "x", "n": "y"}, "b": "x", "c": "z"}) == {"x": ["p['a']['w']", "p['b']"]}
    net = Net(Layer(ones, ones), ones)
    assert named(net, groups=Net(Layer("w", "b"), "w")) == {"w": ["p.first.w", "p.scale"], "b": ["p.first.b"]}
    assert named(ones, net, argnums=(1, 0), groups=("net", "x")) == {
        "x": ["p"],
        "net": ["q.first.w", "q.first.b", "q.scale"],
    }
    path = jax.tree_util.tree_map_with_path(lambda path, _: jax.tree_util.keystr(path[:2]), params)
    assert named(params, groups=path) == {"['a']['w']": ["p['a']['w']"], "['b']": ["p['b']"]}


@pytest.mark.parametrize(
    ("groups", "words"),
    [({"a": "x"}, "not a pytree prefix"), ({"a": "x", "b": 3}, "3 is not"), (["x", "y"], "not a pytree prefix")],
)
def test_groups_that_do_not_fit_are_refused(groups, words):
    with pytest.raises(sx.SpanaxError, match=words) as error:
        compare(coins, {"a": jnp.ones(2), "b": 1.0}, key=KEY, vias={"z": [sx.DisARM()]}, groups=groups)
    assert any("tree_map_with_path" in remedy for remedy in error.value.remedies)
    assert "test_groups.py" in error.value.where


# -- which leaves count for the rank


def coins(params, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=params["a"]).to_event(1), name="z")
    return jnp.sum(z) ** 2 * params["b"]


def test_leaves_of_draws_are_found_through_loops_branches_and_other_draws():
    def f(p, *, key):
        def step(x, key):
            keys = jax.random.split(key)
            x = x + sx.sample(keys[0], dist.Bernoulli(logits=x + p["loop"]))
            draw = lambda: sx.sample(keys[1], dist.Normal(0.0, 1.0))
            return x, jax.lax.cond(p["branch"] > 0, draw, lambda: jnp.float32(0.0))

        keys = jax.random.split(key, 3)
        first = sx.sample(keys[2], dist.Normal(p["first"], 1.0))
        last, more = jax.lax.scan(step, jax.jit(jnp.sin)(first), keys[:2])
        return (last + jnp.sum(more)) * p["cost"] + p["alone"] ** 2

    p = dict.fromkeys(("alone", "branch", "cost", "first", "loop"), 0.3)
    arguments = Arguments.of(f, (p,), {}, 0, "")
    reached = [arguments.names[i] for i in leaves_of_draws(f, arguments, KEY)]
    assert reached == ["p['branch']", "p['first']", "p['loop']"]


def test_groups_of_all_sorts_side_by_side():
    """A reached one; one that no draw reaches; one whose gradient is 0; and one that is NaN for one of two candidates."""

    def f(params, *, key, bad=False):
        value = coins(params, key=key) + jnp.sum(params["none"] * 0.0) + jnp.sum(params["far"] ** 2)
        root = jnp.sqrt(params["far"][0] - 1.0) if bad else 0.0  # its derivative is infinite
        return value + root

    params = {"a": jnp.ones(2), "b": jnp.float32(2.0), "far": jnp.ones(2), "none": jnp.ones(3)}
    candidates = {
        "good": sx.expectation(f, via={"z": sx.LeaveOneOut()}),
        "bad": sx.expectation(lambda p, *, key: f(p, key=key, bad=True), via={"z": sx.LeaveOneOut()}),
    }
    exact = sx.expectation(f, via={"z": sx.Enumerate()})
    found = compare(f, params, key=KEY, vias=candidates, truth=exact, draws=200)
    rows = {row.label: row for row in found.rows}
    good, bad = ({name[8:-2]: group for name, group in rows[label].groups.items()} for label in ("good", "bad"))
    assert {name: group.verdict for name, group in good.items()} == dict.fromkeys(params, "no bias found")
    assert good["none"].norm == 0 and good["none"].bias.high < 1e-5 and good["far"].bias.high < 1e-4
    assert bad["far"].verdict == "biased" and math.isnan(bad["far"].bias.high) and math.isnan(bad["far"].p_value)
    assert {bad[name].verdict for name in ("a", "b", "none")} == {"no bias found"} and bad["a"] == good["a"]
    assert "not finite" in str(found) and found.rows[0].label == "good"
    by_site = compare(f, params, key=KEY, vias={"z": [sx.LeaveOneOut()]}, draws=100)
    assert by_site.ranked == ("params['a']",) and "figures and rank: of params['a'];" in str(by_site)


def test_many_groups_are_shown_by_the_worst():
    groups = {f"g{i}": Group(Interval(0.0, 0.0, 0.01 * i), 1.0, 0.5, "no bias found") for i in range(1000)}
    groups["g7"] = Group(Interval(0.4, 0.3, 0.5), 1.0, 1e-5, "biased")
    one = Row("x", Interval(0.0, 0.0, 1.0), {}, 0.5, 1.0, ("p", 1.0), 1.0, 1.0, 1.0, 1.0, 1.0, "biased", groups, None)
    lines = group_lines(one)
    assert len(lines) == SHOWN and lines[0] == ("g7", "biased: 40% (30%-50%)")
    assert lines[-1] == ("993 more, the worst of them", "no bias found (< 993%)")


def test_ctrl_c_keeps_what_was_measured(monkeypatch):
    def interrupted(gradient, *a):
        if gradient.function is second:
            raise KeyboardInterrupt
        return moments(gradient, *a)

    monkeypatch.setattr("spanax.judge._measure.measure.moments", interrupted)
    first, second = (lambda p: jnp.sum(p**2)), (lambda p: jnp.sum(p**2) * 1.0)
    with pytest.raises(KeyboardInterrupt) as interrupt:
        compare(first, jnp.ones(2), key=KEY, vias={"first": first, "second": second}, draws=100)
    (note,) = interrupt.value.__notes__
    assert note.startswith("interrupted before second had been measured") and "no bias found (< " in note
    with pytest.raises(KeyboardInterrupt) as interrupt:
        compare(first, jnp.ones(2), key=KEY, vias={"second": second}, draws=100)
    assert not hasattr(interrupt.value, "__notes__")


# -- the level, and what is found

SEEDS, SIZES = 100, (1, 1, 2, 3, 5, 40)


def compare_candidates(rows, truth, grouped, ranked=()):
    ends = np.cumsum(SIZES)
    parts = [slice(end - size, end) for end, size in zip(ends, SIZES, strict=True)]
    groups = [(0,), (1, 2), (3,), (4,), (5,)] if grouped else ()
    return bias(moments(Recorded(rows), None, len(rows)), truth, parts, 1e-7, groups, ranked)


def test_all_groups_together_raise_one_false_alarm_in_100():
    """Skewed gradients of very different sizes, and a truth with noise; this test fails 1 time in 2,000 where the rate is 1%."""
    rng, size, biased, of_groups = np.random.default_rng(0), sum(SIZES), 0, 0
    scale = np.repeat([1e3, 1.0, 1.0, 1e-2, 1.0, 30.0], SIZES)
    for _ in range(SEEDS):
        draw = lambda n: (rng.gamma(2.0, size=(n, size)) - 2.0 + rng.normal(size=(n, 1))) * scale
        known = moments(Recorded(draw(400)), None, 400)
        found = compare_candidates(draw(200), Reference(known.mean, known), True, (1, 2, 3))
        biased += found.significant
        of_groups += any(of.significant for of in found.by_group)
    assert of_groups <= biased <= binom.ppf(0.9995, SEEDS, LEVEL)


def test_a_bias_of_a_small_group_is_found_and_named():
    """3 standard errors in each of 5 elements, beside the noise of 40 that is 30 times as large."""
    rng, size = np.random.default_rng(0), sum(SIZES)
    scale = np.repeat([1.0, 1.0, 1.0, 1.0, 1.0, 30.0], SIZES)
    rows = rng.normal(size=(20, 400, size)) * scale
    rows[:, :, 7:12] += 3 / np.sqrt(400)
    truth = Reference(np.zeros(size), None)
    found = [compare_candidates(each, truth, True) for each in rows]
    assert sum(of.by_group[3].significant for of in found) >= 17
    assert sum(of.by_group[j].significant for of in found for j in (0, 1, 2, 4)) <= 2  # at 0.1% each: 1 in 12,000
    assert sum(compare_candidates(each, truth, False).significant for each in rows) <= 10  # as one vector, it is hidden
    assert all(of.overall.high >= of.by_group[3].interval.low for of in found)
