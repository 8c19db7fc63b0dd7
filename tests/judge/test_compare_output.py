"""How a comparison is shown, and what `compare` refuses."""

import json
import math
import re

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import pytest

import spanax as sx
from spanax.judge._numbers import duration, number, share
from spanax.judge.compare import compare

KEY = jax.random.key(0)


def coins(theta, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=theta).to_event(1), name="a_draw_with_a_name_as_long_as_a_sentence")
    return jnp.sum(z) ** 2


SITE = "a_draw_with_a_name_as_long_as_a_sentence"


@pytest.fixture(scope="module")
def found():
    bridges = [sx.LeaveOneOut(samples=8), sx.StraightThrough(), sx.Pathwise()]
    return compare(coins, jnp.array([0.5, 1.0]), key=KEY, vias={SITE: bridges}, draws=300)


def test_the_table_fits_100_columns(found):
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 100
    assert "300 draws each. Truth, of norm" in lines[0]
    names = [k for k, line in enumerate(lines) if line.startswith("a_draw")]
    assert [lines[k] for k in names] == [f"{SITE}=LeaveOneOut(samples=8)", f"{SITE}=StraightThrough()"]
    table = [lines[k + 1] for k in names]
    verdicts = "no bias found (< ", "biased: "
    assert all(words in line for words, line in zip(verdicts, table, strict=True)) and "never" in table[1]
    assert any(line.startswith("recommended: a_draw") for line in lines)
    assert any(line.startswith("warning: ") for line in lines)
    for width in (40, 60, 80, 120):
        text = found.to_text(width)
        assert max(map(len, text.splitlines())) <= width and "…" not in text
        words = " ".join(text.split())
        assert "no bias found (< " in words and "biased: " in words and words.count("StraightThrough()") >= 2
    assert any(line.startswith("code: ") for line in lines) and found.code.endswith("sx.LeaveOneOut(samples=8)})")


def test_json_holds_everything_and_no_infinity(found):
    def refuse(constant):
        raise AssertionError(constant)

    content = json.loads(found.to_json(), parse_constant=refuse)
    assert (content["format"], content["version"], content["draws"]) == ("spanax.comparison", 2, 300)
    assert content["recommendation"] == found.recommendation and content["code"] == found.code
    assert content["warnings"] == list(found.warnings)
    first, second = content["rows"]
    assert first["bias"]["high"] == found.rows[0].bias.high and second["time_to_accuracy"] == "inf"
    assert first["bias_by_leaf"]["theta"]["low"] == 0
    assert second["scale"] == found.rows[1].scale._asdict() and second["across"] == found.rows[1].across._asdict()
    assert first["worst_leaf"] == {"leaf": "theta", "share": 1.0}
    for histogram in content["histograms"]:
        assert len(histogram["edges"]) == 41 and all(sum(c) == 300 for c in histogram["counts"].values())


def test_html_is_one_page_that_needs_nothing(found, tmp_path):
    path = tmp_path / "page.html"
    found.to_html(path)
    page = path.read_text(encoding="utf-8")
    assert not re.search(r"<script|https?://|src=|href=|@import|url\(", page)
    assert 'content="width=device-width' in page and page.count("<tr>") == 3
    assert page.count("<svg") == 2 + len(found.histograms["coordinates"])  # times, biases, and draws by element
    assert found._repr_html_() in page
    assert "a_draw_with_a_name_as_long_as_a_sentence=StraightThrough()" in page


def test_html_escapes_labels(tmp_path):
    def f(theta):
        return theta**2

    path = tmp_path / "page.html"
    compare(f, 1.0, key=KEY, vias={'<b>&"quoted"': f}, draws=100).to_html(path)
    page = path.read_text(encoding="utf-8")
    assert '<b>&"' not in page and "&lt;b&gt;&amp;&quot;quoted&quot;" in page


def test_numbers_are_for_people():
    assert [duration(x) for x in (3.21e-6, 0.01234, 59.0, 7200.0, math.inf, math.nan)] == [
        "3.21 us", "12.3 ms", "59 s", "2 h", "never", "-",
    ]  # fmt: skip
    assert [number(x) for x in (0.0, 1234.5, 0.00012345, 1e9, math.nan)] == ["0", "1,234", "0.000123", "1e+09", "-"]
    assert [share(x, 2.0) for x in (0.02, 0.9, 3e4)] == ["1%", "45%", "2e+04x"]


# -- what is refused


def f(theta, *, key):
    return sx.sample(key, dist.Bernoulli(logits=theta), name="z") * 1.0


def without_key(theta):
    return theta**2


Z = {"z": [sx.LeaveOneOut()]}


@pytest.mark.parametrize(
    "program, argument, options, said",
    [
        (f, 0.5, {"vias": {"w": [sx.DisARM()]}}, r"vias= names \['w'\].*the names are \['z'\]"),
        (sx.expectation(f), 0.5, {"vias": Z}, "it has no draw with a name"),
        (f, 0.5, {"vias": {}}, "vias="),
        (f, 0.5, {"vias": {"z": []}}, "vias="),
        (f, 0.5, {"vias": {"z": [sx.Soft(0.1)]}}, "vias="),
        (f, 0.5, {"vias": {"z": sx.DisARM()}}, "vias="),
        (f, 0.5, {"vias": {"z": [sx.DisARM()], "g": without_key}}, "vias="),
        (f, 0.5, {"vias": {"z": [sx.Pathwise()]}}, "no candidate fits: 'z': Pathwise"),
        (without_key, 0.5, {"vias": Z}, "f takes no `key`"),
        (f, 1, {"vias": Z}, "no floating-point leaf"),
        (f, 0.5, {"vias": Z, "argnums": 1}, "argnums=1"),
        (f, 0.5, {"vias": Z, "draws": 99}, r"draws=99"),
        (f, 0.5, {"vias": Z, "draws": 1e3}, r"draws=1000.0"),
        (f, 0.5, {"vias": Z, "accuracy": 0}, "accuracy=0"),
        (f, 0.5, {"vias": {"g": lambda theta: jnp.ones(2) * theta}}, r"returned float32\[2\]"),
    ],
)
def test_what_does_not_fit_is_refused(program, argument, options, said):
    with pytest.raises(sx.SpanaxError, match=said) as error:
        compare(program, argument, key=KEY, **options)
    assert error.value.remedies


def test_one_key_is_needed():
    with pytest.raises(sx.SpanaxError, match="PRNG key"):
        compare(f, 0.5, key=jax.random.split(KEY), vias=Z)
    old = compare(f, 0.5, key=jax.random.PRNGKey(0), vias=Z, draws=100)
    assert old.rows[0].verdict == "no bias found"


# -- candidates and labels that are odd


def square(p):
    return jnp.sum(p**2)


def times(factor):
    @jax.custom_vjp
    def g(p):
        return square(p)

    g.defvjp(lambda p: (square(p), p), lambda p, ct: (ct * 2 * p * factor,))
    return g


def test_a_candidate_that_raises_is_left_out():
    def broken(p):
        raise TypeError("a slip\nof mine")

    calls = []

    def late(p):
        def host(x):
            calls.append(x)
            if len(calls) > 50:
                raise RuntimeError("no more")
            return x

        return jnp.sum(p * jax.pure_callback(host, jax.ShapeDtypeStruct((2,), p.dtype), jax.lax.stop_gradient(p)))

    p = jnp.array([0.3, 0.7])
    found = compare(square, p, key=KEY, vias={"a": square, "broken": broken, "late": late}, draws=100)
    assert [row.label for row in found.rows] == ["a"]
    assert "broken is left out: TypeError: a slip" in found.warnings
    assert any(text.startswith("late is left out: ") and "no more" in text for text in found.warnings)
    with pytest.raises(sx.SpanaxError, match="no candidate runs: TypeError: a slip") as error:
        compare(square, p, key=KEY, vias={"broken": broken}, draws=100)
    assert "test_compare_output.py" in error.value.where


def test_infinite_pilots_raise_no_warning():
    f = lambda p, *, key: jnp.where(jax.random.uniform(key) < 0.5, jnp.inf, 1.0) * jnp.sum(p)
    found = compare(square, jnp.ones(2), key=KEY, vias={"a": square, "b": f}, draws=100)
    assert {row.label: math.isnan(row.variance) for row in found.rows} == {"a": False, "b": True}


def test_labels_stay_apart_and_on_one_line():
    vias = {1: square, "1": times(0.5), "a\n b": square}
    found = compare(square, jnp.ones(2), key=KEY, vias=vias, draws=100)
    assert {row.label: row.verdict for row in found.rows} == {
        "1": "no bias found",
        "1 (2)": "biased",
        "a b": "no bias found",
    }


def test_long_labels_are_written_out():
    vias = {f"{'x' * 40} {k} {'y' * 40}": times(factor) for k, factor in enumerate((1.0, 2.0))}
    found = compare(square, jnp.ones(2), key=KEY, vias=vias, draws=100)
    lines = str(found).splitlines()
    assert set(vias) <= set(lines) and max(map(len, lines)) <= 100


def test_small_accuracies_have_a_heading():
    found = compare(square, jnp.ones(2), key=KEY, vias={"a": square}, draws=100, accuracy=0.001)
    assert "to 0.1%" in str(found)


def test_a_last_place_apart_has_a_histogram(x64):
    found = compare(square, jnp.ones(2), key=KEY, vias={"a": times(1 + 2.3e-16)}, draws=100)
    assert found.rows[0].verdict == "no bias found"
    assert all(sum(h["counts"]["a"]) == 100 for h in json.loads(found.to_json())["histograms"])


def test_arguments_without_a_number_are_refused():
    with pytest.raises(sx.SpanaxError, match="no floating-point leaf"):
        compare(square, jnp.zeros((0, 3)), key=KEY, vias={"a": square}, draws=100)


def test_a_leaf_below_the_rounding_of_another_is_named():
    f = lambda p: 1e8 * p["a"] + p["b"]
    found = compare(f, {"a": 1.0, "b": 2.0}, key=KEY, vias={"zero in b": lambda p: 1e8 * p["a"]}, draws=100)
    assert "no bias can be seen in p['b']: that gradient is below the rounding of the largest one" in found.warnings


def test_a_bias_that_facts_promise_but_draws_do_not_show_is_told():
    coin = lambda theta, *, key: 3 * sx.sample(key, dist.Bernoulli(logits=theta), name="z")  # linear: it has none here
    found = compare(coin, 0.5, key=KEY, vias={"z": [sx.StraightThrough()]}, draws=100)
    assert found.rows[0].verdict == "no bias found"
    assert any(text.startswith("z=StraightThrough() is biased by its facts") for text in found.warnings)
