"""Polynomials: `np.roots`, `np.poly1d` and the like.

Coefficients start from the highest power, as in these older functions of NumPy. The degree has to be known while the program is
traced, so a leading coefficient that depends on the arguments must not be 0 when the program runs, which is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._session import line, session, unliftable
from .._values.trees import has_unknown, rewrap, unwrap
from .._values.values import SCALARS, Composite, LiftedArray, Number, as_jax, is_unknown, raw, wrap
from .creation import asarray
from .namesakes import call_namesake, namesake_of


@jax.custom_jvp
def _roots(c: jax.Array) -> jax.Array:
    """The roots of sum_k c[k] z^(n-k): the eigenvalues of the companion matrix, which NumPy uses as well.

    For a simple root the implicit function theorem gives the derivative dz = -dp(z) / p'(z). It is NaN where roots are so near to
    each other that rounding changes p'(z) by more than a thousandth.
    """
    n = len(c) - 1
    companion = jnp.eye(n, k=-1, dtype=c.dtype).at[0].set(-c[1:] / c[0])
    return jnp.linalg.eigvals(companion)


@_roots.defjvp
def _roots_derivative(primals, tangents):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # whenever it is differentiated
        return _root_slopes(*primals, *tangents)


def _root_slopes(c: jax.Array, dc: jax.Array) -> tuple[jax.Array, jax.Array]:
    z = _roots(c)
    c, dc = c.astype(z.dtype), dc.astype(z.dtype)
    # Rounding moves z by about eps |p|(|z|) / p'(z), where |p| has the absolute coefficients, and p'(z) by p''(z) times that.
    # `simple` is where this is less than a thousandth of p'(z).
    slope, bend = jnp.polyval(jnp.polyder(c), z), jnp.polyval(jnp.polyder(c, 2), z)
    rounding = len(c) * jnp.finfo(z.dtype).eps * jnp.polyval(jnp.abs(c), jnp.abs(z))
    simple = jnp.abs(bend) * rounding < 1e-3 * jnp.abs(slope) ** 2
    # NaN as a factor: chosen by `where` it would be a constant, which reverse mode differentiates to 0.
    change = jnp.where(simple, 1 / jnp.where(simple, slope, 1), jnp.nan)
    return z, -change * jnp.polyval(dc, z)


def roots(p: Any) -> Any:
    """`np.roots`, always complex, because whether all roots are real depends on the coefficients."""
    c = as_jax(_coefficients(p))
    c = c if jnp.issubdtype(c.dtype, jnp.inexact) else c.astype(float)
    if c.ndim > 1:
        raise ValueError("Input must be a rank-1 array.")
    if c.size < 2:
        return LiftedArray(jnp.zeros(0, c.dtype))
    _check_leading(c, "np.roots")
    # The root of a linear polynomial is real, and needs no eigenvalues.
    return LiftedArray(-c[1:] / c[0] if len(c) == 2 else _roots(c))


def _polyroots(c: Any) -> Any:
    """`np.polynomial.polynomial.polyroots`, whose coefficients start from the lowest power."""
    if not has_unknown(c):
        return rewrap(np.polynomial.polynomial.polyroots(unwrap(c)))
    # NumPy sorts these roots, by the real part first, as jnp.sort does.
    return wrap(jnp.sort(as_jax(roots(LiftedArray(as_jax(asarray(c))[::-1])))))


def _check_leading(c: jax.Array, what: str) -> None:
    session().check(
        c[0] == 0, f"{what} of a polynomial whose leading coefficient is 0: its degree depends on the arguments", line()
    )


def _coefficients(p: Any) -> Any:
    return p.coeffs if isinstance(p, (Poly1d, np.poly1d)) else np.atleast_1d(asarray(p))


def _poly(seq_of_zeros: Any) -> Any:
    """`np.poly`, which is real for a real matrix."""
    data = as_jax(asarray(seq_of_zeros))
    coefficients = jnp.poly(data)
    # The eigenvalues of a real matrix come in conjugate pairs, so imaginary parts are rounding errors; NumPy drops them, too.
    return wrap(coefficients.real if data.ndim == 2 and data.dtype.kind != "c" else coefficients)


def _polydiv(u: Any, v: Any) -> tuple:
    """`np.polydiv`. The remainder keeps leading zeros, because how many there are depends on values."""
    by = _coefficients(v)
    if not is_unknown(by) and not raw(by)[0]:
        raise unliftable("np.polydiv by a polynomial whose leading coefficient is 0", "its other coefficients")
    dividend, divisor = as_jax(_coefficients(u)), as_jax(by)
    _check_leading(divisor, "np.polydiv by")
    quotient, rest = jnp.polydiv(dividend, divisor)
    keep = max(len(divisor) - 1, 1)
    return wrap(quotient), wrap(rest[-keep:] if len(rest) > keep else rest)


def _of_coefficients(function: Callable, rule: Callable | None = None) -> Callable:
    """The rule for a function of polynomials, which returns a `poly1d` if it is given one."""

    def apply(*args: Any, **kwargs: Any) -> Any:
        inputs = [x.coeffs if isinstance(x, (Poly1d, np.poly1d)) else x for x in args]
        if not has_unknown((inputs, kwargs)):
            result = rewrap(function(*unwrap(inputs), **unwrap(kwargs)))
        elif rule is None:
            namesake = namesake_of(function)
            assert namesake is not None
            result = rewrap(call_namesake(namesake, tuple(inputs), kwargs))
        else:
            result = rule(*inputs, **kwargs)
        if not any(isinstance(x, (Poly1d, np.poly1d)) for x in args):
            return result
        return tuple(map(Poly1d, result)) if isinstance(result, tuple) else Poly1d(result)

    return apply


def _polyval(p: Any, x: Any) -> Any:
    """`np.polyval`; at a polynomial it is the composition."""
    if isinstance(x, (Poly1d, np.poly1d)):
        total = Poly1d(0)
        for c in _coefficients(p):
            total = total * x + c
        return total
    coefficients, at = _coefficients(p), asarray(x) if isinstance(x, (list, tuple)) else x
    # Horner's rule by the program's operators, as in NumPy: x may be a matrix, a selection or an object.
    total = at * 0
    for c in coefficients:
        total = total * at + c
    return total


POLYNOMIALS: dict[Any, Callable] = {
    np.poly1d: lambda *args, **kwargs: Poly1d(*args, **kwargs),
    np.polyval: _polyval,
    np.polyadd: _of_coefficients(np.polyadd),
    np.polysub: _of_coefficients(np.polysub),
    np.polymul: _of_coefficients(np.polymul),
    np.polyder: _of_coefficients(np.polyder),
    np.polyint: _of_coefficients(np.polyint),
    np.polydiv: _of_coefficients(np.polydiv, _polydiv),
    np.roots: lambda p: roots(p) if has_unknown(p) else rewrap(np.roots(raw(_coefficients(p)))),
    np.polynomial.polynomial.polyroots: _polyroots,
    np.poly: lambda z: _poly(z) if has_unknown(z) else rewrap(np.poly(unwrap(z))),
}


class Poly1d(Composite):
    """`np.poly1d` of coefficients that may depend on the arguments. Leading zeros are dropped only if they are known."""

    kind = np.poly1d
    # So that `array * p` calls `__rmul__`, instead of multiplying element by element.
    __array_ufunc__ = None

    def __init__(self, c_or_r: Any, r: bool = False, variable: str | None = None):
        if isinstance(c_or_r, (Poly1d, np.poly1d)):
            self.coeffs, self.variable = asarray(c_or_r.coeffs), variable or c_or_r.variable
            return
        coefficients = np.atleast_1d(asarray(POLYNOMIALS[np.poly](c_or_r) if r else c_or_r))
        if coefficients.ndim > 1:
            raise ValueError("Polynomial must be 1d only.")
        # NumPy's constructor drops leading zeros.
        if not is_unknown(coefficients):
            coefficients = asarray(np.poly1d(raw(coefficients)).coeffs)
        self.coeffs, self.variable = coefficients, variable or "x"

    def refusal(self) -> Exception:
        return unliftable(
            "a poly1d whose coefficients depend on the arguments, used in this way", "its coefficients: p.coeffs"
        )

    def __call__(self, val: Any) -> Any:
        return session().rules.function(np.polyval, (self, val), {})

    @property
    def order(self) -> int:
        if is_unknown(self.coeffs):
            _check_leading(as_jax(self.coeffs), "the order")
        return len(self.coeffs) - 1

    @property
    def roots(self) -> Any:
        return session().rules.function(np.roots, (self.coeffs,), {})

    c = coef = coefficients = property(lambda self: self.coeffs)
    o, r = order, roots

    def deriv(self, m: int = 1) -> Poly1d:
        return session().rules.function(np.polyder, (self, m), {})

    def integ(self, m: int = 1, k: Any = 0) -> Poly1d:
        return session().rules.function(np.polyint, (self, m, k), {})

    def _with(self, function: Callable, other: Any, swapped: bool = False) -> Any:
        pair = (other, self) if swapped else (self, other)
        return session().rules.function(function, tuple(x if isinstance(x, Poly1d) else Poly1d(x) for x in pair), {})

    def _behind(self, ufunc: np.ufunc, function: Callable, other: Any) -> Any:
        """`other op self`. As in NumPy, the result is an array if `other` is a NumPy scalar or array."""
        if isinstance(other, (np.generic, LiftedArray)) or (isinstance(other, Number) and other.python is None):
            return ufunc(other, self.coeffs)
        return self._with(function, other, True)

    def __add__(self, other: Any) -> Any:
        return self._with(np.polyadd, other)

    def __radd__(self, other: Any) -> Any:
        return self._behind(np.add, np.polyadd, other)

    def __sub__(self, other: Any) -> Any:
        return self._with(np.polysub, other)

    def __rsub__(self, other: Any) -> Any:
        return self._behind(np.subtract, np.polysub, other)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, (Number, *SCALARS)):
            return Poly1d(self.coeffs * other, variable=self.variable)
        return self._with(np.polymul, other)

    def __rmul__(self, other: Any) -> Any:
        return self._behind(np.multiply, np.polymul, other)

    def __truediv__(self, other: Any) -> Any:
        if isinstance(other, (Number, *SCALARS)):
            return Poly1d(self.coeffs / other, variable=self.variable)
        return self._with(np.polydiv, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._behind(np.true_divide, np.polydiv, other)

    def __neg__(self) -> Poly1d:
        return Poly1d(-self.coeffs, variable=self.variable)

    def __pos__(self) -> Poly1d:
        return self

    def __pow__(self, val: int) -> Poly1d:
        power = val.__index__()
        if power < 0:
            raise ValueError("Power to non-negative integers only.")
        total = Poly1d(1.0)
        for _ in range(power):
            total = total * self
        return total

    def __getitem__(self, power: int) -> Any:
        """The coefficient of a power."""
        place = len(self.coeffs) - 1 - power.__index__()
        return self.coeffs[place] if 0 <= place < len(self.coeffs) else 0

    def __iter__(self) -> Iterator:
        return iter(self.coeffs)

    def __len__(self) -> int:
        return self.order

    def __eq__(self, other: Any) -> Any:
        raise self.refusal()

    __ne__ = __eq__
    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise self.refusal()

    def __str__(self) -> str:
        raise self.refusal()
