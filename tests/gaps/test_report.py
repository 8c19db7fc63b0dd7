"""What a report says, and in which forms; draws that are bridged; `assert_alive`; wrong arguments."""

import html.parser
import json
from collections import Counter

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx


def cut(params, x):
    hidden = jnp.tanh(params["w"] * x)
    return jnp.sum(jnp.round(hidden)) + jnp.sum(params["b"]) + jnp.sum(jnp.where(x > 0, params["b"], 0.0))


PARAMS = {"w": jnp.ones(3), "b": jnp.arange(3.0), "unused": jnp.ones(())}
X = jnp.array([0.3, -0.2, 1.0])


def test_each_leaf_has_its_verdict():
    report = sx.find_gaps(cut, PARAMS, X)
    assert report.per_leaf == {"params['b']": "alive", "params['unused']": "independent", "params['w']": "dead"}
    assert report.verdict == "partial"
    (gap,) = report.gaps
    assert (gap.operation, gap.kind, gap.route, gap.leaf) == ("round", "zero", "value", ("params['w']",))
    assert sx.find_gaps(cut, PARAMS, X, argnums=1).per_leaf == {"x": "dead"}
    assert set(sx.find_gaps(cut, PARAMS, X, argnums=(0, -1)).per_leaf) == {*report.per_leaf, "x"}


def test_leaves_of_a_module():
    mlp = eqx.nn.MLP(2, 1, 4, 1, activation=jnp.sign, key=jax.random.key(0))
    report = sx.find_gaps(lambda net, x: net(x)[0], mlp, jnp.ones(2))
    assert report.per_leaf["net.layers[0].weight"] == "dead"
    assert report.per_leaf["net.layers[1].weight"] == "alive"


def test_text_fits_100_columns():
    text = str(sx.find_gaps(cut, PARAMS, X, argnums=(0, 1)))
    assert all(len(line) <= 100 for line in text.splitlines())
    for part in ("cut: partial", "round", "test_report.py:", "params['w']", "(a) "):
        assert part in text, text


@pytest.mark.few(1)
@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_text_fits_any_width_and_nothing_is_cut_off(width):
    report = sx.find_gaps(cut, PARAMS, X, argnums=(0, 1))
    jumps = sx.find_jumps(cut, PARAMS, X, key=jax.random.key(0), radius=1.0, lines=3)
    for text, gaps in ((report.to_text(width), report.gaps), (jumps.to_text(width), ())):
        assert max(map(len, text.splitlines())) <= width and "…" not in text
        letters = Counter("".join(text.split()))
        for gap in gaps:
            assert gap.place in text and letters >= Counter("".join(gap.source.split()))
            assert all(letters >= Counter("".join(remedy.split())) for remedy in gap.remedies)


class _Html(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.cells = [], 0

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.cells += tag == "td"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_whole_and_escaped():
    parser = _Html()
    page = sx.find_gaps(lambda x: jnp.where(x < 0, 1.0, 2.0), 0.3)._repr_html_()
    parser.feed(page)
    assert not parser.open and parser.cells == 6 and "x &lt; 0" in page


def test_json_has_everything():
    got = json.loads(sx.find_gaps(cut, PARAMS, X).to_json())
    assert got["verdict"] == "partial" and got["gaps"][0]["operation"] == "round" and got["gaps"][0]["remedies"]


def drawn(theta, *, key):
    a, b = jax.random.split(key)
    z = sx.sample(a, dist.Bernoulli(logits=theta), via=sx.DisARM(), name="z")
    sx.cost(jnp.sin(theta) * z)
    return z + jax.random.bernoulli(b, jax.nn.sigmoid(theta)).astype(z.dtype)


@pytest.mark.parametrize("f", [drawn, sx.expectation(drawn, samples=2)], ids=["plain", "expectation"])
def test_sample_sites_are_bridged(f, key):
    report = sx.find_gaps(f, 0.3, key=key)
    (site,), (gap,) = report.bridged, report.gaps
    assert (site.operation, site.kind, site.via, site.leaf) == (
        "Bernoulli draw",
        "bridged",
        "DisARM(pairs=1)",
        ("theta",),
    )
    assert site.source.startswith("z = sx.sample(") and site.file == __file__
    assert gap.operation == "Bernoulli draw" and "jax.random.bernoulli" in gap.source
    assert report.verdict == "partial" and "via DisARM" in str(report)


def test_a_cost_is_part_of_the_result(key):
    def f(theta, *, key):
        sx.cost(theta**2)
        return jnp.float32(0.0)

    assert sx.find_gaps(f, 0.3, key=key).verdict == "alive"


@pytest.mark.parametrize(
    "name, remedy",
    [
        ("bernoulli", "sx.DisARM"),
        ("categorical", "dist.Categorical"),
        ("poisson", "dist.Poisson"),
        ("round", "sx.hard.round(..., via=sx.StraightThrough())"),
        ("where", "sx.hard.where"),
        ("argmax", "sx.hard.argmax"),
        ("hard", "sx.hard.greater(..., via=sx.StraightThrough(sx.Soft(0.1)))"),
    ],
)
def test_remedies_can_be_pasted(name, remedy, key):
    functions = {
        "bernoulli": lambda x: jax.random.bernoulli(key, jax.nn.sigmoid(x)).astype(float),
        "categorical": lambda x: jnp.arange(2.0)[jax.random.categorical(key, jnp.stack([x, 0.0 * x]))],
        "poisson": lambda x: jax.random.poisson(key, jnp.exp(x)).astype(float),
        "round": lambda x: jnp.round(x),
        "where": lambda x: jnp.where(x > 0.5, 1.0, 0.0),
        "argmax": lambda x: jnp.arange(2.0)[jnp.argmax(jnp.stack([x, 0.0 * x]))],
        "hard": lambda x: sx.hard.greater(x, 0.5),
    }
    (gap, *_) = sx.find_gaps(functions[name], 0.3).gaps
    assert any(remedy in line for line in gap.remedies), gap
    for line in gap.remedies:
        compile(line.replace("(...", "(f").replace("..., ", ""), "remedy", "exec")


def test_hard_operations_are_alive_with_a_bridge_and_gaps_without():
    via = sx.StraightThrough(sx.Soft(0.1))
    bridged = lambda x: sx.hard.take(jnp.arange(2.0), sx.hard.argmax(jnp.stack([x, 1 - x]), via=via))
    assert sx.find_gaps(bridged, 0.3).verdict == "alive"
    report = sx.find_gaps(lambda x: x + sx.hard.floor(x), 0.3)
    assert [(gap.operation, gap.kind) for gap in report.gaps] == [("hard.floor", "no-rule")]


def test_shapes_are_enough():
    report = sx.find_gaps(cut, jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), PARAMS), X)
    assert report.per_leaf["params['w']"] == "dead" and report.per_leaf["params['b']"] == "alive"
    assert sx.find_gaps(jnp.round, jax.ShapeDtypeStruct((3,), jnp.float32)).verdict == "dead"


def test_numbers_have_the_last_word():
    """By structure a tangent passes: where the argument is NaN, for these two; everywhere, for the third."""
    for f in (
        jnp.heaviside,
        lambda x, y: jnp.where(jnp.isnan(x), x, jnp.where(x < 0, 0.0, y)),
        lambda x, y: 0.0 * x + y,
    ):
        report = sx.find_gaps(f, 0.3, 0.5)
        assert report.verdict == "dead", report


def test_a_loop_that_might_not_end_is_not_run():
    def f(x):
        x = jax.lax.while_loop(lambda c: c < 3.0, lambda c: c + 1.0, jax.lax.stop_gradient(x)) + x
        return jnp.where(x > 0, x, 0.0)

    report = sx.find_gaps(f, 0.3)
    assert report.verdict == "piecewise" and not report.checked


def test_an_effect_is_not_repeated():
    seen = []

    def f(x):
        jax.debug.callback(lambda x: seen.append(float(x)), x)
        return jnp.where(x > 0, x, 0.0)

    assert sx.find_gaps(f, 0.3).verdict == "piecewise"
    jax.effects_barrier()
    assert seen == []


def test_assert_alive():
    sx.assert_alive(lambda x: jnp.where(x > 0, jnp.sin(x), 0.0), 0.3)
    with pytest.raises(
        sx.SpanaxError, match=r"no whole gradient reaches params\['unused'\], params\['w'\]\ncut: partial"
    ) as error:
        sx.assert_alive(cut, PARAMS, X)
    assert "round" in str(error.value) and "test_report.py" in str(error.value)


def test_wrong_arguments_raise():
    with pytest.raises(sx.SpanaxError, match=r"no floating-point leaf.*\n  at .*test_report"):
        sx.find_gaps(lambda n: n, 3)
    with pytest.raises(sx.SpanaxError, match=r"argnums=2, and there are 2 positional arguments"):
        sx.find_gaps(cut, PARAMS, X, argnums=2)


@pytest.mark.parametrize("x", [-4.0, -1.5, 0.5, 3.0])
def test_what_is_flat_in_places_is_not_dead(x):
    for f in (
        lambda x: jnp.clip(x, 0.0, 1.0),
        lambda x: jax.nn.relu(1 - jnp.abs(x)),
        lambda x: jnp.where(x > 0, jnp.minimum(x, 0.2), 0.0),
    ):
        assert sx.find_gaps(f, x).verdict in ("alive", "piecewise")


def test_the_user_s_code_inside_a_library_s_rule():
    """An ODE solver's own rule passes on what the user's function does to a derivative."""
    from jax.experimental.ode import odeint

    def f(x):
        return jnp.sum(odeint(lambda y, t, x: -y * jnp.round(x), jnp.ones(4), jnp.linspace(0, 1, 3), x))

    report = sx.find_gaps(f, jnp.array([0.3, -1.2, 2.4, 0.9]))
    assert report.verdict == "partial" and [gap.operation for gap in report.gaps] == ["round"]


def test_a_custom_rule_that_is_zero_by_numbers():
    @jax.custom_vjp
    def square(x):
        return x**2

    square.defvjp(lambda x: (x**2, x), lambda x, ct: (0.0 * x * ct,))
    report = sx.find_gaps(lambda x: jnp.sum(square(x)), jnp.ones(3))
    assert report.verdict == "dead" and report.checked


def test_a_predicate_of_a_custom_rule_is_no_value():
    assert sx.find_gaps(lambda x: jnp.sum(eqx.error_if(x, x[0] > 10, "too large")), jnp.ones(3)).verdict != "partial"


def test_settings_of_a_module_are_no_leaves(key):
    attention = eqx.nn.MultiheadAttention(2, 4, key=key)
    query = jax.random.normal(key, (3, 4))
    report = sx.find_gaps(lambda layer, q: jnp.sum(layer(q, q, q) ** 2), attention, query)
    assert report.verdict == "alive" and not any("dropout" in leaf for leaf in report.per_leaf)


def test_a_long_chain_of_constants():
    def f(x):
        scale = jnp.ones(3)
        for _ in range(400):
            scale = 1.01 * scale
        return jnp.sum(x * jnp.heaviside(x, scale))

    assert sx.find_gaps(f, jnp.ones(3)).verdict in ("alive", "partial")


def test_a_mutable_array_is_refused():
    def f(x):
        ref = jax.new_ref(jnp.zeros(()))
        ref[...] = x**2
        return ref[...]

    with pytest.raises(sx.SpanaxError, match=r"mutable array.*\n  at .*test_report"):
        sx.find_gaps(f, 0.7)


def test_argnums_of_the_wrong_type():
    assert sx.find_gaps(jnp.heaviside, 0.3, 0.5, argnums=np.int64(1)).verdict == "dead"
    with pytest.raises(sx.SpanaxError, match="argnums='x'"):
        sx.find_gaps(jnp.heaviside, 0.3, 0.5, argnums="x")


HERE = "0 at and around these arguments"
SATURATED = eqx.tree_at(
    lambda net: net.layers[1].bias, eqx.nn.MLP(2, 1, 4, 2, key=jax.random.key(0)), jnp.full(4, -60.0)
)


@pytest.mark.few(4)
@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lambda x: jnp.clip(x, 0.0, 1.0), (5.0,)),
        (lambda x: jnp.clip(x, 0.0, 1.0), (jnp.array([5.0, -5.0]),)),
        (lambda x: jax.nn.relu(x - 100.0), (0.0,)),
        (lambda x: jax.nn.relu(x - 100), (jnp.asarray(0.0, jnp.bfloat16),)),
        (jnp.tanh, (30.0,)),
        (jax.nn.sigmoid, (-200.0,)),
        (lambda x: jax.nn.softmax(x)[0], (jnp.array([1e4, 0.0, 1.0]),)),
        (lambda x: jnp.exp(-(x**2)), (30.0,)),
        (lambda b: SATURATED(jnp.array([0.3, -0.2]) + b)[0], (jnp.zeros(2),)),
        (lambda x, s: jnp.minimum(x, s), (7.0, jnp.float32(3.0))),
        (jax.jit(jax.vmap(lambda x: jnp.maximum(x, 0.0))), (jnp.full(3, -2.0),)),
    ],
)
def test_alive_but_zero_here(f, args):
    assert not np.any(jax.grad(lambda *args: jnp.sum(f(*args)))(*args))
    report = sx.find_gaps(f, *args)
    assert report.verdict == "alive"
    assert report.flat == tuple(report.per_leaf)
    said = f"alive, but {HERE} (elsewhere the gradient flows)"
    assert said in " ".join(str(report).split()) and said in report._repr_html_()
    assert json.loads(report.to_json())["flat"] == list(report.flat)
    with pytest.raises(sx.SpanaxError, match=HERE):
        sx.assert_alive(f, *args)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: x**2, 0.0),
        (lambda x: x**3, 0.0),
        (jnp.cos, jnp.zeros(2)),
        (jnp.prod, jnp.zeros(3)),
        (lambda w: w[1] * jnp.tanh(w[0]), jnp.zeros(2)),
        (lambda x: jnp.clip(x, 0.0, 1.0), 1.0),
        (lambda x: jax.nn.relu(x), jnp.array([-3.0, 2.0])),
        (lambda x: x**2, jnp.float32(1e-20)),
        (lambda x: jnp.clip(1e6 * x, 0.0, 1.0), 3e-7),
        (lambda x: jnp.sum(SATURATED.layers[0](x)), jnp.zeros(2)),
    ],
)
def test_a_stationary_point_is_not_flat(f, x):
    report = sx.find_gaps(f, x)
    assert (report.verdict, report.flat) == ("alive", ())


def test_which_leaves_are_flat():
    report = sx.find_gaps(lambda net, x: net(x)[0], SATURATED, jnp.ones(2), argnums=(0, 1))
    assert report.verdict == "alive"
    assert set(report.per_leaf) - set(report.flat) == {"net.layers[2].bias"}
    assert f"{HERE}: net.layers[0].weight" in str(report) and f"alive, but {HERE}" not in str(report)
    gated = sx.find_gaps(lambda x: jnp.sum(jnp.where(x > 10.0, x, 0.0)), jnp.ones(3))
    assert f"piecewise, but {HERE} (elsewhere the gradient flows" in " ".join(str(gated).split())


def test_what_is_not_computed_is_said():
    shape = jax.ShapeDtypeStruct((), jnp.float32)
    assert sx.find_gaps(lambda x: jax.nn.relu(x - 100.0), shape).flat == ()

    def called_back(x):
        jax.debug.callback(lambda: None)
        return jax.nn.relu(x - 100.0)

    report = sx.find_gaps(called_back, 0.0)
    assert not report.checked and report.flat == () and "not computed at these arguments" in str(report)


def test_a_score_that_is_zero_by_chance_is_not_flat():
    def lucky(p, *, key):
        return sx.sample(key, dist.Bernoulli(probs=p), via=sx.ScoreFunction()) * 3.0

    for seed in range(4):
        report = sx.find_gaps(sx.expectation(lucky), 0.2, key=jax.random.key(seed))
        assert (report.verdict, report.flat) == ("alive", ())
