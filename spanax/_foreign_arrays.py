"""Arrays of other libraries are no arguments: JAX would take them for numbers of its own, and no derivative would lead back."""

from __future__ import annotations

import functools
from typing import Any

import jax

from ._errors import SpanaxError


@functools.lru_cache(maxsize=1024)
def _library(cls: type) -> str:
    """Which library's array, "" for none; by the names of classes and their modules, for nothing is imported."""
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


_CONVERT = {
    "torch": ("PyTorch", "x.detach().cpu().numpy()", "jax.dlpack.from_dlpack(x.detach().contiguous()), without a copy"),
    "tensorflow": ("TensorFlow", "x.numpy()"),
    "cupy": ("CuPy", "jax.dlpack.from_dlpack(x), without a copy", "cupy.asnumpy(x)"),
    "pandas": ("pandas", "x.to_numpy()"),
}


def refuse_foreign(*trees: Any, tables: bool = True) -> None:
    """Raises `SpanaxError` where one of the pytrees holds an array of another library. `tables`: or an object of pandas."""
    try:
        leaves = jax.tree.leaves(trees)
    except (TypeError, ValueError):  # a dict whose keys have no order: whoever flattens it next says so
        return
    for leaf in leaves:
        library = _library(type(leaf))
        if library and (tables or library != "pandas"):
            name, how, *others = _CONVERT[library]
            what = f"an array of {name} ({type(leaf).__name__})"
            raise SpanaxError(f"{what}, to which no derivative of JAX leads: convert it, {how}", *others)
