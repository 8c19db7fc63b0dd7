"""How hard XLA is to work on a program that is compiled here, on a CPU: no harder than what it saves when the program runs.

- XLA's newer emitters take a quarter of the compilation of small kernels, and gain nothing there.
- What holds no loop runs each operation once: of few numbers, that costs less than to optimise it ever saves.
- In a long body of a loop on small arrays, shifted copies of one array (np.roll, x[1:] - x[:-1]) make XLA write the whole
  expression of that array once more for each shift, which is most of the compilation. So operations are kept apart there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax

from .._jaxprs import JaxprEqn, Literal, aval, is_loop, is_traced, operations

SMALL = 2**14  # entries of an array that stays in a core's cache
BRIEF = 20_000  # entries that a program computes in all, below which it is not optimised
LONG = 1_000  # operations of a program with loops, from which they are kept apart ...
WIDE = 32  # ... if most are on arrays of these entries or more: calling one costs as much as computing so many numbers


class Tuned:
    """`run`, a function of pytrees of arrays, compiled with options that suit it; inside another program it becomes part
    of that."""

    def __init__(self, run: Callable):
        self.run, self.plain = run, jax.jit(run)
        self.chosen: dict[Any, Callable] = {}

    def __call__(self, inputs: list) -> Any:
        if any(map(is_traced, inputs)):
            return self.plain(inputs)
        # By the shapes alone, which the options depend on: what else differs, `jax.jit` tells apart.
        form = tuple([getattr(x, "shape", ()) for x in inputs])
        if form not in self.chosen:
            options = options_for(self.plain.trace(inputs).jaxpr.jaxpr)
            self.chosen[form] = jax.jit(self.run, compiler_options=options)
        try:
            return self.chosen[form](inputs)
        # Options cannot be set inside another program's compilation, nor can those that a version of XLA does not have.
        except ValueError as error:  # known numbers inside another program, which has options of its own
            if "compiler_options" not in str(error):
                raise
        except jax.errors.JaxRuntimeError as error:
            if "compile option" not in str(error):
                raise
            self.chosen[form] = self.plain  # a version of XLA that has other options
        return self.plain(inputs)


def options_for(jaxpr: Any) -> dict[str, Any] | None:
    """XLA's options for a program, or None for its defaults."""
    if jax.default_backend() != "cpu":
        return None
    eqns = list(operations(jaxpr))
    sizes = sorted(map(_work, eqns))
    if not sizes or sizes[-1] > SMALL:
        return None
    # Fusion is what writes the expression once more for each shift: without it such a body compiles in a third of the time.
    loops = any(map(is_loop, eqns))
    if loops and len(sizes) >= LONG and sizes[len(sizes) // 2] >= WIDE:
        return {"xla_disable_hlo_passes": "fusion"}
    # Level 0 for what runs once on few numbers: it is compiled for one call, and runs in microseconds either way.
    brief = not loops and sum(sizes) <= BRIEF
    unoptimised = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    return {"xla_cpu_use_fusion_emitters": False} | (unoptimised if brief else {})


def _work(eqn: JaxprEqn) -> int:
    """The number of entries that an operation reads or writes; for a product of matrices, the number of multiplications."""
    sizes = [math.prod(aval(v).shape) for v in (*eqn.invars, *eqn.outvars) if not isinstance(v, Literal)]
    if eqn.primitive is jax.lax.dot_general_p:
        (contracted, _), _ = eqn.params["dimension_numbers"]
        # The last size is that of the result: each of its entries is a sum over the contracted axes.
        sizes.append(sizes[-1] * math.prod(aval(eqn.invars[0]).shape[k] for k in contracted))
    return max(sizes, default=0)
