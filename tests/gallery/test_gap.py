"""`spanax gallery gap`: both paths against exact references by finite differences, what it reports, its picture, and Ctrl-C."""

import itertools
import json

import jax
import numpy as np
import pytest

import spanax as sx
from spanax.cli._gallery.gap import print_gap
from spanax.gallery import gap

from .pictures import check_picture


@pytest.fixture(scope="module")
def networks():
    # Three of the seven bridges: each is compiled twice.
    few = gap.UNBIASED[0], gap.UNBIASED[1], sx.StraightThrough()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gap, "BRIDGES", few)
        settings = gap.Settings(draws=200, seed=0)
        return {name: gap.take_apart(name, *programs, settings) for name, programs in gap.NETWORKS.items()}


def expected(blue, red, x, both):
    """The expected loss, in NumPy and float64: all eight draws, one after the other."""
    chances, smooth = 1 / (1 + np.exp(-red @ x)), gap.BLUE * np.tanh(blue @ x).sum() if both else 0.0
    total = 0.0
    for bits in itertools.product((0, 1), repeat=gap.SCORES):
        probability = np.prod([p if bit else 1 - p for p, bit in zip(chances, bits, strict=True)])
        total += probability * (smooth + gap.RED * sum(bits) - gap.TARGET) ** 2
    return total


def differences(f, at, step=1e-5):
    slope = np.zeros_like(at)
    for i in np.ndindex(at.shape):
        there, back = at.copy(), at.copy()
        there[i] += step
        back[i] -= step
        slope[i] = (f(there) - f(back)) / (2 * step)
    return slope


@pytest.mark.parametrize("name", gap.NETWORKS)
def test_the_exact_gradient_of_each_path_is_that_of_differences(networks, name):
    first, second, _ = jax.random.split(jax.random.key(0), 3)
    w = np.asarray(jax.random.normal(first, (gap.SCORES, gap.INPUTS)), float)
    x, both = np.asarray(jax.random.normal(second, (gap.INPUTS,)), float), name == "two paths"
    blue = differences(lambda b: expected(b, w, x, both), w)
    red = differences(lambda r: expected(w, r, x, both), w)
    found = networks[name]
    np.testing.assert_allclose(found.exact["blue"], np.linalg.norm(blue), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.exact["red"], np.linalg.norm(red), rtol=1e-3)
    assert found.autodiff["red"] == 0.0
    # Of the blue path autodiff is unbiased: 200 draws of it, to 10%.
    np.testing.assert_allclose(found.autodiff["blue"], found.exact["blue"], rtol=0.1)
    if both:
        cosine = np.vdot(blue, blue + red) / np.linalg.norm(blue) / np.linalg.norm(blue + red)
        np.testing.assert_allclose(found.cosine, cosine, atol=0.02)
        assert cosine < -0.5  # it points uphill: that is the example
        np.testing.assert_allclose(found.missing, np.linalg.norm(red) / np.linalg.norm(blue + red), rtol=0.1)
    else:
        assert np.isnan(found.cosine) and found.missing == pytest.approx(1)


def test_find_gaps_tells_the_two_networks_apart_before_and_sees_both_bridged_after(networks):
    two, one = networks.values()
    assert (two.before.verdict, two.after.verdict) == ("partial", "alive")
    assert two.before.per_leaf == {"weights['blue']": "alive", "weights['red']": "dead"}
    assert (one.before.verdict, one.after.verdict) == ("dead", "alive")
    assert one.before.per_leaf["weights['red']"] == "dead"
    for network in (two, one):
        assert [found.operation for found in network.before.gaps] == ["Bernoulli draw"]
        assert not network.after.gaps and len(network.after.bridged) == 1


def test_no_unbiased_bridge_is_called_biased_and_the_exact_one_has_no_noise(networks):
    names = {type(bridge).__name__ for bridge in gap.UNBIASED}
    for network in networks.values():
        assert len(network.crossings) == 3
        for crossing in network.crossings:
            assert crossing.name.partition("(")[0] not in names or crossing.verdict != "biased", crossing
            assert crossing.name != "Enumerate()" or (crossing.noise < 1e-3 and crossing.red_bias < 1e-3)


def test_the_picture_and_the_tables(networks, tmp_path, capsys):
    from spanax.gallery._gap.picture import picture

    path = picture(tmp_path / "gap.png", [*networks.values()])
    check_picture(path)
    print_gap(gap.Result(gap.Settings(200, 0), tuple(networks.values()), False, (path,)))
    text = capsys.readouterr().out
    rows = [row for row in text.splitlines() if not row.startswith("Wrote ")]
    assert max(map(len, rows)) <= 80 and "find_gaps: partial, by a Bernoulli draw at gap.py:" in text
    assert "find_gaps: dead" in text and text.count("jax.grad") == 3


def test_ctrl_c_reports_the_network_that_came_to_its_end(tmp_path, networks, monkeypatch):
    monkeypatch.setattr(gap, "take_apart", lambda name, *rest: networks[name])

    def press(stage):
        if stage == "a true gap":
            raise KeyboardInterrupt

    result = gap.run(tmp_path, quick=True, on_stage=press)
    assert result.interrupted and [one.name for one in result.networks] == ["two paths"]
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["interrupted"] and content["networks"][0]["verdict_before"] == "partial"
    assert content["networks"][0]["exact"]["red"] == networks["two paths"].exact["red"]
