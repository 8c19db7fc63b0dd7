"""Calls of the host from programs that queue, on one core and with workers, under a watchdog: they end, or fail loudly."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
ONE_CORE = """
import os
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before JAX counts the cores
"""
PROGRAM = """
import threading
import jax, jax.numpy as jnp, numpy as np
import spanax as sx

def fn(x):
    return np.sum(x * x, axis=-1)

def heavy(x):  # enough work for JAX to go on without waiting
    return x @ x * 1e-3

out = jax.ShapeDtypeStruct((), float)
f = sx.blackbox(fn, out, via=sx.FiniteDifference(step=1e-2), batched=True)
g = sx.blackbox(lambda x: np.linalg.norm(x), out, via=sx.FiniteDifference(step=1e-2))

one = jax.jit(lambda x: x + 1e-3 * jax.grad(f)(x))
x = jnp.ones(3)
for _ in range(1000):
    x = one(x)
print("queued", jnp.all(jnp.isfinite(x)))

big = jax.jit(lambda a: heavy(a) * f(a[0]))
a = jnp.ones((500, 500))
results = [big(a) for _ in range(30)]
print("heavy", jnp.all(jnp.stack([r[0, 0] for r in results]) == results[0][0, 0]))

rolled = jax.jit(lambda x: jax.lax.scan(lambda c, _: (c + 1e-3 * jax.grad(f)(c), g(c)), x, None, length=50)[1].sum())
print("scan", jnp.isfinite(sum(rolled(x) for _ in range(20))))
mapped = jax.jit(jax.vmap(jax.value_and_grad(lambda x: f(x) + g(x))))
print("vmap, two at once", jnp.isfinite(sum(mapped(jnp.ones((20, 3)))[0].sum() for _ in range(20))))

def looped():
    y = x
    for _ in range(100):
        y = one(y)
    y.block_until_ready()

threads = [threading.Thread(target=looped) for _ in range(2)]
[t.start() for t in threads]; [t.join() for t in threads]
print("threads", f.stats().calls > 1000)

fails = jax.jit(sx.blackbox(lambda x: 1 / 0, out, via=sx.SPSA(0.1)))
for _ in range(20):
    try:
        jax.block_until_ready(fails(x))
    except Exception as error:
        assert "ZeroDivisionError" in str(error)
    else:
        raise AssertionError
print("failures", bool(jnp.isfinite(one(x)).all()))
"""


def run(program, seconds):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=seconds, env=environment, cwd=ROOT
    )


@pytest.mark.few(1)
@pytest.mark.parametrize("cores", ["one core", "all cores"])
def test_queued_calls_end(cores):
    ended = run(ONE_CORE * (cores == "one core") + PROGRAM, 120)
    assert ended.returncode == 0, ended.stderr
    assert [line.rsplit(" ", 1)[1] for line in ended.stdout.splitlines()] == ["True"] * 6


WORKERS = """
import jax, jax.numpy as jnp, numpy as np
import spanax as sx
from tests.blackbox import programs

if __name__ == "__main__":
    with sx.processes(2) as pool:
        f = sx.blackbox(programs.bowl, jax.ShapeDtypeStruct((), float), via=sx.Smoothing(0.1, pairs=4), run=sx.Run(pool))
        step = jax.jit(lambda x, key: x - 0.1 * jax.grad(f)(x, key=key))
        x = jnp.ones(3)
        for i in range(30):
            x = step(x, jax.random.key(i))
        print(bool(jnp.sum(x**2) < 0.5), f.stats().evaluations == 30 * 9)
"""


def test_workers_are_called_from_a_compiled_program_on_one_core():
    ended = run(ONE_CORE + WORKERS, 120)
    assert ended.stdout == "True True\n", ended.stderr


INTERRUPTED = """
import sys, time
import jax, jax.numpy as jnp
import spanax as sx

def slow(x):
    print("started", flush=True)
    time.sleep(0.3)
    return x.sum()

f = sx.blackbox(slow, jax.ShapeDtypeStruct((), float), via=sx.SPSA(0.1))
(jax.jit(jax.vmap(f)) if sys.argv[1] == "jit" else jax.vmap(f))(jnp.ones((200, 2)))
"""


@pytest.mark.few(1)
@pytest.mark.parametrize("how", ["jit", "eager"])
def test_ctrl_c_ends_a_batch(how):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + INTERRUPTED,
            how,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0 and "KeyboardInterrupt" in errors
    assert time.monotonic() - started < 20  # all of it takes a minute
