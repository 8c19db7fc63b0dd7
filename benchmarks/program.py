"""Gradients of plain NumPy programs: `sx.gradient` beside HIPS/autograd, and beside hand-written JAX where loops are long.

Every program is written once, below, with `np`: Spanax gets it as it stands, where `np` is numpy; for autograd this file
is loaded a second time, and its `np` set to `autograd.numpy`. Both compute the gradient by all arguments, in float64.
autograd knows no writes in place, so there are none.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import spanax as sx
from benchmarks import _timing

LOOPS, WORK = 20.0, 1.0  # targets: autograd's time by Spanax's on loops, and for any work that takes autograd
FROM_MS = 10.0  # this many milliseconds or more
LIFT_SECONDS = 2.0
AUTOGRAD, SPANAX, JAX = "autograd", "Spanax", "JAX"

# -- the programs ---------------------------------------------------------------------------------------------------

STEPS, DT = 1_000, 0.01
INPUTS, LENGTH = 16, 200


def pendulum(angle, speed, length, drag):
    """RK4 in four Python floats."""

    def slope(angle, speed):
        return speed, -9.81 / length * np.sin(angle) - drag * speed

    for _ in range(STEPS):
        a1, s1 = slope(angle, speed)
        a2, s2 = slope(angle + DT / 2 * a1, speed + DT / 2 * s1)
        a3, s3 = slope(angle + DT / 2 * a2, speed + DT / 2 * s2)
        a4, s4 = slope(angle + DT * a3, speed + DT * s3)
        angle = angle + DT / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
        speed = speed + DT / 6 * (s1 + 2 * s2 + 2 * s3 + s4)
    return angle**2 + speed**2


def prey_and_predator(state, rates):
    """RK4 in an array of two numbers (Lotka-Volterra)."""

    def slope(u):
        return np.array([rates[0] * u[0] - rates[1] * u[0] * u[1], rates[2] * u[0] * u[1] - rates[3] * u[1]])

    for _ in range(STEPS):
        k1 = slope(state)
        k2 = slope(state + DT / 2 * k1)
        k3 = slope(state + DT / 2 * k2)
        k4 = slope(state + DT * k3)
        state = state + DT / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return np.sum(state**2)


def recurrent(into, again, bias, out, sequence):
    """An RNN with a loss at each step; the sequence is data: (steps, batch, inputs + 1), the last column the target."""
    hidden = np.zeros((sequence.shape[1], again.shape[0]))
    loss = 0.0
    for t in range(len(sequence)):
        hidden = np.tanh(sequence[t, :, :-1] @ into + hidden @ again + bias)
        loss = loss + np.mean((hidden @ out - sequence[t, :, -1]) ** 2)
    return loss / len(sequence)


def bodies(places, speeds, masses):
    """200 leapfrog steps under softened gravity; places: (bodies, 3)."""

    def pull(x):
        apart = x[None, :, :] - x[:, None, :]
        squares = np.sum(apart**2, axis=-1) + 0.01
        return np.sum(masses[None, :, None] * apart * squares[:, :, None] ** -1.5, axis=1)

    for _ in range(200):
        speeds = speeds + DT / 2 * pull(places)
        places = places + DT * speeds
        speeds = speeds + DT / 2 * pull(places)
    return np.sum(places**2)


def perceptron(w1, w2, w3, x):
    """Two hidden layers and the mean square of what comes out."""
    return np.mean((np.tanh(np.tanh(x @ w1) @ w2) @ w3) ** 2)


def elementwise(x):
    y = np.exp(-0.5 * x**2) * np.sin(3 * x)
    return np.sum(np.where(y > 0, np.log1p(y), y / (1 + x**2)))


def gaussian_process(log_scale, log_length, log_noise, x, y):
    """Minus the log likelihood of y at the points x, under a squared exponential kernel."""
    apart = (x[:, None] - x[None, :]) / np.exp(log_length)
    kernel = np.exp(log_scale - 0.5 * apart**2) + np.exp(log_noise) * np.eye(len(x))
    factor = np.linalg.cholesky(kernel)
    return 0.5 * np.dot(y, np.linalg.solve(kernel, y)) + np.sum(np.log(np.diag(factor)))


def convolution(signal, taps):
    n = len(signal) - len(taps) + 1
    total = 0.0
    for k in range(len(taps)):
        total = total + taps[k] * signal[k : k + n]
    return np.mean(np.tanh(total))


def spectrum(signal, gain):
    filtered = np.fft.irfft(np.fft.rfft(signal) * gain)
    return np.mean(np.abs(filtered) ** 1.5)


def gini(x):
    n = len(x)
    return np.sum((2 * np.arange(1, n + 1) - n - 1) * np.sort(x)) / (n * np.sum(x))


# -- the two loops in hand-written JAX --------------------------------------------------------------------------------


def pendulum_in_jax(angle, speed, length, drag):
    def slope(u):
        return jnp.stack([u[1], -9.81 / length * jnp.sin(u[0]) - drag * u[1]])

    return jnp.sum(_rk4(slope, jnp.stack([angle, speed])) ** 2)


def prey_and_predator_in_jax(state, rates):
    def slope(u):
        return jnp.stack([rates[0] * u[0] - rates[1] * u[0] * u[1], rates[2] * u[0] * u[1] - rates[3] * u[1]])

    return jnp.sum(_rk4(slope, state) ** 2)


def _rk4(slope: Callable, state: jax.Array) -> jax.Array:
    def step(u, _):
        k1 = slope(u)
        k2 = slope(u + DT / 2 * k1)
        k3 = slope(u + DT / 2 * k2)
        k4 = slope(u + DT * k3)
        return u + DT / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    return jax.lax.scan(step, state, None, length=STEPS)[0]


def recurrent_in_jax(into, again, bias, out, sequence):
    def step(hidden, x):
        hidden = jnp.tanh(x[:, :-1] @ into + hidden @ again + bias)
        return hidden, jnp.mean((hidden @ out - x[:, -1]) ** 2)

    return jnp.mean(jax.lax.scan(step, jnp.zeros((sequence.shape[1], again.shape[0])), sequence)[1])


# -- what is timed ----------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    name: str
    program: Callable
    args: tuple
    in_jax: Callable | None = None
    target: float = WORK


class Timed(NamedTuple):
    row: Row
    first: float  # seconds of the first call of Spanax
    seconds: _timing.Seconds


def rows(quick: bool) -> list[Row]:
    ecology = np.array([10.0, 5.0]), np.array([1.1, 0.4, 0.1, 0.4])
    loops = [
        Row("ODE, 4 floats", pendulum, (1.0, 0.0, 1.2, 0.1), pendulum_in_jax, LOOPS),
        Row("ODE, arrays of 2", prey_and_predator, ecology, prey_and_predator_in_jax, LOOPS),
        *(Row(f"RNN {h} x {b}", recurrent, _network(h, b), recurrent_in_jax, LOOPS) for h, b in ((32, 16), (64, 32))),
        Row("N-body, 8", bodies, _planets(8)),
    ]
    widths = ((32, 32), (128, 128)) if quick else ((32, 32), (128, 128), (256, 512), (512, 1024), (1024, 2048))
    lengths = (10**5,) if quick else (10**5, 10**6, 10**7)
    points = (100,) if quick else (100, 500)
    normal = np.random.default_rng(0).normal
    work = [
        *(Row(f"MLP {d}, batch {b}", perceptron, _layers(d, b)) for d, b in widths),
        *(Row(f"elementwise {n:.0e}", elementwise, (normal(size=n),)) for n in lengths),
        *(Row(f"Gaussian process {n}", gaussian_process, _samples(n)) for n in points),
        *(Row(f"convolution {n:.0e}", convolution, (normal(size=n), normal(size=31))) for n in lengths[:2]),
        *(Row(f"FFT {n:.0e}", spectrum, (normal(size=n), normal(size=n // 2 + 1) ** 2)) for n in lengths[:2]),
        *(Row(f"sort {n:.0e}", gini, (normal(size=n) ** 2,)) for n in lengths[:2]),
    ]
    return loops + work


def _network(hidden: int, batch: int) -> tuple:
    normal = np.random.default_rng(1).normal
    into, again = normal(size=(INPUTS, hidden)) / 4, normal(size=(hidden, hidden)) / math.sqrt(hidden)
    return into, again, np.zeros(hidden), normal(size=hidden), normal(size=(LENGTH, batch, INPUTS + 1))


def _planets(n: int) -> tuple:
    normal = np.random.default_rng(2).normal
    return normal(size=(n, 3)), 0.1 * normal(size=(n, 3)), normal(size=n) ** 2 / n


def _layers(width: int, batch: int) -> tuple:
    normal = np.random.default_rng(3).normal
    return (*(normal(size=(width, width)) / math.sqrt(width) for _ in range(3)), normal(size=(batch, width)))


def _samples(n: int) -> tuple:
    x = np.linspace(0.0, 10.0, n)
    return 0.0, 0.0, -2.0, x, np.sin(x)


def with_autograd() -> ModuleType:
    """This file once more, with `autograd.numpy` for `np`."""
    import autograd.numpy  # pyright: ignore[reportMissingImports]

    module = _loaded("benchmarks._with_autograd", Path(__file__))
    module.np = autograd.numpy  # pyright: ignore[reportAttributeAccessIssue]
    return module


def _loaded(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def calls(row: Row, twin: ModuleType) -> dict[str, Callable[[], tuple]]:
    """Each returns the gradients by all arguments."""
    import autograd  # pyright: ignore[reportMissingImports]

    everything = tuple(range(len(row.args)))
    by_autograd = autograd.grad(getattr(twin, row.program.__name__), everything)
    found = {
        AUTOGRAD: lambda: by_autograd(*row.args),
        SPANAX: lambda: sx.gradient(row.program, *row.args, argnums=everything),
    }
    if row.in_jax is not None:
        found[JAX] = _in_float64(jax.jit(jax.grad(row.in_jax, everything)), row.args)
    return found


def _in_float64(f: Callable, args: tuple) -> Callable[[], tuple]:
    """Arguments are on the device already, and results stay there."""

    def call():
        with jax.enable_x64(True):
            return jax.block_until_ready(f(*args))

    with jax.enable_x64(True):
        args = tuple(jnp.asarray(a) for a in args)
    return call


def timed(row: Row, twin: ModuleType, repeats: int) -> Timed:
    contestants = calls(row, twin)
    first = _seconds(contestants[SPANAX])
    ours = contestants[SPANAX]()
    for name, call in contestants.items():
        _agree(f"{row.name}: {name}", call(), ours)
    return Timed(row, first, _timing.interleaved(contestants, repeats=repeats))


def _agree(name: str, gradients: tuple, ours: tuple) -> None:
    for a, b in zip(gradients, ours, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-6, atol=1e-9 * np.max(np.abs(a)), err_msg=name)


# -- the time to lift a program of 300 lines ----------------------------------------------------------------------------

PART = """\
def part{k}(x, y):
    total = {k} / 30
    for i in range({loop}):
        total = total + x * np.{inner}(y + i)
    if total > {level}:
        total = total * y
    else:
        total = total - x
    {call}
    return np.{outer}(total) + 0.1 * y
"""


def lines_300() -> str:
    """30 functions of ten lines, six chains of five calls, and one function that calls the six."""
    functions = ("sin", "cos", "tanh", "exp")
    parts = [
        PART.format(
            k=k,
            loop=3 + k % 4,
            inner=functions[k % 3],
            outer=functions[(k + 1) % 3],
            level=0.1 * (k % 7),
            call=f"y = part{k - 1}(total, y)" if k % 5 else f"y = np.exp(-(total**2)) + {k}",
        )
        for k in range(30)
    ]
    last = ["def program(x, y):", *(f"    x = part{k}(x, y)" for k in range(4, 30, 5)), "    return x * y"]
    return "\n\n\n".join(["import numpy as np", *parts, "\n".join(last)]) + "\n"


def seconds_of_300_lines(repeats: int) -> dict[str, float]:
    """Medians over fresh copies of the program; the first call of `sx.gradient` on copies of its own."""
    found: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for r in range(repeats):
            staged, whole = (_fresh(Path(folder) / f"{name}_{r}.py") for name in ("staged", "whole"))
            found.append(_stages(staged) | {"sx.gradient, first": _seconds(lambda f=whole: sx.gradient(f, 0.5, 0.7))})
    return {stage: statistics.median(seconds[stage] for seconds in found) for stage in found[0]}


def _fresh(path: Path) -> Callable:
    path.write_text(lines_300())
    jax.clear_caches()
    return _loaded(path.stem, path).program


def _stages(program: Callable) -> dict[str, float]:
    marks = [time.perf_counter()]
    lifted = sx.lift(program)
    jax.jit(lifted).trace(0.5, 0.7)
    marks.append(time.perf_counter())
    lowered = jax.jit(jax.grad(lifted, (0, 1))).lower(0.5, 0.7)
    marks.append(time.perf_counter())
    lowered.compile()
    marks.append(time.perf_counter())
    names = ("lift and trace", "grad and lower", "compile")
    return {name: b - a for name, (a, b) in zip(names, itertools.pairwise(marks), strict=True)}


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


# -- the report ---------------------------------------------------------------------------------------------------------


def cells(result: Timed) -> list[str]:
    row, first, seconds = result
    ms = {name: f"{1e3 * statistics.median(found):.3g}" for name, found in seconds.items()}
    ratios = [_timing.ratio(seconds, AUTOGRAD, SPANAX), min(seconds[AUTOGRAD]) / min(seconds[SPANAX])]
    in_jax = [ms[JAX], f"{_timing.ratio(seconds, SPANAX, JAX):.2f}"] if JAX in seconds else ["", ""]
    return [row.name, ms[AUTOGRAD], f"{first:.2f}", ms[SPANAX], *(f"{r:.3g}" for r in ratios), *in_jax]


def verdicts(results: list[Timed]) -> None:
    for row, _, seconds in results:
        if row.target > WORK or 1e3 * statistics.median(seconds[AUTOGRAD]) >= FROM_MS:
            ratio = _timing.ratio(seconds, AUTOGRAD, SPANAX)
            _timing.verdict(f"{row.name}: autograd by Spanax", ratio, row.target, at_least=True)


def main() -> None:
    parser = _timing.parser(__doc__, repeats=15)
    parser.add_argument("--quick", action="store_true", help="3 rounds, and no large programs")
    parser.add_argument("--only", default="", help="programs whose name holds this text")
    args = parser.parse_args()
    if args.cores is not None and len(os.sched_getaffinity(0)) > args.cores:
        _timing.limit_cores(args.cores)  # NumPy's BLAS counts the cores when it is loaded, so start again
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.program", *sys.argv[1:]])
    repeats = 3 if args.quick else args.repeats
    _timing.versions("jax", "jaxlib", "numpy", "autograd", "spanax")

    twin = with_autograd()
    results = [timed(row, twin, repeats) for row in rows(args.quick) if args.only in row.name]
    head = ["gradient, float64", "autograd ms", "first s", "Spanax ms", "ratio", "minima", "JAX ms", "Spanax by JAX"]
    _timing.table(head, [cells(result) for result in results])
    print()
    verdicts(results)
    if args.only:
        return
    stages = seconds_of_300_lines(3 if args.quick else 7)
    print("\nprogram of 300 lines, s: " + ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in stages.items()))
    _timing.verdict("300 lines: s to lift and trace", stages["lift and trace"], LIFT_SECONDS)


if __name__ == "__main__":
    main()
