"""Outside the bounds, in a file, and refined."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx

from . import functions as fs

BOX = np.full(2, -1.0), np.full(2, 1.0)
OUT = jnp.array([0.0, 1.5])


@pytest.fixture(scope="module")
def model():
    return sx.fit_surrogate(fs.bowl, BOX, key=jax.random.key(1), evaluations=120)


def test_outside_raises_where_the_value_is_known(model):
    for call in (model, jax.grad(model)):
        with pytest.raises(sx.SpanaxError, match=r"x\[1\]=1.5, which is not between -1 and 1"):
            call(OUT)


def test_outside_in_a_compiled_program_value_and_derivative_are_nan(model):
    value, slope = jax.jit(jax.vmap(jax.value_and_grad(model)))(jnp.stack([OUT, OUT - 1]))
    assert np.isnan(value[0]) and np.all(np.isnan(slope[0]))
    assert np.isfinite(value[1]) and np.all(np.isfinite(slope[1]))


def test_the_bounds_themselves_are_inside(model):
    assert np.isfinite(model(jnp.ones(2))) and np.all(np.isfinite(jax.jit(jax.grad(model))(-jnp.ones(2))))


def test_outside_it_extrapolates_where_told_so(model):
    told = dataclasses.replace(model, outside="ignore")
    assert np.isfinite(told(OUT)) and np.all(np.isfinite(jax.jit(jax.grad(told))(OUT)))


def test_outside_it_warns(model):
    told = dataclasses.replace(model, outside="warn")
    with pytest.warns(sx.SpanaxWarning, match="outside the bounds"):
        told(OUT)
    with pytest.warns(sx.SpanaxWarning, match="outside the bounds"):
        jax.block_until_ready(jax.jit(jax.vmap(jax.grad(told)))(jnp.stack([OUT, OUT])))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(jax.jit(told)(OUT - 1), model(OUT - 1), rtol=1e-5)


def test_another_structure_is_refused(model):
    for x in (jnp.ones(3), {"x": jnp.ones(2)}, jnp.ones(2, complex)):
        with pytest.raises(sx.SpanaxError):
            model(x)


def test_a_file_holds_all_of_it(model, tmp_path):
    path = tmp_path / "bowl.surrogate"
    dataclasses.replace(model, outside="ignore").save(path)
    again = sx.load_surrogate(path)
    X = np.random.default_rng(0).uniform(-1, 1, (50, 2)).astype(np.float32)
    assert np.array_equal(jax.vmap(jax.grad(again))(X), jax.vmap(jax.grad(model))(X))
    assert str(again) == str(model) and again.outside == "ignore"


def test_files_that_are_not_one(model, tmp_path):
    path = tmp_path / "bowl.surrogate"
    model.save(path)
    whole = path.read_bytes()
    damaged = {
        "empty": b"",
        "checksum": whole[:-1] + bytes([whole[-1] ^ 1]),
        "checksum is another|cut short": whole[:200],
        "it is not": b"PK" + whole,
        "of format 9": whole.replace(b"surrogate.1", b"surrogate.9", 1),
    }
    for said, content in damaged.items():
        path.write_bytes(content)
        with pytest.raises(sx.SpanaxError, match=said):
            sx.load_surrogate(path)
    with pytest.raises(sx.SpanaxError, match="cannot be read"):
        sx.load_surrogate(tmp_path / "missing")
    with pytest.raises(sx.SpanaxError, match="cannot be written"):
        model.save(tmp_path / "missing" / "x")


@pytest.mark.slow
def test_a_file_of_a_module_needs_the_module(tmp_path):
    import equinox as eqx

    make = lambda k, width=16: eqx.nn.MLP(2, 1, width, 1, activation=jnp.tanh, key=jax.random.key(k))
    model = sx.fit_surrogate(fs.bowl, BOX, key=jax.random.key(0), evaluations=150, model=make(0))
    model.save(tmp_path / "m")
    assert sx.load_surrogate(tmp_path / "m", model=make(1))(jnp.zeros(2)) == model(jnp.zeros(2))
    for wrong in (None, make(0, 8)):
        with pytest.raises(sx.SpanaxError, match="module"):
            sx.load_surrogate(tmp_path / "m", model=wrong)


def test_refining_adds_points_where_the_optimiser_is(tmp_path):
    seen = []

    def watched(x):
        seen.append(np.array(x))
        return np.sin(2 * x[0]) * np.cos(2 * x[1])

    bounds = np.full(2, -2.0), np.full(2, 2.0)
    rough = sx.fit_surrogate(watched, bounds, key=jax.random.key(0), evaluations=120, min_agreement=None)
    rough.save(tmp_path / "rough")  # what is refined may come from a file
    rough = sx.load_surrogate(tmp_path / "rough")
    del seen[:]
    around = np.array([1.5, -1.9])
    better = rough.refine(watched, around, key=jax.random.key(1), evaluations=100, within=0.1)
    near = np.all(np.abs(np.array(seen) - around) <= 0.4 + 1e-3, axis=1)
    assert len(seen) <= 100 and np.sum(near) >= 40
    assert np.all(np.abs(np.array(seen)) <= 2)
    X = np.clip(around + np.random.default_rng(0).uniform(-0.3, 0.3, (200, 2)), -2, 2).astype(np.float32)
    truth = 2 * np.stack([np.cos(2 * X[:, 0]) * np.cos(2 * X[:, 1]), -np.sin(2 * X[:, 0]) * np.sin(2 * X[:, 1])], 1)
    before, after = (fs.cosine(jax.vmap(jax.grad(m))(X), truth) for m in (rough, better))
    assert after > max(before, 0.98) and better.report.local_cosine > 0.9
    with pytest.raises(sx.SpanaxError, match="outside the bounds"):
        rough.refine(watched, jnp.array([3.0, 0.0]), key=jax.random.key(1), evaluations=100)
    with pytest.raises(sx.SpanaxError, match="not of the form"):
        rough.refine(
            sx.blackbox(np.sin, jax.ShapeDtypeStruct((2,), float), via=sx.SPSA(0.1)),
            key=jax.random.key(1),
            evaluations=50,
        )
