"""Checks of arguments, each with the error that a user sees."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._errors import SpanaxError


def check_key(key: Any, *, where: str | None = None) -> None:
    """Raises `SpanaxError` unless `key` is one PRNG key, of the new or the raw kind."""
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if not ((typed and shape == ()) or (dtype == jnp.uint32 and shape is not None and len(shape) == 1)):
        got = f"{dtype}{list(shape)}" if shape is not None else repr(key)
        raise SpanaxError(
            f"one PRNG key is needed, not {got}", "jax.random.key(0)", "jax.vmap over an array of keys", where=where
        )


def is_key_array(keys: Any) -> bool:
    """Is it an array of keys with one axis, of the new or the raw kind?"""
    dtype, shape = getattr(keys, "dtype", None), np.shape(keys)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    return (typed and len(shape) == 1) or (dtype == jnp.uint32 and len(shape) == 2)


def is_whole(x: Any, least: int) -> bool:
    """Is it an integer of Python, `least` or more?"""
    # bool is a subclass of int, and `samples=True` is a mistake.
    return isinstance(x, int) and not isinstance(x, bool) and x >= least


def is_number(x: Any) -> bool:
    """Is it a finite integer or float of Python?"""
    return isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)


def as_called(name: str, x: Any) -> str:
    """The call as the user wrote it: "processes(n" and 0 give "processes(n=0)"."""
    return f"{name}={x!r}" + ")" * name.count("(")


def check_whole(name: str, x: Any, least: int = 1, *remedies: str, where: str | None = None) -> None:
    """Raises `SpanaxError` unless `x` is an integer, `least` or more. `name` as in "processes(n", with what was called."""
    if not is_whole(x, least):
        raise SpanaxError(as_called(name, x), *(remedies or (f"an integer, {least} or more",)), where=where)


def check_positive(name: str, x: Any, *remedies: str, where: str | None = None) -> None:
    """Raises `SpanaxError` unless `x` is a finite number of Python above 0. `name` as for `check_whole`."""
    if not (is_number(x) and x > 0):
        raise SpanaxError(as_called(name, x), *(remedies or ("a positive number",)), where=where)
