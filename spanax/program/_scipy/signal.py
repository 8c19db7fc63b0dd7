"""`scipy.signal` and `scipy.fft`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.fft as jsf
import jax.scipy.signal as jss
import numpy as np

from .._session import unliftable
from .._values.trees import has_unknown
from .._values.values import as_jax, raw, wrap
from .given import refuse_options
from .linalg import inexact


def lfilter(b: Any, a: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """The direct form II, transposed."""
    numerator, denominator, data = inexact(b), inexact(a), inexact(x)
    dtype = jnp.result_type(numerator, denominator, data)
    order = max(numerator.size, denominator.size)
    first = denominator.reshape(-1)[0]
    widened = [
        jnp.zeros(order, dtype).at[: v.size].set(v.reshape(-1).astype(dtype) / first) for v in (numerator, denominator)
    ]
    rows = jnp.moveaxis(data.astype(dtype), axis, 0)
    state = jnp.zeros((order - 1, *rows.shape[1:]), dtype)
    if zi is not None:
        state = jnp.broadcast_to(jnp.moveaxis(inexact(zi).astype(dtype), axis, 0), state.shape)
    shape = (order - 1, *[1] * (rows.ndim - 1))
    forward, back = (v[1:].reshape(shape) for v in widened)

    def step(z: jax.Array, u: jax.Array) -> tuple:
        y = widened[0][0] * u + (z[0] if order > 1 else 0)
        shifted = jnp.concatenate([z[1:], jnp.zeros_like(z[:1])])
        return shifted + forward * u - back * y, y

    final, out = jax.lax.scan(step, state, rows)
    filtered = wrap(jnp.moveaxis(out, 0, axis))
    return filtered if zi is None else (filtered, wrap(jnp.moveaxis(final, 0, axis)))


def _convolve(name: str) -> Callable:
    def run(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
        return wrap(getattr(jss, name)(as_jax(in1), as_jax(in2), mode, precision="highest"))

    return run


def _convolved_2d(name: str) -> Callable:
    def run(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0) -> Any:
        if boundary != "fill" or has_unknown(fillvalue) or raw(fillvalue) != 0:
            raise unliftable(f"scipy.signal.{name}(boundary=..., fillvalue=...) is not lifted", "np.pad before")
        return wrap(getattr(jss, name)(as_jax(in1), as_jax(in2), mode, precision="highest"))

    return run


def _fftconvolve(in1: Any, in2: Any, mode: Any = "full", axes: Any = None) -> Any:
    refuse_options("scipy.signal.fftconvolve", axes=axes)
    return wrap(jss.fftconvolve(inexact(in1), inexact(in2), mode))


def _detrend(data: Any, axis: int = -1, type: str = "linear", bp: Any = 0, overwrite_data: Any = False) -> Any:
    if has_unknown(bp) or np.any(raw(bp) != 0):
        raise unliftable("scipy.signal.detrend(bp=...) is not lifted", "bp=0")
    x = inexact(data)
    if type in ("constant", "c"):
        return wrap(x - jnp.mean(x, axis=axis, keepdims=True))
    rows = jnp.moveaxis(x, axis, 0)
    t = jnp.linspace(-1, 1, rows.shape[0], dtype=x.dtype).reshape(-1, *[1] * (rows.ndim - 1))
    slope = jnp.sum(t * rows, axis=0) / jnp.sum(t * t)
    return wrap(jnp.moveaxis(rows - jnp.mean(rows, axis=0) - slope * t, 0, axis))


# -- transforms

_FFT = "fft ifft fft2 ifft2 fftn ifftn rfft irfft rfft2 irfft2 rfftn irfftn hfft ihfft".split()


def _transform(name: str, x: Any, s: Any = None, axes: Any = None, norm: Any = None, **options: Any) -> Any:
    options = {k: v for k, v in options.items() if k in ("n", "axis")}
    several = name.endswith(("2", "n"))
    default = (-2, -1) if name.endswith("2") else None
    given = (
        {"s": raw(s), "axes": raw(axes) if axes is not None else default} if several else {"n": raw(s), "axis": axes}
    )
    given = {**given, **{k: raw(v) for k, v in options.items()}}
    if not several and given["axis"] is None:
        given["axis"] = -1
    return wrap(getattr(jnp.fft, name)(as_jax(x), norm=norm, **given))


def _cosine(name: str) -> Callable:
    def run(x: Any, type: int = 2, n: Any = None, axis: int = -1, norm: Any = None, *args: Any, **kwargs: Any) -> Any:
        if type != 2:
            raise unliftable(f"scipy.fft.{name}(type={type}) is not lifted", "type=2")
        return wrap(getattr(jsf, name)(inexact(x), type=2, n=n, axis=axis, norm=norm))

    return run


def _shift(name: str) -> Callable:
    return lambda x, axes=None: wrap(getattr(jnp.fft, name)(as_jax(x), axes))


RULES: dict[str, Callable] = {
    "signal.lfilter": lfilter,
    "signal.convolve": _convolve("convolve"),
    "signal.correlate": _convolve("correlate"),
    "signal.convolve2d": _convolved_2d("convolve2d"),
    "signal.correlate2d": _convolved_2d("correlate2d"),
    "signal.fftconvolve": _fftconvolve,
    "signal.detrend": _detrend,
    **{f"fft.{name}": functools.partial(_transform, name) for name in _FFT},
    "fft.dct": _cosine("dct"),
    "fft.idct": _cosine("idct"),
    "fft.fftshift": _shift("fftshift"),
    "fft.ifftshift": _shift("ifftshift"),
}
