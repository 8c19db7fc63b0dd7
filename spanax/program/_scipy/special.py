"""`scipy.special`: by JAX where its functions are SciPy's, by SciPy on the host elsewhere, each with a known derivative."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as jss
import numpy as np

from .._session import unliftable
from .._values.trees import has_unknown
from .._values.values import as_jax, is_unknown, raw, wrap
from . import formulas as formulas  # fills TABLE
from .given import real
from .host import TABLE, no_formula, on_host

# By the name of the ufunc: JAX's function. Its betaln is right to 1e-7 only.
_BY_JAX: dict[str, Callable] = {
    **{
        name: getattr(jss, name)
        for name in (
            "erf erfc erfinv expit logit gammaln gamma gammainc gammaincc entr xlogy xlog1py rel_entr kl_div "
            "i0 i0e i1 i1e ndtr log_ndtr ndtri"
        ).split()
    },
    "psi": jss.digamma,
    **{name: getattr(jnp, name) for name in "exp2 expm1 log1p cbrt".split()},
}


def ufunc(function: np.ufunc, inputs: tuple) -> Callable | None:
    """What stands for a ufunc of scipy.special, of arrays; None where there is nothing. `inputs`: as the program has them."""
    name = function.__name__
    if getattr(importlib.import_module("scipy.special"), name, None) is not function:
        return None
    if name in _BY_JAX:
        return functools.partial(_by_jax, name)
    if name not in TABLE:
        return None
    for place, (slope, x) in enumerate(zip(TABLE[name].slopes, inputs, strict=True)):
        if slope in (None, no_formula) and is_unknown(x) and raw(x).dtype.kind == "f":
            raise unliftable(
                f"scipy.special.{name} by its argument {place + 1}, which depends on the arguments: there is no formula for"
                " the derivative",
                "a number that is known, or an integer",
                "sx.blackbox around it, with a bridge",
            )
    return functools.partial(_on_host, name)


def _by_jax(name: str, *args: jax.Array) -> jax.Array:
    _refuse_complex(name, args)
    return _BY_JAX[name](*args)


def _on_host(name: str, *args: jax.Array) -> Any:
    _refuse_complex(name, args)
    return on_host(name, *args)


def _refuse_complex(name: str, args: tuple) -> None:
    if any(jnp.issubdtype(x.dtype, jnp.complexfloating) for x in args):
        raise unliftable(f"scipy.special.{name} of complex numbers", "real numbers")


# -- functions that are not ufuncs


def _logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: Any = False, return_sign: Any = False) -> Any:
    given = None if b is None else as_jax(b)
    result = jss.logsumexp(real(a, "scipy.special.logsumexp"), axis, given, keepdims, return_sign)
    return tuple(map(wrap, result)) if return_sign else wrap(result)


def _softmax(x: Any, axis: Any = None) -> Any:
    return wrap(jss.softmax(real(x, "scipy.special.softmax"), axis=axis))


def _log_softmax(x: Any, axis: Any = None) -> Any:
    return wrap(jss.log_softmax(real(x, "scipy.special.log_softmax"), axis=axis))


def _polygamma(n: Any, x: Any) -> Any:
    if is_unknown(n):
        raise unliftable("scipy.special.polygamma of an order that depends on the arguments", "an order that is known")
    order, data = jnp.asarray(raw(n), float), real(x, "scipy.special.polygamma")
    if np.all(raw(n) == 0):
        return wrap(jss.digamma(data))
    sign = jnp.where(order % 2 == 0, -1.0, 1.0)
    return wrap((sign * jss.gamma(order + 1) * on_host("zeta", order + 1, data)).astype(data.dtype))


def _multigammaln(a: Any, d: int) -> Any:
    return wrap(jss.multigammaln(real(a, "scipy.special.multigammaln"), raw(d)))


def _zeta(x: Any, q: Any = None, out: Any = None) -> Any:
    if is_unknown(x):
        raise unliftable(
            "scipy.special.zeta by its first argument: there is no formula for the derivative", "sx.blackbox"
        )
    data = real(q, "scipy.special.zeta")
    return wrap(on_host("zeta", jnp.asarray(raw(x), data.dtype), data))


def _comb(N: Any, k: Any, *, exact: Any = False, repetition: Any = False) -> Any:
    if exact or repetition:
        raise unliftable("scipy.special.comb(exact=, repetition=) is not lifted", "the same without it")
    n, m = real(N, "scipy.special.comb"), real(k, "scipy.special.comb")
    inside = (m <= n) & (n >= 0) & (m >= 0)
    return wrap(jnp.where(inside, on_host("binom", jnp.where(inside, n, 1), jnp.where(inside, m, 1)), 0))


def _factorial(n: Any, exact: Any = False, extend: str = "zero") -> Any:
    if exact or extend != "zero":
        raise unliftable("scipy.special.factorial(exact=, extend=) is not lifted", "scipy.special.gamma(n + 1)")
    data = real(n, "scipy.special.factorial")
    return wrap(jnp.where(data < 0, 0, jss.gamma(jnp.where(data < 0, 0, data) + 1)))


def _lambertw(z: Any, k: Any = 0, tol: Any = 1e-8) -> Any:
    if has_unknown(k) or raw(k) != 0:
        raise unliftable("scipy.special.lambertw of another branch than k=0 is not lifted", "k=0")
    data = as_jax(z)
    return wrap(on_host("lambertw", data.astype(jnp.promote_types(data.dtype, jnp.complex64))))


RULES: dict[str, Callable] = {
    "special.logsumexp": _logsumexp,
    "special.softmax": _softmax,
    "special.log_softmax": _log_softmax,
    "special.polygamma": _polygamma,
    "special.multigammaln": _multigammaln,
    "special.zeta": _zeta,
    "special.comb": _comb,
    "special.factorial": _factorial,
    "special.lambertw": _lambertw,
}
LIFTED = frozenset(f"special.{name}" for name in ("jvp", "yvp", "kvp", "ivp"))
