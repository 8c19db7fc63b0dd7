"""Refuses arrays of other libraries as arguments: JAX would convert them silently, and no derivative would lead back."""

from __future__ import annotations

import functools
from typing import Any

import jax

from ._errors import SpanaxError


# Asked for each leaf of each call, so remembered for each class.
@functools.lru_cache(maxsize=1024)
def _library(cls: type) -> str:
    """The library whose array it is; "" if none."""
    # By the names of classes and their modules: importing PyTorch to ask for its class would take seconds.
    for base in cls.__mro__:
        root = (base.__module__ or "").partition(".")[0]
        is_array = {
            "torch": "Tensor" in base.__name__,
            "tensorflow": "Tensor" in base.__name__ or "Variable" in base.__name__,
            "cupy": base.__name__ == "ndarray",
            "pandas": hasattr(cls, "to_numpy"),
        }
        if is_array.get(root, False):
            return root
    return ""


# The library's name, how to convert, and other ways. By DLPack nothing is copied.
_CONVERT = {
    "torch": (
        "PyTorch",
        "x.detach().cpu().numpy()",
        "jax.dlpack.from_dlpack(x.detach().contiguous()), without a copy",
        "spanax.torch.to_torch(f), a function of tensors that autograd goes through",
    ),
    "tensorflow": ("TensorFlow", "x.numpy()"),
    "cupy": ("CuPy", "jax.dlpack.from_dlpack(x), without a copy", "cupy.asnumpy(x)"),
    "pandas": ("pandas", "x.to_numpy()"),
}


def refuse_foreign(*trees: Any, tables: bool = True) -> None:
    """Raises `SpanaxError` if one of the pytrees holds an array of another library. `tables`: or an object of pandas."""
    try:
        leaves = jax.tree.leaves(trees)
    except (TypeError, ValueError):
        # A dict whose keys cannot be sorted: whoever flattens it next raises that error.
        return
    for leaf in leaves:
        library = _library(type(leaf))
        if library and (tables or library != "pandas"):
            name, how, *others = _CONVERT[library]
            what = f"an array of {name} ({type(leaf).__name__})"
            raise SpanaxError(f"{what}, to which no derivative of JAX leads: convert it, {how}", *others)
