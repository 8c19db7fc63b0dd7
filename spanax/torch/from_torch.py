"""`from_torch`: a torch module as a JAX function and its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jaxtyping import Array

from .._checks import check_key
from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from .._jaxprs import computed_now
from ._crossing.host import avals, cross
from ._crossing.module import Module, look, modes_of_its_own
from ._crossing.module_program import Base


def from_torch(module: torch.nn.Module) -> tuple[Callable[..., Any], dict[str, Array]]:
    """A torch module as a JAX function, `f(params, *args, key=None, **kwargs)`, and its weights.

    The module runs in PyTorch, on the host, when the JAX program gets there; its derivatives are those of torch.autograd, of
    every order and in both modes. f works under `jit`, `grad` and `vmap` and inside `sx.expectation`, where the module may be
    what follows a draw. Under `vmap` all indices are one call of the module by `torch.func.vmap`, each as if it were alone. A
    module that draws random numbers runs once for each index, and so does, with a warning, one that `torch.func.vmap` refuses.

    The module itself is left as it is: f runs a copy, made here. Its mode (train or eval), its buffers and the weights that do
    not require a gradient are constants of f, as they are now. A module that updates its buffers when it is called (BatchNorm in
    training) is no function, and raises.

    A module that draws random numbers (dropout in training) needs `key`, which seeds PyTorch's default generators for the length
    of the call and decides all that it draws: the same in the forward and the backward pass. No other thread may draw meanwhile.
    A derivative runs the forward pass again.

    **Arguments:**

    - `module`: on one device. Its inputs are arrays in any pytrees, of floats, integers or booleans; what is no array (numbers,
      strings, None) reaches it as it is. 32-bit integers arrive as int64, the type of PyTorch's indices. It returns tensors, in
      tuples, lists and mappings (which become dicts), whose shapes depend on the shapes of its inputs only. To learn those, it
      is run once on numbers between 0 and 1 (integers are 0).

    **Returns:**

    `(f, params)`; `params` has an array for each weight that requires a gradient, by its name.

    **Raises:**

    - `SpanaxError`: for what is not a module, or cannot be copied; from f: for weights that do not fit, a missing key, buffers
      that change, a float64 module without JAX's x64 mode, a derivative where the module has none.

    >>> import jax, jax.numpy as jnp, torch
    >>> from spanax.torch import from_torch
    >>> f, params = from_torch(torch.nn.Linear(2, 1))
    >>> slope = jax.jit(jax.grad(lambda params, x: f(params, x).sum()))(params, jnp.array([1.0, 2.0]))
    >>> print(slope["weight"], slope["bias"].item())
    [[1. 2.]] 1.0
    """
    if not isinstance(module, torch.nn.Module):
        raise SpanaxError(f"from_torch({type(module).__name__}), which is not a torch.nn.Module", "a torch.nn.Module")
    if isinstance(module, torch.jit.ScriptModule):
        raise SpanaxError(
            "from_torch of a scripted module, whose weights cannot be replaced", "the module before torch.jit"
        )
    params = {name: _array(name, w) for name, w in module.named_parameters() if w.requires_grad}
    within = _FromTorch(Module(module))

    def f(params: Mapping[str, Array], *args: Any, key: Any = None, **kwargs: Any) -> Any:
        return within.call(params, args, kwargs, key)

    f.__name__ = f.__qualname__ = type(module).__name__
    return f, params


def _array(name: str, weight: torch.Tensor) -> Array:
    x = weight.detach().cpu()
    wide = jax.dtypes.canonicalize_dtype(jnp.float64) == jnp.float64
    if x.dtype == torch.float64 and not wide:
        raise SpanaxError(
            f"the weight {name} is float64, and JAX is set to single precision: it would be rounded",
            'jax.config.update("jax_enable_x64", True), at the start of the program',
            "module.float()",
        )
    if x.dtype == torch.bfloat16:
        return jnp.array(x.view(torch.int16).numpy().view(jnp.bfloat16), copy=True)
    return jnp.array(x.numpy(), copy=True)


class _FromTorch:
    """The module, and its programs for each structure and each shapes of its arguments."""

    def __init__(self, module: Module):
        self.module = module
        self._programs: dict[Any, tuple[Base, Any]] = {}

    def call(self, params: Any, args: tuple, kwargs: dict, key: Any) -> Any:
        refuse_foreign(params, args, kwargs)
        weights = self._weights(params)
        leaves, tree = jax.tree.flatten((args, kwargs))
        arrays = [jnp.asarray(x) for x in leaves if _is_array(x)]
        statics = tuple(None if _is_array(x) else (type(x), x) for x in leaves)
        shapes = tuple((x.shape, x.dtype) for x in (*weights, *arrays))
        place = tree, statics, shapes
        # JAX tells programs apart by identity: a new one would be compiled again.
        if place not in self._programs:
            self._programs[place] = self._look(place)
        program, result = self._programs[place]
        words = self._words(program, key)
        return jax.tree.unflatten(result, cross(program, [*weights, *arrays, *words]))

    def _weights(self, params: Any) -> list[Array]:
        names = self.module.names
        if not isinstance(params, Mapping) or set(params) != set(names):
            got = sorted(set(params) ^ set(names))[:3] if isinstance(params, Mapping) else type(params).__name__
            raise SpanaxError(
                f"the weights of the torch module {self.module.title} do not fit: {got}",
                "params as from_torch gave them",
            )
        # In the module's order: a dict that has been through JAX comes back sorted by name.
        weights = [jnp.asarray(params[name]) for name in names]
        for name, w in zip(names, weights, strict=True):
            if w.shape != self.module.shapes[name]:
                raise SpanaxError(
                    f"the weight {name} has the shape {w.shape}, and the module's is {self.module.shapes[name]}",
                    "jax.vmap over its leading axis, for many modules at once",
                )
        return weights

    def _look(self, place: tuple) -> tuple[Base, Any]:
        """The program for these shapes, and the structure of its result."""
        tree, statics, shapes = place
        count = len(self.module.names)

        def given(inputs: Sequence[torch.Tensor]) -> tuple[tuple, dict]:
            rest = iter(inputs)
            return jax.tree.unflatten(tree, [next(rest) if s is None else s[1] for s in statics])

        # The module may hold JAX functions of its own: what is traced around this call must not swallow them.
        with modes_of_its_own(self.module.device), computed_now():
            generator = torch.Generator().manual_seed(0)
            examples = [_example(shape, dtype, generator).to(self.module.device) for shape, dtype in shapes]
            seen = look(self.module, examples[:count], *given(examples[count:]))
        ins = [*(x.detach() for x in examples), *([torch.zeros(2, dtype=torch.int64)] if seen.is_random else [])]
        program = Base(self.module, given, ins, seen)
        avals(program)  # raises for a precision that JAX has not now
        return program, seen.tree

    def _words(self, program: Base, key: Any) -> list[Array]:
        if not program.is_random:
            return []
        if key is None:
            raise SpanaxError(
                f"the torch module {self.module.title} draws random numbers, and there is no key",
                "f(params, x, key=key)",
                "module.eval(), before from_torch: dropout is then off",
            )
        check_key(key)
        return [jax.random.bits(key, (2,), jnp.uint32)]


def _is_array(x: Any) -> bool:
    return isinstance(x, jax.Array | np.ndarray)


def _example(shape: tuple[int, ...], dtype: Any, generator: torch.Generator) -> torch.Tensor:
    """Numbers that most programs take: probabilities, of full rank, positive; the index 0."""
    name = "int64" if dtype == jnp.int32 else str(dtype)
    if jnp.issubdtype(dtype, jnp.inexact):
        return torch.rand(shape, generator=generator).to(getattr(torch, name))
    return torch.zeros(shape, dtype=getattr(torch, name))
