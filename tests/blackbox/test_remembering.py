"""A black box with a store: nothing is evaluated twice, and nothing that was is lost."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx

Shape = jax.ShapeDtypeStruct
ROOT = pathlib.Path(__file__).parents[2]


def counted(calls):
    def fn(x):
        calls.append(x.tolist())
        return np.sum(x**2)

    return fn


def test_the_same_input_is_evaluated_once(tmp_path, key):
    calls = []

    def box():
        store = sx.Store(tmp_path / "runs.db", "1")
        return sx.blackbox(counted(calls), Shape((), float), via=sx.Smoothing(0.1, pairs=3), store=store, name="bowl")

    x = jnp.array([1.0, 2.0])
    first = jax.value_and_grad(box())(x, key=key)
    assert len(calls) == 7
    f = box()  # another process would see the same
    again = jax.jit(jax.value_and_grad(f))(x, key=key)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), first, again)
    assert len(calls) == 7 and f.stats().hits == 7 and f.stats().evaluations == 0
    both = jax.vmap(lambda x: f(x))(jnp.array([[-0.0, 5.0], [0.0, 5.0], [1.0, 2.0], [0.0, 5.0]]))
    assert both.tolist() == [25, 25, 5, 25]
    assert calls[7:] == [[0.0, 5.0]]  # one zero, once
    table = f.host.store.table()
    assert table["x"].shape == (8, 2) and table["x"].dtype == np.float32
    np.testing.assert_array_equal(table["y"], np.sum(table["x"] ** 2, axis=1))


def test_a_noisy_function_is_evaluated_once_for_each_seed(tmp_path, key):
    rng = np.random.default_rng(0)
    store = sx.Store(tmp_path / "runs.db", "1")
    f = sx.blackbox(
        lambda x: x.sum() + rng.normal(), Shape((), float), via=sx.SPSA(0.1), noisy=True, store=store, name="n"
    )
    x = jnp.ones(2)
    assert f(x, key=key) == f(x, key=key) != f(x, key=jax.random.key(7))
    assert f.stats().evaluations == 2 and len(set(store.table()["replicate"].tolist())) == 2


def test_pytrees_kinds_and_shapes_share_a_file(tmp_path, x64):
    def fn(d):
        return {"u": d["a"] * d["k"], "n": d["k"] + 1}

    def out(d):
        return {"u": Shape(d["a"].shape, d["a"].dtype), "n": Shape((), int)}

    store = sx.Store(tmp_path / "runs.db", "1")
    manual = sx.Manual(vjp=lambda x, y, ct: {"a": ct["u"] * x["k"], "k": np.zeros(())})
    for via in (manual, sx.FiniteDifference(scheme="complex")):
        f = sx.blackbox(fn, out, via=via, store=store, name="two")
        for n in (2, 3, 2):
            slope = jax.grad(lambda a, f=f: f({"a": a, "k": jnp.int32(3)})["u"].sum())(jnp.ones(n))
            np.testing.assert_allclose(slope, 3, rtol=1e-12)
    assert sorted({layout.kind for layout in store.layouts}) == ["complex", "value", "vjp"]
    one = next(layout for layout in store.layouts if layout.kind == "value")
    table = store.table(layout=one)
    assert table["x['a']"].shape == (1, 2) and table["y['u']"].tolist() == [[3, 3]] and table["y['n']"].tolist() == [4]


def test_failures_are_not_kept_and_what_ended_well_is(tmp_path):
    calls, broken = [], [True]

    def fn(x):
        calls.append(x.tolist())
        if broken[0] and x[0] > 1.1:
            raise RuntimeError("diverged")
        return np.sum(x)

    store = sx.Store(tmp_path / "runs.db", "1")
    f = sx.blackbox(
        fn, Shape((), float), via=sx.FiniteDifference(step=0.25), store=store, run=sx.Run(retries=0), name="f"
    )
    x = jnp.array([1.0, 2.0])
    with pytest.raises(sx.SpanaxError, match="diverged") as error:
        jax.grad(f)(x)
    assert "sx.Store" not in str(error.value)
    done = len(store.table()["y"])
    assert done >= 1
    broken[0], before = False, len(calls)
    np.testing.assert_allclose(jax.grad(f)(x), [1, 1], rtol=1e-5)
    assert len(calls) - before == 5 - done


def test_a_function_without_a_name(tmp_path):
    store = sx.Store(tmp_path / "runs.db", "1")
    with pytest.raises(sx.SpanaxError, match="no name of its own"):
        sx.blackbox(lambda x: x.sum(), Shape((), float), via=sx.SPSA(0.1), store=store)
    assert sx.blackbox(np.linalg.norm, Shape((), float), via=sx.SPSA(0.1), store=store).host.name == "norm"


OPTIMISE = """
import os, pathlib, random, sys, time
import jax, jax.numpy as jnp, numpy as np
import spanax as sx

folder = pathlib.Path(sys.argv[1])

def simulate(x):
    time.sleep(.002)
    with open(folder / "evaluated", "a") as log:  # before the result is acknowledged
        log.write(x.tobytes().hex() + "\\n")
    return np.sum((x - 3) ** 2)

def optimise():
    store = sx.Store(folder / "runs.db", "1")
    f = sx.blackbox(simulate, jax.ShapeDtypeStruct((), float), via=sx.Smoothing(0.5, pairs=4), store=store)
    step = jax.jit(lambda x, key: x - 0.1 * jax.grad(f)(x, key=key))
    x = jnp.zeros(3)
    for i in range(20):
        x = step(x, jax.random.key(i))
        with open(folder / "acknowledged", "w") as log:
            log.write(f"{len(store.table()['y'])}\\n")
    return x

rng, kills = random.Random(0), 20
while True:  # each run in a process of its own, which has imported everything
    child = os.fork()
    if child == 0:
        x = optimise()
        (folder / "done").write_text(repr(x.tolist()))
        os._exit(0)
    if kills:
        kills -= 1
        time.sleep(rng.uniform(0.3, 0.9))
        os.kill(child, 9)
        os.waitpid(child, 0)
    else:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
def test_a_main_process_that_is_killed_twenty_times(tmp_path):
    """Each run goes on from the store: what was acknowledged is there, and is not evaluated again."""
    script = tmp_path / "optimise.py"
    script.write_text(OPTIMISE)
    command = [sys.executable, "-W", "ignore", str(script), str(tmp_path)]
    subprocess.run(command, check=True, timeout=200, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    evaluated = (tmp_path / "evaluated").read_text().split()
    table = sx.Store(tmp_path / "runs.db", "1").table()
    stored = {x.tobytes().hex() for x in table["x"]}
    assert len(stored) == len(table["x"]) == 20 * 9 == int((tmp_path / "acknowledged").read_text())
    assert stored == set(evaluated)
    # What was evaluated twice was running, or not yet in the file, when its process was killed: at most one each time.
    assert len(evaluated) - len(stored) <= 20
    np.testing.assert_array_less(np.abs(np.array(eval((tmp_path / "done").read_text())) - 3), 0.5)


FILL = """
import resource, sys
import jax, jax.numpy as jnp, numpy as np
import spanax as sx

store = sx.Store(sys.argv[1], "1")
f = sx.blackbox(lambda x: x * 2, lambda x: x, via=sx.SPSA(0.1), store=store, name="double")
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
for i in range(1000):
    try:
        f(jnp.full(1000, i * 1.0))
    except sx.SpanaxError as error:
        print(error)
        break
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
evaluations = f.stats().evaluations
assert evaluations == i + 1 < 1000
f(jnp.full(1000, i * 1.0))
assert f.stats().evaluations == evaluations, "evaluated again"
assert len(store.table()["y"]) == evaluations
"""


def test_a_full_disk_loses_nothing(tmp_path):
    command = [sys.executable, "-c", FILL, str(tmp_path / "runs.db")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert "(a)" in ended.stdout and "runs.db" in ended.stdout
