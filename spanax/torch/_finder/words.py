"""What PyTorch's functions are called, and what they do with the values of a tensor."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

# What leaves to the host: a Python number, a list or a NumPy array that holds a tensor's values.
EXITS = frozenset(
    """
    item tolist numpy __array__ __float__ __int__ __index__ __bool__ __complex__ __contains__ is_nonzero equal allclose
    _is_all_true _is_any_true __dlpack__
    """.split()
)
# Their result decides a branch and nothing else.
TESTS = frozenset("__bool__ __contains__ is_nonzero equal allclose _is_all_true _is_any_true".split())
# Of these, only the first argument gives values, the other a shape, a dtype or a device.
_TAKES_FORM = frozenset("type_as expand_as view_as reshape_as to".split())
_INDEXING = frozenset(
    """
    __getitem__ __setitem__ gather index_select take take_along_dim embedding embedding_bag scatter scatter_ scatter_add
    scatter_add_ scatter_reduce scatter_reduce_ index_add index_add_ index_copy index_copy_ index_fill index_fill_ index_put
    index_put_ index_reduce nll_loss cross_entropy repeat_interleave split tensor_split narrow roll
    """.split()
)
_SELECTING = frozenset(
    "__getitem__ split split_with_sizes tensor_split chunk unbind narrow select index_select hsplit vsplit dsplit".split()
)
_COMPARISONS = frozenset(
    "gt lt ge le eq ne __gt__ __lt__ __ge__ __le__ __eq__ __ne__ greater less greater_equal less_equal".split()
)
_DRAWS = {
    "bernoulli": "Bernoulli",
    "poisson": "Poisson",
    "binomial": "Binomial",
    "normal": "Normal",
    "multinomial": "multinomial",
}
_CASTS = frozenset("to type long int short bool char byte type_as __long__ _to_copy".split())
_PROPERTIES_WITH_VALUES = frozenset("data T mT H mH real imag".split())


@functools.lru_cache(maxsize=4096)
def _of_hashable(func: Callable) -> str:
    name = getattr(func, "__name__", "") or str(func)
    if name in ("__get__", "__set__"):  # the name of a property is that of its descriptor
        return f"{getattr(getattr(func, '__self__', None), '__name__', '')}.{name[2:5]}"
    # An operator of torch.ops has its overload in its name.
    return name.partition(".")[0] if isinstance(func, torch._ops.OpOverload) else name


def name_of(func: Callable) -> str:
    """As the user calls it: "round", "__getitem__", or "data.get" of a property."""
    try:
        return _of_hashable(func)
    except TypeError:
        return getattr(func, "__name__", "")


def gives_no_values(name: str) -> bool:
    """Is its result about a tensor's form, and not made of its values?"""
    if name.endswith(".get"):
        return name[:-4] not in _PROPERTIES_WITH_VALUES
    return name.startswith(("is_", "__repr", "__format", "__str", "__len")) or name in _FORM


_FORM = frozenset(
    """
    size dim ndimension numel nelement stride storage_offset element_size get_device data_ptr storage untyped_storage
    result_type promote_types can_cast backward register_hook retain_grad has_names __hash__
    register_post_accumulate_grad_hook sym_size broadcast_shapes
    """.split()
)


def fills(name: str) -> bool:
    """Does it write a number that it is given into a tensor?"""
    return name.startswith(("masked_fill", "fill", "full", "where", "__setitem__", "index_fill"))


def selects(name: str) -> bool:
    """Does it take a part of a tensor? Another part is another value."""
    return name in _SELECTING


def with_values(name: str, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Those of its arguments whose values go into the result."""
    if name in _TAKES_FORM:
        return args[:1]
    if name.endswith("_like") or name.startswith("new_"):  # `x.new_tensor(y)` is made of y
        return args[1:], {key: value for key, value in kwargs.items() if key != "input"}
    return args, kwargs


_GOES_BACK = {"grad": 3, "backward": 2}  # how many arguments come before `retain_graph`


def kept_graph(name: str, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments with which the program's own way back leaves its graph as it is."""
    if len(args) <= _GOES_BACK.get(name, -1):
        return {**kwargs, "retain_graph": True}
    return kwargs


def is_write(name: str, kwargs: dict[str, Any]) -> bool:
    """Does it write into its first argument, or into `out`?"""
    in_place = name.endswith("_") and not name.endswith("__")
    augmented = (
        name.startswith("__i")
        and name.endswith("__")
        and name not in ("__index__", "__int__", "__invert__", "__iter__")
    )
    return (
        in_place
        or augmented
        or name in ("__setitem__", "data.set")
        or kwargs.get("out") is not None
        or _renorms(name, kwargs)
    )


def _renorms(name: str, kwargs: dict[str, Any]) -> bool:
    return name in ("embedding", "embedding_bag") and kwargs.get("max_norm") is not None


def role(tensor: torch.Tensor, name: str, beside_float: bool) -> str:
    """How an operation uses a tensor: as a "value", as an "index", or to choose a "branch"."""
    if tensor.dtype == torch.bool and (beside_float or name in _INDEXING):
        return "branch"
    if not tensor.is_floating_point() and not tensor.is_complex() and name in _INDEXING:
        return "index"
    return "value"


# In the words of a user, where a function's own name is not one.
_PLAIN = {
    "__setitem__": "assignment to elements",
    "requires_grad_": "requires_grad_(False)",
    "requires_grad.set": "requires_grad = False",
    "__float__": "float",
    "__int__": "int",
    "__bool__": "bool",
    "__index__": "index",
    "__array__": "numpy",
    "__contains__": "in",
    "data.get": ".data",
    "data.set": ".data",
}


def operation(name: str, draw: str, dtype: torch.dtype | None) -> str:
    """What a user calls it, in the words of `find_gaps`. `dtype`: of the result that has no derivative."""
    bare = name.removesuffix(".get")
    if not name.startswith("__"):
        bare = bare.removesuffix("_")
    if draw or bare in _DRAWS:
        return f"{draw or _DRAWS[bare]} draw"
    if bare in _CASTS and dtype is not None and not dtype.is_floating_point:
        return f"cast to {str(dtype).removeprefix('torch.')}"
    return "comparison" if bare in _COMPARISONS else _in_words(name)


def _in_words(name: str) -> str:
    # `round_` is not `round` to who wrote it, and `__rtruediv__` is a division.
    return _PLAIN.get(name) or (name.strip("_") if name.startswith("__") else name.removesuffix(".get"))
