"""`to_torch`: a JAX function as a function of tensors."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.overrides import handle_torch_function, has_torch_function

from .._errors import SpanaxError, warn
from .._functions import takes_key
from .._jaxprs import is_traced
from ._crossing.arrays import device_of
from ._crossing.function import Call, apply
from ._crossing.program import Program, Result, result

_MANY = 64  # programs of one function: more look like a number that should have been a tensor


def to_torch(jax_function: Callable[..., Any], *, jit: bool = True) -> Callable[..., Any]:
    """A JAX function as a function of PyTorch tensors, which autograd goes through.

    The result is an ordinary step of a torch program: `backward`, `torch.autograd.grad`, second derivatives and higher,
    `torch.func` (grad, vjp, jvp, vmap, jacrev, hessian), `no_grad`, and `torch.compile`, which leaves the compiled graph there.
    Whatever is a JAX function will do: an expectation, a black box, a hard operation with its bridge, a rollout. Its gradient is
    the one that JAX gives it, unbiased for whatever it promises. An output that no tensor moves (an argmax, a round, a constant)
    does not require a gradient, so that a loss of it alone raises in `backward` instead of having a gradient of 0.

    On a CPU tensors are read and large results are handed over without a copy, on a GPU by DLPack, without waiting. What a
    backward pass needs is kept from the one forward pass; under `torch.func` the forward pass is run again. A tensor that is
    overwritten in place before `backward`, and that the derivative needs, raises, as in PyTorch; results may be overwritten
    freely.

    - Tensors may be anywhere in the arguments: in tuples, lists, dicts, and classes that are pytrees of JAX. Arrays of JAX or
      NumPy among them are constants. All else (numbers, strings, None) is static: the function is compiled again for each new
      value, as for each new shape. The result is the same pytree with tensors as leaves.
    - Floats of 16, 32 and 64 bits, bfloat16 and complex numbers have derivatives; integers and booleans have none. float64 needs
      JAX's x64 mode: without it a float64 tensor raises. int64 tensors (PyTorch's indices) are then read as int32 if all of
      their numbers fit, and raise otherwise; to see that on a GPU the host has to wait.
    - A function with a keyword `key` that is given none gets a new key at each call, drawn from PyTorch's default generator, so
      that `torch.manual_seed` reproduces it; `key=generator` draws it from a `torch.Generator`, and a key of JAX is used as it
      is. Under `torch.func.vmap` this asks for `randomness="different"` (a key for each index) or `"same"`.

    **Arguments:**

    - `jax_function`: takes and returns pytrees of arrays.
    - `jit`: compile it, once for each shape, dtype and structure of its arguments. With False it runs operation by operation, for
      debugging and for functions that look at the values of their arguments; everything is then copied.

    **Returns:**

    A function with the arguments of `jax_function`, with tensors in the place of arrays. Results are on the device of the
    tensors, or on the CPU where there are none.

    **Raises:**

    - `SpanaxError`: for a `jax_function` that cannot be called; from the function returned: for float64 tensors without x64, for
      tensors on several devices or on one that JAX does not have, and for what is neither a tensor nor hashable. What JAX or
      the function itself raises arrives as it is.

    >>> import jax.numpy as jnp, torch, spanax as sx
    >>> from spanax.torch import to_torch
    >>> step = to_torch(lambda x: sx.hard.greater(x, 0.5, via=sx.StraightThrough(sx.Soft(0.1))))
    >>> x = torch.tensor([0.2, 0.45, 0.9], requires_grad=True)
    >>> y = step(x)
    >>> y.sum().backward()
    >>> print(y.tolist(), x.grad > 1)
    [0.0, 0.0, 1.0] tensor([False,  True, False])
    """
    if not callable(jax_function):
        raise SpanaxError(f"to_torch({jax_function!r}), which cannot be called", "a JAX function")
    if isinstance(jax_function, torch.nn.Module):
        raise SpanaxError(
            "to_torch of a torch module", "the module itself: it takes tensors already", "from_torch(module)"
        )
    if not isinstance(jit, bool):
        raise SpanaxError(f"to_torch(jit={jit!r})", "True", "False")
    crossing = _Crossing(jax_function, jit)

    # torch.compile would trace into JAX, and not come out again.
    @torch.compiler.disable
    def on_tensors(*args: Any, **kwargs: Any) -> Any:
        # To who listens to PyTorch, such as `find_gaps`, this is one operation, as PyTorch's own are.
        if has_torch_function(args):
            return handle_torch_function(one, _tensors_of(args, kwargs), *args, **kwargs)
        return crossing.call(args, kwargs)

    def one(*args: Any, **kwargs: Any) -> Any:
        return crossing.call(args, kwargs)

    # A name that is none of PyTorch's, whatever the function is called.
    one.__name__ = f"to_torch({getattr(jax_function, '__name__', type(jax_function).__name__)})"
    return functools.update_wrapper(on_tensors, jax_function) if hasattr(jax_function, "__name__") else on_tensors


def _tensors_of(args: tuple, kwargs: dict) -> list[torch.Tensor]:
    return [leaf for leaf in jax.tree.leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]


class _Plan:
    """What is static about calls of one structure: the program, and which leaves of the arguments are what."""

    def __init__(self, program: Program, draws_key: bool):
        self.program, self.draws_key = program, draws_key


class _Crossing:
    """A JAX function, and its programs for each structure of arguments and static leaves."""

    def __init__(self, f: Callable[..., Any], jit: bool):
        self.f, self.jit = f, jit
        self._plans: dict[Hashable, _Plan] = {}

    def call(self, args: tuple, kwargs: dict) -> Any:
        generator = None
        # The usual call, of tensors alone, is not worth the search of a pytree.
        if not kwargs and all([isinstance(x, torch.Tensor) for x in args]):  # noqa: C419, a generator costs more
            key, tensors, fixed = len(args), list(args), ()
        else:
            kwargs, generator = _generator_of(kwargs)
            leaves, tree = jax.tree.flatten((args, kwargs))
            tensors, fixed, kinds = _sorted(leaves)
            key = (tree, kinds, generator is None)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._plan(args, kwargs, generator is not None)
        device = device_of(tensors)
        if plan.draws_key:
            tensors.append(_words(generator))
        call = Call(plan.program, fixed, device)
        results = apply(call, tensors)
        assert call.form is not None
        return call.form.build(results)

    def _plan(self, args: tuple, kwargs: dict, has_generator: bool) -> _Plan:
        leaves, tree = jax.tree.flatten((args, kwargs))
        _, _, kinds = _sorted(leaves)
        if len(self._plans) == _MANY:
            warn(
                f"to_torch has compiled {getattr(self.f, '__name__', 'a function')} {_MANY} times, for different numbers, "
                "strings or structures among its arguments",
                "torch.as_tensor(value), for what changes from call to call",
            )
        draws_key = has_generator or takes_key(self.f, *jax.tree.unflatten(tree, list(map(_shape, leaves))))
        tensors = kinds.count(_TENSOR) + draws_key
        statics = [None if kind in (_TENSOR, _FIXED) else leaf for kind, leaf in zip(kinds, leaves, strict=True)]

        # It keeps no tensor and no array of the first call: only what is static.
        def run(fixed: Sequence[Any], *arrays: Any) -> Result:
            given = {_TENSOR: iter(arrays), _FIXED: iter(fixed)}
            full = [next(given[k]) if k in (_TENSOR, _FIXED) else leaf for k, leaf in zip(kinds, statics, strict=True)]
            args, kwargs = jax.tree.unflatten(tree, full)
            if draws_key:
                kwargs = {**kwargs, "key": _key(arrays[-1])}
            return _result(self.f(*args, **kwargs))

        return _Plan(Program(run, tensors, self.jit), draws_key)


# -- arguments

_TENSOR, _FIXED = "tensor", "fixed"


def _sorted(leaves: Sequence[Any]) -> tuple[list[torch.Tensor], list[Any], tuple]:
    """The tensors, the arrays of JAX, and of each leaf what it is: of one that is static, its value and what tells it apart."""
    tensors, fixed, kinds = [], [], []
    for leaf in leaves:
        if isinstance(leaf, torch.Tensor):
            tensors.append(leaf)
            kinds.append(_TENSOR)
        elif isinstance(leaf, jax.Array | np.ndarray):
            fixed.append(_constant(leaf))
            kinds.append(_FIXED)
        else:
            kinds.append(_static(leaf))
    return tensors, fixed, tuple(kinds)


def _constant(leaf: Any) -> Any:
    if is_traced(leaf):
        raise SpanaxError(
            "an array that JAX traces, given to a function of tensors",
            "the JAX function itself, inside of jit and grad",
        )
    if isinstance(leaf, jax.Array):
        return leaf
    if leaf.dtype in (np.float64, np.complex128) and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise SpanaxError(
            f"an array of {leaf.dtype}, and JAX is set to single precision: it would be rounded",
            'jax.config.update("jax_enable_x64", True), at the start of the program',
            "x.astype(np.float32)",
        )
    # It can be overwritten, and what JAX keeps must not change.
    return jnp.array(leaf, copy=True)


def _static(leaf: Any) -> Hashable:
    if isinstance(leaf, torch.nn.Module):
        raise SpanaxError(
            "a torch module as an argument of a JAX function: no gradient would lead to its weights",
            "spanax.torch.from_torch(module): a JAX function and its parameters",
        )
    # 1, 1.0 and True are equal, and so are 0.0 and -0.0, but a program of one is not that of the other.
    if isinstance(leaf, bool | int | float | complex):
        return type(leaf), repr(leaf)
    try:
        hash(leaf)
    except TypeError as error:
        raise SpanaxError(
            f"an argument of type {type(leaf).__name__}, which is neither a tensor nor hashable",
            "tensors, arrays, and pytrees of them",
            "what is static as a hashable value, such as a tuple",
        ) from error
    return type(leaf), leaf


def _shape(leaf: Any) -> Any:
    """Of a tensor or an array its shape, for a look at what a function takes."""
    if not isinstance(leaf, torch.Tensor):
        return leaf
    name = str(leaf.dtype).removeprefix("torch.")
    return jax.ShapeDtypeStruct(tuple(leaf.shape), jnp.dtype(name))


# -- keys


def _generator_of(kwargs: dict) -> tuple[dict, torch.Generator | None]:
    """The arguments without a `key` from which one has to be made, and the generator that makes it; None: the default one."""
    key = kwargs.get("key", kwargs)
    if key is not None and not isinstance(key, torch.Generator):
        return kwargs, None
    return {name: value for name, value in kwargs.items() if name != "key"}, key


def _words(generator: torch.Generator | None) -> torch.Tensor:
    """64 random bits, as a tensor: under torch.func.vmap with randomness="different" each index has its own."""
    device = "cpu" if generator is None else generator.device
    words = torch.randint(-(2**31), 2**31 - 1, (2,), dtype=torch.int32, generator=generator, device=device)
    return words if device == "cpu" else words.cpu()


def _key(words: Any) -> Any:
    # Of 64 bits: keys of 32 would meet again after some ten thousand calls.
    words = jax.lax.bitcast_convert_type(jnp.asarray(words), jnp.uint32)
    return jax.random.fold_in(jax.random.key(words[0]), words[1])


# -- results

_NUMBERS = (jax.Array, np.ndarray, np.generic, int, float, complex)


def _result(out: Any) -> Result:
    """The arrays of a result, and how it is put together; what is no array stays what it is."""
    leaves, tree = jax.tree.flatten(out)
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, _NUMBERS)]
    others = {i: leaf for i, leaf in enumerate(leaves) if i not in places}

    def build(tensors: Sequence[torch.Tensor]) -> Any:
        if others:
            full = {**others, **dict(zip(places, tensors, strict=True))}
            tensors = [full[i] for i in range(len(leaves))]
        return jax.tree.unflatten(tree, tensors)

    is_one = jax.tree_util.treedef_is_leaf(tree) and len(places) == 1
    return result(operator.itemgetter(0) if is_one else build, [jnp.asarray(leaves[i]) for i in places])
