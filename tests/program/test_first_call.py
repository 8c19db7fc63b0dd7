"""What a first call does: how often a program is traced, how many copies of a body it compiles, and what JAX keeps of it."""

import collections
import math
import os
import subprocess
import sys

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax._jaxprs import operations
from spanax.program import _compiled, _effort
from tests.program.arguments import by_argument


def stencil(u, r):
    """Neighbours by a loop's index and known numbers beside it, from arrays that the outer loop makes anew."""
    for _ in range(12):
        new = u.copy()
        for i in range(1, len(u) - 1):
            new[i] = u[i] + r * np.sin(u[i + 1] - 2 * u[i] + u[i - 1])
        u = new
    return np.sum(u**2)


def history(gain, target):
    """Arrays that are written at the index, and read before it."""
    y, effort = np.zeros(21), np.zeros(21)
    for k in range(1, 21):
        effort[k] = gain * (target - y[k - 1]) - 0.1 * effort[k - 1]
        y[k] = y[k - 1] + 0.1 * np.sin(effort[k])
    return np.sum((y - target) ** 2)


def eased(y, rate):
    return y - rate * np.sin(y)


def trajectory(start, rate):
    """A list that grows by what a function makes of its end."""
    states, pairs = [start], [[start, 0.0]]
    for _ in range(20):
        states.append(eased(states[-1], rate))
        pairs.append([0.5 * pairs[-1][0], rate])
    return np.sum(np.array(states)[::4]) + pairs[-1][0]


def relaxing(x, rate):
    while x > 0.1:
        x = x - rate * np.sin(x)
    return x


class Limited:
    def __init__(self, gain):
        self.gain, self.total, self.last = gain, 0.0, None

    def __call__(self, error):
        self.total += error
        if self.total > 3.0:
            self.total = 3.0
        elif self.total < -3.0:
            self.total = -3.0
        slope = 0.0 if self.last is None else (error - self.last) / 0.1
        self.last = error
        return self.gain * error + 0.1 * self.total + 0.01 * slope


def limited(gain, target):
    controller, place = Limited(gain), 0.0
    for k in range(20):
        power = controller(target - place)
        if power > 2.0:
            power = 2.0
        place += 0.2 * power if k % 2 else 0.1 * power
    return (place - target) ** 2 + 0.01 * controller.total


def named(program, *args):
    jaxpr = jax.make_jaxpr(program)(*args).jaxpr
    return collections.Counter(eqn.primitive.name for eqn in operations(jaxpr))


def branches(program, *args):
    """Those of the program, without the check that ends in an error."""
    eqns = list(operations(jax.make_jaxpr(program)(*args).jaxpr))
    return sum(eqn.primitive.name == "cond" and "callback" not in str(eqn) for eqn in eqns)


def slopes(f, args):
    """Central differences, extrapolated."""
    found = []
    for k, x in enumerate(args):
        for place in np.ndindex(np.shape(x)):

            def at(h, k=k, x=x, place=place):
                moved = np.array(x, float)
                moved[place] += h
                return f(*args[:k], moved if moved.ndim else float(moved), *args[k + 1 :])

            wide, near = ((at(h) - at(-h)) / (2 * h) for h in (1e-3, 5e-4))
            found.append((4 * near - wide) / 3)
    return found


U = np.sin(np.arange(12.0) ** 2)
PROGRAMS = [
    (trajectory, (2.0, 0.3)),
    (stencil, (U, 0.4)),
    (history, (1.7, 2.0)),
    (relaxing, (2.0, 0.3)),
    (limited, (2.1, 1.5)),
]


@pytest.mark.parametrize(("program", "args"), PROGRAMS, ids=lambda x: getattr(x, "__name__", ""))
def test_right_and_traced_once(program, args, monkeypatch):
    traces, traced_run = [], _compiled.traced_run
    monkeypatch.setattr(_compiled, "traced_run", lambda *given: traces.append(given) or traced_run(*given))
    value, gradients = sx.value_and_gradient(program, *args)
    assert len(traces) == 1
    np.testing.assert_allclose(value, program(*args), rtol=1e-12)
    found = np.concatenate([np.ravel(g) for g in by_argument(gradients, args)])
    np.testing.assert_allclose(found, slopes(program, args), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("program", "args"), PROGRAMS[:4], ids=lambda x: getattr(x, "__name__", ""))
def test_a_loop_has_one_body(program, args, x64):
    assert named(sx.lift(program), *args)["sin"] == 1


def test_a_round_computes_again_what_is_cheap(x64):
    """It is one checkpointed program in the way back, beside the one forward."""
    counts = named(jax.grad(sx.lift(trajectory)), 2.0, 0.3)
    assert counts["scan"] == 2 and counts[jax.extend.core.primitives.remat_p.name] == 1


def test_a_while_loop_forward_and_back(x64):
    """Forward; its rounds again, whose states are kept; and each computed once more beside its derivative."""
    counts = named(jax.value_and_grad(sx.lift(relaxing)), 2.0, 0.3)
    assert counts["sin"] <= 4 and counts["cos"] <= 2


def test_limits_are_choices_in_a_gradient(x64):
    """And branches in a lifted program, where `find_gaps` names them."""
    program = _compiled.LiftedProgram(limited, 1000, True, "both")
    assert branches(lambda *args: _compiled.traced_run(program, args, {})[0].leaves, 2.1, 1.5) == 0
    assert branches(sx.lift(limited), 2.1, 1.5) > 0


def guarded(x):
    y = 0.0
    if x > 0:
        y = math.sqrt(x) + 1 / x
    return x * 3.0 if y == 0.0 else x * y


def test_a_branch_that_is_not_taken_does_no_harm(x64):
    """Products and roots stay behind the test: times zero, an infinite slope is no number."""
    assert branches(sx.lift(guarded), 2.0) == 2
    assert sx.value_and_gradient(guarded, 0.0) == (0.0, 3.0)
    huge = jax.grad(sx.lift(lambda x: x if x > 0 else x * x * x))
    assert float(huge(1e200)) == 1.0  # the cube's slope would be infinite


def test_how_hard_xla_works():
    def options(f, *args):
        return _effort.options_for(jax.make_jaxpr(f)(*args).jaxpr)

    few, many = jnp.ones(64), jnp.ones(2**15)

    def long(x):
        for _ in range(600):
            x = x + x * 0.5
        return x

    assert options(jnp.sin, many) is None
    assert options(jnp.sin, few)["xla_backend_optimization_level"] == 0
    in_a_loop = jax.make_jaxpr(lambda x: jax.lax.fori_loop(0, 9, lambda _, y: jnp.sin(y), x))(few).jaxpr
    assert _effort.options_for(in_a_loop) == {"xla_cpu_use_fusion_emitters": False}
    assert options(lambda x: jax.lax.fori_loop(0, 9, lambda _, y: long(y), x), few) == {
        "xla_disable_hlo_passes": "fusion"
    }
    scalars = options(lambda x: jax.lax.fori_loop(0, 9, lambda _, y: long(y), x), 1.0)
    assert scalars == {"xla_cpu_use_fusion_emitters": False}


def test_known_numbers_inside_of_a_program(x64):
    """XLA's options are those of the whole program there; the value is the same."""
    lifted = sx.lift(relaxing)
    assert float(lifted(2.0, 0.3)) == float(jax.jit(lambda: lifted(2.0, 0.3))()) == relaxing(2.0, 0.3)


SCRIPT = """
import collections, jax, sys
import numpy as np
events = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: events.update([event.rpartition("/")[2]]))
import spanax as sx

class Tank:
    def __init__(self, level):
        self.level = level

def filled(rate, leak):
    tank, k = Tank(np.array([0.5, 0.2])), 0
    while tank.level[0] < 2.0:
        tank.level[k % 2] += rate - leak * tank.level[k % 2]
        k += 1
        assert k < 500, "it leaks"
    return tank.level[0] if tank.level[1] > 1.0 else tank.level[1]

print(sx.gradient(filled, 0.1, 0.01), float(sx.lift(filled)(0.1, 0.01)))
print(events["cache_hits"], events["cache_misses"])
"""


def test_a_second_process_compiles_nothing(tmp_path):
    """JAX's persistent cache has all that a program needs: its text is the same in each process, and calls no host."""
    script = tmp_path / "tank.py"
    script.write_text(SCRIPT)
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }

    def lines(seed):
        env = os.environ | cache | {"PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    (first, counts), (second, again) = lines("1"), lines("2")
    assert first == second
    assert counts.split()[0] == "0" and int(counts.split()[1]) >= 2
    assert again.split() == [counts.split()[1], "0"]
