"""`descend`: the way, the bounds, when it stops, and that it can be interrupted anywhere."""

import os
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import spanax as sx
from spanax.surrogate import DescentError, Iterate
from spanax.surrogate._descend.estimates import Slope, smoothed

KEY = jax.random.key(0)
OUT = jax.ShapeDtypeStruct((), float)


def bowl(x):
    return np.sum((np.asarray(x) - 1) ** 2)


def box(fn=bowl, via=None, **options):
    return sx.blackbox(fn, OUT, via=via or sx.Smoothing(0.1, pairs=4), **options)


def go(objective, x0, steps=30, optimizer=None, **options):
    return sx.descend(objective, x0, optimizer=optimizer or optax.adam(0.2), steps=steps, key=KEY, **options)


def same(one, other):
    flat = [jax.tree.leaves(found.history) for found in (one, other)]
    return all(np.array_equal(a, b) for a, b in zip(*flat, strict=True))


# -- the way


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrives(dtype):
    with jax.enable_x64(dtype == np.float64):
        f = sx.blackbox(bowl, jax.ShapeDtypeStruct((), dtype), via=sx.Smoothing(0.1, pairs=4))
        found = go(f, np.zeros(3, dtype), steps=60)
    assert found.x.dtype == dtype and np.allclose(found.x, 1, atol=0.05) and found.stopped == "steps"
    assert found.history["x"].shape == (60, 3) and found.history["evaluations"][-1] == 60 * 9 == found.evaluations


def test_trees_scalars_and_functions_without_a_key():
    found = go(lambda x: jnp.sum((x["a"] - 2) ** 2) + (x["b"] - 3.0) ** 2, {"a": jnp.zeros(2), "b": 0.0}, steps=100)
    assert np.allclose(found.x["a"], 2, atol=0.05) and abs(found.x["b"] - 3) < 0.05
    assert found.history["x"]["a"].shape == (100, 2) and found.evaluations == 100  # gradients, without a black box


def test_line_searches_get_values_of_the_same_function():
    optimizer = optax.chain(optax.scale_by_lbfgs(), optax.scale(-1.0), optax.scale_by_backtracking_linesearch(10))
    f = box(via=sx.FiniteDifference(step=0.1))
    found = go(f, np.full(3, 4.0), steps=8, optimizer=optimizer)
    assert found.value < 1e-3
    assert found.evaluations == f.stats().evaluations > 8 * 7  # those of the line search too


def test_smooth_and_expectation_are_objectives():
    smooth = sx.smooth(lambda x: jnp.sum(jnp.abs(jnp.round(4 * x) / 4 - 1)), via=sx.Smoothing(0.3, pairs=16))
    assert np.allclose(go(smooth, jnp.zeros(2), steps=60, optimizer=optax.adam(0.1)).x, 1, atol=0.3)


def test_best_is_not_the_luckiest_noise():
    # The start is best. Values along the way are noise of standard deviation 1, and steps lead away from it.
    rng = np.random.default_rng(0)
    f = box(lambda x: np.sum(x**2) + rng.normal(), via=sx.Manual(vjp=lambda x, y, ct: -np.ones(1, x.dtype) * ct))
    found = go(f, np.zeros(1), steps=60, optimizer=optax.sgd(0.1))
    lucky = int(np.argmin(found.history["value"]))
    assert abs(float(found.x[0])) <= 1.5 and found.value > found.history["value"][lucky]


def test_levels():
    exact = np.exp(-np.arange(40) / 5)
    assert np.allclose(smoothed(exact), exact, rtol=1e-2, atol=2e-3)
    noisy = 3 + np.random.default_rng(0).normal(size=400)
    assert np.std(smoothed(noisy)[20:-20]) < 0.6  # of 1
    assert smoothed(np.array([2.0])).tolist() == [2.0] and smoothed(np.zeros(0)).shape == (0,)


# -- bounds


def test_projects_and_probes_inside():
    seen = []

    def fn(x):
        seen.append(np.array(x))
        return bowl(x)

    found = go(box(fn), np.zeros(2), bounds=(-0.5, [0.5, 2.0]), steps=40)
    assert np.allclose(found.x, [0.5, 1.0], atol=0.05)
    assert np.min(seen) >= -0.5 and np.max(np.asarray(seen)[:, 0]) <= 0.5


def test_a_gradient_that_pushes_against_a_bound_does_not_count():
    found = go(lambda x: jnp.sum(x), jnp.zeros(2), bounds=(0.0, 1.0), steps=12, tolerance=1.0)
    assert found.stopped == "tolerance" and found.history["gradient_norm"].tolist() == [0.0] * found.steps


def test_start_outside():
    with pytest.raises(sx.SpanaxError, match="x0 lies outside"):
        go(box(), np.zeros(2), bounds=(1.0, 2.0))


# -- ends


def test_tolerance():
    noisy = box(
        lambda x: bowl(x) + 0.1 * np.random.default_rng(abs(hash(x.tobytes()))).normal(), via=sx.Smoothing(0.3, pairs=4)
    )
    found = go(noisy, np.zeros(2), steps=400, tolerance=1.0)
    assert found.stopped == "tolerance" and found.steps < 400 and np.allclose(found.x, 1, atol=0.5)
    # Without noise a slope that is left is never taken for none.
    assert go(lambda x: jnp.sum(x**2), jnp.ones(2), steps=60, optimizer=optax.sgd(0.01), tolerance=2.0).steps == 60


def test_standard_errors_of_pure_noise():
    # 200 independent runs: the mean of noise is within 3 of its standard errors (false alarm: below 1e-6 for all of 20 numbers).
    rng, inside = np.random.default_rng(0), 0
    for _ in range(200):
        slope = Slope.empty(20)
        for _ in range(60):
            slope = slope.add(rng.normal(size=20))
        inside += slope.standard_errors < 3
    assert inside == 200


def test_a_plateau_ends_a_way_and_is_refused_at_its_start():
    flat = lambda x: np.sum(np.maximum(np.abs(x) - 1, 0))
    found = go(box(flat, via=sx.FiniteDifference(step=0.1)), np.full(2, 2.0), steps=60)
    assert found.stopped == "flat" and found.value < 1e-3 and 5 < found.steps < 60
    with pytest.raises(DescentError, match="same"):
        go(box(flat, via=sx.FiniteDifference(step=0.1)), np.zeros(2))


def test_callback_ends_it():
    seen = []
    found = go(box(), np.zeros(2), callback=lambda it: seen.append(it) or np.bool_(it.step == 4))
    assert found.stopped == "callback" and found.steps == 5 == len(seen) and isinstance(seen[0], Iterate)
    assert [it.evaluations for it in seen] == [9, 18, 27, 36, 45]


def test_ctrl_c_returns_what_there_is():
    def fn(x):
        if len(calls) == 5 * 9:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
        calls.append(1)
        return bowl(x)

    calls = []
    found = go(box(fn), np.zeros(2))
    assert found.stopped == "interrupted" and 4 <= found.steps <= 7


def test_failures_keep_what_was_found():
    def fn(x):
        if x[0] > 0.5:
            raise ValueError("too far")
        return bowl(x)

    with pytest.raises(DescentError, match="too far") as caught:
        go(box(fn), np.zeros(2))
    assert caught.value.result.stopped == "failed" and caught.value.result.steps >= 1
    with pytest.raises(DescentError, match=r"no gradient to follow|not finite"):
        go(lambda x: jnp.sum(x**2), jnp.ones(2), steps=300, optimizer=optax.sgd(1e3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x0": np.arange(3)}, "int"),
        ({"x0": np.array([np.nan])}, "NaN"),
        ({"x0": {}}, "no numbers"),
        ({"steps": 0}, "steps=0"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"optimizer": 0.1}, "optimizer"),
        ({"objective": 3}, "objective"),
        ({"objective": lambda x: np.sum(np.asarray(x))}, "leaves JAX"),
        ({"objective": lambda x: x}, "scalar"),
        ({"bounds": 3}, r"descend\(bounds=3\)"),
        ({"bounds": (2.0, 1.0)}, "above its upper"),
        ({"progress": 1}, "progress"),
        ({"callback": 1}, "callback"),
    ],
)
def test_wrong_arguments(change, message):
    given = {
        "objective": lambda x: jnp.sum(x**2),
        "x0": np.ones(2),
        "optimizer": optax.sgd(0.1),
        "steps": 2,
        "key": KEY,
    }
    with pytest.raises(sx.SpanaxError, match=message):
        sx.descend(**{**given, **change})


def test_inside_a_transformation_is_refused():
    with pytest.raises(sx.SpanaxError, match="inside jit"):
        jax.jit(lambda x: go(lambda y: jnp.sum(y**2), x, steps=1).x)(jnp.ones(2))


# -- checkpoints


def test_resumes_exactly(tmp_path):
    path = tmp_path / "there" / "run.ckpt"
    whole = go(box(), np.zeros(3), steps=40)
    for steps in (1, 7, 7, 40):
        found = go(box(), np.zeros(3), steps=steps, checkpoint=path)
    assert same(whole, found) and np.array_equal(whole.last, found.last)
    again = box()
    assert same(whole, go(again, np.zeros(3), steps=40, checkpoint=path)) and again.stats().evaluations == 0


@pytest.mark.few(1)
@pytest.mark.parametrize("via", [sx.Surrogate(0.1, pairs=2), sx.Surrogate(0.1, pairs=2, trust="direct")])
def test_resumes_what_was_learnt(tmp_path, via):
    path = tmp_path / "run.ckpt"
    whole = go(box(via=via), np.zeros(3), steps=16)
    go(box(via=via), np.zeros(3), steps=9, checkpoint=path)
    assert same(whole, go(box(via=via), np.zeros(3), steps=16, checkpoint=path))


def test_a_step_that_was_cut_short_is_made_again(tmp_path):
    path, whole = tmp_path / "run.ckpt", go(box(), np.zeros(3), steps=6)
    go(box(), np.zeros(3), steps=5, checkpoint=path)
    content = path.read_bytes()
    for cut in (1, 40, 700):
        path.write_bytes(content[:-cut])
        assert same(whole, go(box(), np.zeros(3), steps=6, checkpoint=path))


@pytest.mark.parametrize("at", [3, 60, -5, -200])
def test_damage_is_refused(tmp_path, at):
    path = tmp_path / "run.ckpt"
    go(box(), np.zeros(3), steps=5, checkpoint=path)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(sx.SpanaxError, match=r"damaged|not a checkpoint"):
        go(box(), np.zeros(3), steps=6, checkpoint=path)
    assert path.read_bytes() == bytes(content)


def test_another_descent_is_refused(tmp_path):
    path = tmp_path / "run.ckpt"
    go(box(), np.zeros(3), steps=2, checkpoint=path)
    others = {
        "objective": {"objective": box(lambda x: bowl(x) + 1)},
        "start": {"x0": np.ones(3)},
        "optimizer": {"optimizer": optax.adam(0.3)},
        "bounds": {"bounds": (-9.0, 9.0)},
    }
    for what, change in others.items():
        given = {"objective": box(), "x0": np.zeros(3), "steps": 3, "checkpoint": path, **change}
        with pytest.raises(sx.SpanaxError, match=f"another descent.*{what}"):
            go(given.pop("objective"), given.pop("x0"), **given)


def test_two_processes_cannot_share_a_file(tmp_path):
    path = tmp_path / "run.ckpt"

    def inside(_):
        with pytest.raises(sx.SpanaxError, match="another process"):
            go(box(), np.zeros(3), steps=2, checkpoint=path)

    go(box(), np.zeros(3), steps=1, checkpoint=path, callback=inside)


def test_the_file_does_not_grow_without_end(tmp_path):
    # A state of 100 KB, 40 times: written anew when it has grown to four times what it has to hold.
    path = tmp_path / "run.ckpt"
    f = lambda x: jnp.sum(x**2)
    found = go(f, jnp.ones(10_000), steps=40, checkpoint=path)
    assert path.stat().st_size < 40 * 40_000 * 4 + (1 << 21)
    assert same(found, go(f, jnp.ones(10_000), steps=40, checkpoint=path))


PROGRAM = """
import sys, time, pathlib
import jax, numpy as np, optax, spanax as sx
folder = pathlib.Path(sys.argv[1])
def fn(x):
    with open(folder / "log", "a") as log:
        log.write(x.tobytes().hex() + "\\n")
    time.sleep(0.002)
    return np.sum((x - 1) ** 2)
f = sx.blackbox(fn, jax.ShapeDtypeStruct((), float), via=sx.Surrogate(0.1, pairs=3), name="f")
found = sx.descend(f, np.zeros(4), optimizer=optax.adam(0.1), steps=40, key=jax.random.key(3), checkpoint=folder / "run.ckpt")
np.savez(folder / "done.npz", **found.history)
"""


def _run(folder, kill_after=None):
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder)])
    if kill_after is None:
        assert process.wait() == 0
        return
    # From the first evaluation on: before it there is nothing to lose.
    log = folder / "log"
    before = log.stat().st_size if log.exists() else 0
    while process.poll() is None and not (log.exists() and log.stat().st_size > before):
        time.sleep(0.005)
    time.sleep(kill_after)
    process.kill()
    process.wait()


@pytest.mark.slow
def test_killed_ten_times(tmp_path):
    undisturbed, killed = tmp_path / "a", tmp_path / "b"
    for folder in (undisturbed, killed):
        folder.mkdir()
    _run(undisturbed)
    rng, kills = np.random.default_rng(0), 10
    for _ in range(kills):
        _run(killed, kill_after=float(rng.uniform(0, 0.12)))
    _run(killed)
    one, other = (np.load(folder / "done.npz") for folder in (undisturbed, killed))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    # Twice at most what was in flight: one step of 7 points for each kill.
    points, more = (len((folder / "log").read_text().split()) for folder in (undisturbed, killed))
    assert points <= more <= points + kills * 7


# -- what it shows


def test_table_plot_and_words(tmp_path):
    found = go(box(), np.zeros(2), steps=25)
    lines = found.table().splitlines()
    assert len(lines) == 21 and max(map(len, lines)) <= 80 and "Descent(value" in repr(found)
    found.plot(tmp_path / "way.png", true=np.ones(2))
    assert (tmp_path / "way.png").stat().st_size > 10_000
    with pytest.raises(sx.SpanaxError, match="another structure"):
        found.plot(tmp_path / "way.png", true=1.0)
