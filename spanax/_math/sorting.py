"""Sorting the last axis, with the order: by NumPy on a CPU, where XLA's own sort is 20 to 90 times slower, by XLA elsewhere.

Float32 values are sorted together with their indices as 64-bit integers: a sort of integers in place is faster than an `argsort`.
The derivative is that of the permutation; its transpose applies the inverse permutation.
"""

from __future__ import annotations

import concurrent.futures
import functools
import os
import sys
from typing import NamedTuple

import jax.core
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.dtypes import float0
from jaxtyping import Array, Float, Int

from .._primitives import new_primitive, set_batching, set_host_lowering, set_jvp, set_linear


class Sorted(NamedTuple):
    """`values`: ascending, NaN last; `order`: their indices before, ascending for equal values; `places`: its inverse."""

    values: Float[Array, "*b n"]
    order: Int[Array, "*b n"]
    places: Int[Array, "*b n"]

    def to_original_order(self, x: Float[Array, "*b n"]) -> Float[Array, "*b n"]:
        """Numbers that belong to the sorted values, in the order of the entries before the sort."""
        return _permute_p.bind(x, self.places, self.order)[0]


def sorted_rows(x: Float[Array, "*b n"]) -> Sorted:
    return Sorted(*_sort_p.bind(x))


# -- by XLA


def _by_xla(x):
    # XLA's comparison takes all zeros as equal, and all NaNs.
    index = lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1)
    values, order = lax.sort((x, index), dimension=-1, is_stable=True, num_keys=1)
    return [values, order, lax.sort((order, index), dimension=-1, num_keys=1)[1]]


def _avals(x):
    index = jax.core.ShapedArray(x.shape, jnp.int32)
    return [x, index, index]


# -- by NumPy


def _on_host(x):
    # NumPy releases the interpreter while it sorts, so that threads sort in parallel: worth it for many numbers only.
    x = np.asarray(x)
    rows = x.reshape(-1, x.shape[-1]) if x.size else x.reshape(0, x.shape[-1])
    outs = np.empty_like(rows), np.empty(rows.shape, np.int32), np.empty(rows.shape, np.int32)
    cores = min(os.cpu_count() or 1, len(rows))
    if x.size < _WORTH_A_THREAD or cores == 1:
        _sort_rows(rows, *outs)
    else:
        list(_threads().map(_sort_rows, *(np.array_split(a, cores) for a in (rows, *outs))))
    return tuple(out.reshape(x.shape) for out in outs)


_WORTH_A_THREAD = 1 << 15


@functools.cache
def _threads():
    return concurrent.futures.ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="spanax-sort")


if hasattr(os, "register_at_fork"):
    # A forked process has none of its parent's threads: its first sort starts its own.
    os.register_at_fork(after_in_child=_threads.cache_clear)


def _sort_rows(rows, values, order, places):
    # A few short rows at a time, so that what belongs to them stays in the cache; long rows one by one.
    index = np.arange(rows.shape[-1], dtype=np.int32)
    one = _sort_double if rows.dtype == np.float64 else _sort_single
    together = max(1, _IN_CACHE // max(rows.shape[-1], 1))
    # A NaN among the rows is no reason for NumPy's warning.
    with np.errstate(invalid="ignore"):
        for start in range(0, len(rows), together):
            block = slice(start, start + together)
            values[block], at = one(rows[block], index)
            order[block] = at
            at += rows.shape[-1] * np.arange(len(at))[:, None]
            places[block].reshape(-1)[at] = index[None]


_IN_CACHE = 1 << 14
_SIGNS, _LOW = np.int32(0x7FFFFFFF), np.int64(0xFFFFFFFF)
_INDEX, _VALUE = (0, 1) if sys.byteorder == "little" else (1, 0)


def _sort_single(rows, index):
    """Values and indices as 64-bit integers: the value's bits, made monotone, above the index. Narrower floats as float32."""
    # The bits of a float ascend with its value, but for negative ones, whose bits other than the sign are flipped. Adding 0 makes
    # 0 of -0; every NaN becomes the largest integer.
    bits = (rows.astype(np.float32) + np.float32(0)).view(np.int32)
    if np.isnan(rows.min(initial=0)):
        bits[np.isnan(rows)] = _SIGNS
    packed = np.empty(rows.shape, np.int64)
    halves = packed.view(np.int32).reshape(*rows.shape, 2)
    halves[..., _VALUE] = bits ^ ((bits >> 31) & _SIGNS)
    halves[..., _INDEX] = index
    packed.sort(axis=-1)
    bits = halves[..., _VALUE]
    return (bits ^ ((bits >> 31) & _SIGNS)).view(np.float32), packed & _LOW


def _sort_double(rows, index):
    # The fast sort shuffles equal values; where there are some, or NaNs, the stable one sorts again.
    at = np.argsort(rows, axis=-1)
    values = np.take_along_axis(rows, at, -1)
    if np.any(values[..., 1:] == values[..., :-1]) or np.any(np.isnan(values[..., -1:])):
        at = np.argsort(rows, axis=-1, kind="stable")
        values = np.take_along_axis(rows, at, -1)
    return values, at


# -- rules


def _sort_batched(args, dims):
    return _sort_p.bind(jnp.moveaxis(args[0], dims[0], 0)), [0, 0, 0]


def _sort_jvp(primals, tangents):
    values, order, places = _sort_p.bind(*primals)
    none = np.zeros(order.shape, float0)
    return [values, order, places], [*_permute_p.bind(tangents[0], order, places), none, none]


def _permute_batched(args, dims):
    size = next(x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None)
    to_front = (
        jnp.broadcast_to(x, (size, *x.shape)) if d is None else jnp.moveaxis(x, d, 0)
        for x, d in zip(args, dims, strict=True)
    )
    return _permute_p.bind(*to_front), [0]


def _permute(x, order, _):
    return [jnp.take_along_axis(x, order, -1, mode="promise_in_bounds")]


_sort_p = new_primitive("spanax_sort", _by_xla, _avals)
set_host_lowering(_sort_p, _on_host)
set_batching(_sort_p, _sort_batched)
set_jvp(_sort_p, _sort_jvp)

# x, an order and its inverse: entries of x in that order. Knowing the inverse, the transpose is a gather; JAX's own would be a
# scatter, which is slower.
_permute_p = new_primitive("spanax_permute", _permute, lambda x, *_: [x])
set_batching(_permute_p, _permute_batched)
set_linear(_permute_p, lambda cotangents, order, places: _permute_p.bind(*cotangents, places, order))
