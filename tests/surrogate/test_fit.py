"""The result of a fit: intervals, table, picture."""

import pickle

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import spanax as sx

T = np.arange(6.0)
DATA = np.array([1.0, 3.2, 4.9, 7.1, 8.8, 11.3])


def line(sigma=None):
    t, y = jnp.asarray(T, jnp.float32), jnp.asarray(DATA, jnp.float32)
    return sx.least_squares(lambda x: x["a"] + x["b"][0] * t - y, {"a": 0.0, "b": jnp.zeros(1)}, sigma=sigma)


FIT = line()


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_intervals_of_a_line(level):
    """As textbooks have them."""
    found = scipy.stats.linregress(T, DATA)
    half = scipy.stats.t.ppf((1 + level) / 2, 4) * found.stderr
    lower, upper = FIT.interval(level)
    np.testing.assert_allclose([lower["b"], upper["b"]], [[found.slope - half], [found.slope + half]], rtol=1e-4)
    assert lower["b"].shape == (1,) and lower["a"].shape == ()


def test_intervals_of_a_given_sigma_are_normal():
    fit = line(sigma=0.2)
    lower, upper = fit.interval(0.95)
    np.testing.assert_allclose(
        upper["b"] - lower["b"], 2 * 1.959964 * 0.2 / np.sqrt(np.sum((T - T.mean()) ** 2)), rtol=1e-4
    )
    assert fit.sigma == 0.2 and "given" in str(fit)
    with pytest.raises(sx.SpanaxError, match="level=95"):
        fit.interval(95)


def test_the_band_is_that_of_a_line():
    s = np.sqrt(np.sum(FIT.residuals**2) / 4)
    expected = s * np.sqrt(1 / 6 + (T - T.mean()) ** 2 / np.sum((T - T.mean()) ** 2)) * scipy.stats.t.ppf(0.975, 4)
    np.testing.assert_allclose(FIT.band(), expected, rtol=1e-4)


def test_the_table():
    text = str(FIT)
    assert max(map(len, text.splitlines())) <= 80
    assert "6 residuals, 2 parameters: converged" in text
    assert any(row.startswith("b[0]") for row in text.splitlines())
    np.testing.assert_allclose(FIT.correlation[0, 1], -T.mean() / np.sqrt(np.mean(T**2)), rtol=1e-4)


def test_it_can_be_pickled():
    again = pickle.loads(pickle.dumps(FIT))
    assert str(again) == str(FIT)


@pytest.mark.parametrize("data", [None, DATA])
def test_the_picture(tmp_path, data):
    pytest.importorskip("matplotlib")
    FIT.plot(tmp_path / "fit.png", data, at=T)
    assert (tmp_path / "fit.png").stat().st_size > 10_000


def test_pictures_that_do_not_fit(tmp_path):
    with pytest.raises(sx.SpanaxError, match="a picture"):
        FIT.plot(tmp_path / "fit.gif", DATA)
    with pytest.raises(sx.SpanaxError, match=r"data=\.\.\.\) has 3 numbers, and there are 6 residuals"):
        FIT.plot(tmp_path / "fit.png", DATA[:3])
