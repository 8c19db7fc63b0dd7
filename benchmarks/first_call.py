"""The first call of `sx.value_and_gradient` on plain Python programs: CPU seconds, by stages.

Each program has a process of its own, and XLA's flags are left as they are. With `--cache` JAX keeps what it compiled in a
folder, and a second process comes after the first.
"""

from __future__ import annotations

import collections
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import spanax as sx
from benchmarks import _timing
from benchmarks._first_call_programs import programs
from spanax._jaxprs import operations
from spanax.program._effort import options_for

HEAD = ["CPU s", "first call", "lift, trace", "and gradient", "lower", "compile", "equations", "run, ms"]
EVENT = "/jax/compilation_cache/cache_"


def first_call(index: int) -> list[str]:
    """One row. The stages are those of `sx.lift` under `jax.grad`, which is what `sx.gradient` compiles."""
    name, program, args = programs()[index]
    jax.block_until_ready(jax.jit(jax.grad(lambda x: jnp.sin(x) * x))(1.0))  # JAX itself is awake
    total = _cpu_seconds(lambda: sx.value_and_gradient(program, *args))
    runs = [_cpu_seconds(lambda: sx.value_and_gradient(program, *args)) for _ in range(50)]
    value, _ = sx.value_and_gradient(program, *args)
    np.testing.assert_allclose(value, program(*args), rtol=1e-9)
    if "--cache" in sys.argv:
        return [name, f"{total:.2f}"]
    jax.clear_caches()
    marks = [time.process_time()]
    with jax.enable_x64(True):
        jax.jit(_lifted(program)).trace(*args)
        marks.append(time.process_time())
        traced = jax.jit(jax.value_and_grad(_lifted(program), tuple(range(len(args))))).trace(*args)
        marks.append(time.process_time())
        lowered = traced.lower()
        marks.append(time.process_time())
        lowered.compile(compiler_options=options_for(traced.jaxpr.jaxpr))
        marks.append(time.process_time())
    seconds = [f"{b - a:.2f}" for a, b in itertools.pairwise(marks)]
    equations = sum(1 for _ in operations(traced.jaxpr.jaxpr))
    return [name, f"{total:.2f}", *seconds, str(equations), f"{1e3 * statistics.median(runs):.3g}"]


def _lifted(program: Callable) -> Callable:
    lifted = sx.lift(program)
    return lambda *args: lifted(*args)


def _cpu_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def in_a_process(index: int, *options: str, folder: str = "") -> list[str]:
    cache = {
        "JAX_COMPILATION_CACHE_DIR": folder,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    command = [sys.executable, "-m", "benchmarks.first_call", "--one", str(index), *options]
    env = os.environ | (cache if folder else {})
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.strip().split("|")


def counted(index: int) -> list[str]:
    """The row, with how often the cache had what was asked for."""
    events: collections.Counter = collections.Counter()
    jax.monitoring.register_event_listener(lambda event, **_: events.update([event]))
    row = first_call(index)
    return [*row, *(str(events[EVENT + what]) for what in ("hits", "misses"))]


def main() -> None:
    parser = _timing.parser(__doc__, repeats=1)
    parser.add_argument("--only", default="", help="programs whose name holds this text")
    parser.add_argument(
        "--cache", action="store_true", help="a first and a second process, with JAX's persistent cache"
    )
    parser.add_argument("--one", type=int, help="one program, in this process")
    options = parser.parse_args()
    if options.one is not None:
        print("|".join((counted if options.cache else first_call)(options.one)))
        return
    _timing.versions("jax", "jaxlib", "numpy", "spanax")
    chosen = [i for i, (name, _, _) in enumerate(programs()) if options.only in name]
    if options.cache:
        with tempfile.TemporaryDirectory() as folder:
            rows = [in_a_process(i, "--cache", folder=folder) for i in chosen for _ in range(2)]
        _timing.table(["CPU s, first and second process", "first call", "hits", "misses"], rows)
        return
    _timing.table(HEAD, [in_a_process(i) for i in chosen for _ in range(options.repeats)])


if __name__ == "__main__":
    main()
