"""Derivatives of SciPy's special functions, in terms of others (Abramowitz and Stegun; DLMF)."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as jss

from .host import TABLE, Derivatives, no_formula, on_host

_ROOT_PI = math.sqrt(math.pi)
_DEGREE = math.pi / 180


class _Special:
    """`S.jv(v, x)`: on the host."""

    def __getattr__(self, name: str) -> Any:
        return functools.partial(on_host, name)


S = _Special()
psi = jss.digamma


def _gamma_density(a: Any, x: Any) -> Any:
    """Of the gamma distribution: the derivative of gammainc by x."""
    return jnp.exp((a - 1) * jnp.log(x) - x - jss.gammaln(a))


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    return jnp.exp((a - 1) * jnp.log(x) + (b - 1) * jnp.log1p(-x) - S.betaln(a, b))


def _t_density(df: Any, t: Any) -> Any:
    scale = jss.gammaln((df + 1) / 2) - jss.gammaln(df / 2) - jnp.log(df * math.pi) / 2
    return jnp.exp(scale - (df + 1) / 2 * jnp.log1p(t * t / df))


def _f_density(n: Any, d: Any, x: Any) -> Any:
    return _beta_density(n / 2, d / 2, n * x / (n * x + d)) * n * d / (n * x + d) ** 2


def _quantile_by_a(x: Any, a: Any) -> Any:
    """Of the gamma distribution: by its shape."""
    return -jax.lax.igamma_grad_a(a, x) / _gamma_density(a, x)


def _lower(n: Any, value: Any) -> Any:
    """Of a polynomial of degree n: 0 for a constant."""
    return jnp.where(n > 0, value, 0)


def _legendre_d(m: Any) -> Any:
    """(K - E) / m, Legendre's D(m), which is regular at 0."""
    return S.elliprd(jnp.zeros_like(m), 1 - m, jnp.ones_like(m)) / 3


def _struve_rest(v: Any, x: Any) -> Any:
    return (x / 2) ** v / (_ROOT_PI * jnp.exp(jss.gammaln(v + 1.5)))


def _root(phi: Any, m: Any) -> Any:
    return jnp.sqrt(1 - m * jnp.sin(phi) ** 2)


def _relative(x: Any) -> Any:
    """(exp(x) - exprel(x)) / x."""
    small = jnp.abs(x) < 1e-4
    safe = jnp.where(small, 1, x)
    return jnp.where(small, 0.5 + x / 3 + x * x / 8, (jnp.exp(safe) - jnp.expm1(safe) / safe) / safe)


def _known(x: Any) -> Any:
    return jnp.asarray(x, jnp.result_type(float))


_D = Derivatives
TABLE.update(
    j0=_D(lambda x: -S.j1(x)),
    j1=_D(lambda x: (S.j0(x) - S.jv(2.0, x)) / 2),
    jv=_D(None, lambda v, x: (S.jv(v - 1, x) - S.jv(v + 1, x)) / 2),
    jve=_D(None, lambda v, x: (S.jve(v - 1, x) - S.jve(v + 1, x)) / 2),
    y0=_D(lambda x: -S.y1(x)),
    y1=_D(lambda x: (S.y0(x) - S.yv(2.0, x)) / 2),
    yn=_D(None, lambda n, x: (S.yv(n - 1.0, x) - S.yv(n + 1.0, x)) / 2),
    yv=_D(None, lambda v, x: (S.yv(v - 1, x) - S.yv(v + 1, x)) / 2),
    yve=_D(None, lambda v, x: (S.yve(v - 1, x) - S.yve(v + 1, x)) / 2),
    iv=_D(None, lambda v, x: (S.iv(v - 1, x) + S.iv(v + 1, x)) / 2),
    ive=_D(None, lambda v, x: (S.ive(v - 1, x) + S.ive(v + 1, x)) / 2 - jnp.sign(x) * S.ive(v, x)),
    k0=_D(lambda x: -S.k1(x)),
    k1=_D(lambda x: -S.k0(x) - S.k1(x) / x),
    k0e=_D(lambda x: S.k0e(x) - S.k1e(x)),
    k1e=_D(lambda x: S.k1e(x) - S.k0e(x) - S.k1e(x) / x),
    kn=_D(None, lambda n, x: -(S.kv(n - 1.0, x) + S.kv(n + 1.0, x)) / 2),
    kv=_D(None, lambda v, x: -(S.kv(v - 1, x) + S.kv(v + 1, x)) / 2),
    kve=_D(None, lambda v, x: S.kve(v, x) - (S.kve(v - 1, x) + S.kve(v + 1, x)) / 2),
    struve=_D(None, lambda v, x: (S.struve(v - 1, x) - S.struve(v + 1, x) + _struve_rest(v, x)) / 2),
    modstruve=_D(None, lambda v, x: (S.modstruve(v - 1, x) + S.modstruve(v + 1, x) + _struve_rest(v, x)) / 2),
    ber=_D(lambda x: S.berp(x)),
    bei=_D(lambda x: S.beip(x)),
    ker=_D(lambda x: S.kerp(x)),
    kei=_D(lambda x: S.keip(x)),
    **{name: _D(no_formula) for name in ("berp", "beip", "kerp", "keip")},
    airy=_D(lambda x: (lambda a, b, c, d: (b, x * a, d, x * c))(*S.airy(x)), outputs=4),
    itj0y0=_D(lambda x: (S.j0(x), S.y0(x)), outputs=2),
    iti0k0=_D(lambda x: (jss.i0(x), S.k0(x)), outputs=2),
    erfcx=_D(lambda x: 2 * x * S.erfcx(x) - 2 / _ROOT_PI),
    erfi=_D(lambda x: 2 / _ROOT_PI * jnp.exp(x * x)),
    erfcinv=_D(lambda y: -_ROOT_PI / 2 * jnp.exp(S.erfcinv(y) ** 2)),
    dawsn=_D(lambda x: 1 - 2 * x * S.dawsn(x)),
    exp1=_D(lambda x: -jnp.exp(-x) / x),
    expi=_D(lambda x: jnp.exp(x) / x),
    expn=_D(None, lambda n, x: -S.expn(n - 1, x)),
    exprel=_D(lambda x: _relative(x)),
    exp10=_D(lambda x: math.log(10) * S.exp10(x)),
    cosm1=_D(lambda x: -jnp.sin(x)),
    log_expit=_D(lambda x: jss.expit(-x)),
    ndtri_exp=_D(lambda y: jnp.exp(y + S.ndtri_exp(y) ** 2 / 2) * math.sqrt(2 * math.pi)),
    sindg=_D(lambda x: _DEGREE * S.cosdg(x)),
    cosdg=_D(lambda x: -_DEGREE * S.sindg(x)),
    tandg=_D(lambda x: _DEGREE * (1 + S.tandg(x) ** 2)),
    cotdg=_D(lambda x: -_DEGREE * (1 + S.cotdg(x) ** 2)),
    sici=_D(lambda x: (jnp.sinc(x / math.pi), jnp.cos(x) / x), outputs=2),
    shichi=_D(lambda x: (jnp.sinh(x) / x, jnp.cosh(x) / x), outputs=2),
    fresnel=_D(lambda x: (jnp.sin(math.pi / 2 * x * x), jnp.cos(math.pi / 2 * x * x)), outputs=2),
    huber=_D(
        lambda d, r: jnp.where(jnp.abs(r) > d, jnp.abs(r) - d, 0),
        lambda d, r: jnp.clip(r, -d, d),
    ),
    pseudo_huber=_D(
        lambda d, r: (lambda s: 2 * d * (s - 1) - r * r / (d * s))(jnp.sqrt(1 + (r / d) ** 2)),
        lambda d, r: r / jnp.sqrt(1 + (r / d) ** 2),
    ),
    powm1=_D(lambda x, y: y * x ** (y - 1), lambda x, y: x**y * jnp.log(x)),
    binom=_D(
        lambda n, k: S.binom(n, k) * (psi(n + 1) - psi(n - k + 1)),
        lambda n, k: S.binom(n, k) * (psi(n - k + 1) - psi(k + 1)),
    ),
    poch=_D(lambda a, m: S.poch(a, m) * (psi(a + m) - psi(a)), lambda a, m: S.poch(a, m) * psi(a + m)),
    rgamma=_D(lambda x: -S.rgamma(x) * psi(x)),
    gammaincinv=_D(
        lambda a, y: _quantile_by_a(S.gammaincinv(a, y), a), lambda a, y: 1 / _gamma_density(a, S.gammaincinv(a, y))
    ),
    gammainccinv=_D(
        lambda a, y: _quantile_by_a(S.gammainccinv(a, y), a), lambda a, y: -1 / _gamma_density(a, S.gammainccinv(a, y))
    ),
    betaln=_D(lambda a, b: psi(a) - psi(a + b), lambda a, b: psi(b) - psi(a + b)),
    beta=_D(lambda a, b: S.beta(a, b) * (psi(a) - psi(a + b)), lambda a, b: S.beta(a, b) * (psi(b) - psi(a + b))),
    betainc=_D(None, None, lambda a, b, x: _beta_density(a, b, x)),
    betaincc=_D(None, None, lambda a, b, x: -_beta_density(a, b, x)),
    betaincinv=_D(None, None, lambda a, b, y: 1 / _beta_density(a, b, S.betaincinv(a, b, y))),
    betainccinv=_D(None, None, lambda a, b, y: -1 / _beta_density(a, b, S.betainccinv(a, b, y))),
    chdtr=_D(lambda v, x: jax.lax.igamma_grad_a(v / 2, x / 2) / 2, lambda v, x: _gamma_density(v / 2, x / 2) / 2),
    chdtrc=_D(lambda v, x: -jax.lax.igamma_grad_a(v / 2, x / 2) / 2, lambda v, x: -_gamma_density(v / 2, x / 2) / 2),
    chdtri=_D(
        lambda v, p: _quantile_by_a(S.gammainccinv(v / 2, p), v / 2),
        lambda v, p: -2 / _gamma_density(v / 2, S.gammainccinv(v / 2, p)),
    ),
    gdtr=_D(
        lambda a, b, x: x * _gamma_density(b, a * x),
        lambda a, b, x: jax.lax.igamma_grad_a(b, a * x),
        lambda a, b, x: a * _gamma_density(b, a * x),
    ),
    gdtrc=_D(
        lambda a, b, x: -x * _gamma_density(b, a * x),
        lambda a, b, x: -jax.lax.igamma_grad_a(b, a * x),
        lambda a, b, x: -a * _gamma_density(b, a * x),
    ),
    pdtr=_D(None, lambda k, m: -_gamma_density(jnp.floor(k) + 1, m)),
    pdtrc=_D(None, lambda k, m: _gamma_density(jnp.floor(k) + 1, m)),
    stdtr=_D(None, lambda df, t: _t_density(df, t)),
    stdtrit=_D(None, lambda df, p: 1 / _t_density(df, S.stdtrit(df, p))),
    fdtr=_D(None, None, lambda n, d, x: _f_density(n, d, x)),
    fdtrc=_D(None, None, lambda n, d, x: -_f_density(n, d, x)),
    fdtri=_D(None, None, lambda n, d, p: 1 / _f_density(n, d, S.fdtri(n, d, p))),
    ellipk=_D(lambda m: (S.ellipk(m) - _legendre_d(m)) / (2 * (1 - m))),
    ellipkm1=_D(lambda p: -(S.ellipkm1(p) - _legendre_d(1 - p)) / (2 * p)),
    ellipe=_D(lambda m: -_legendre_d(m) / 2),
    elliprd=_D(no_formula, no_formula, no_formula),
    ellipkinc=_D(lambda phi, m: 1 / _root(phi, m), None),
    ellipeinc=_D(lambda phi, m: _root(phi, m), None),
    ellipj=_D(
        lambda u, m: (lambda sn, cn, dn, _: (cn * dn, -sn * dn, -m * sn * cn, dn))(*S.ellipj(u, m)), None, outputs=4
    ),
    eval_legendre=_D(None, lambda n, x: _lower(n, (n + 1) / 2 * S.eval_jacobi(n - 1, _known(1), _known(1), x))),
    eval_chebyt=_D(None, lambda n, x: _lower(n, n * S.eval_chebyu(n - 1, x))),
    eval_chebyu=_D(None, lambda n, x: _lower(n, 2 * S.eval_gegenbauer(n - 1, _known(2), x))),
    eval_hermite=_D(None, lambda n, x: _lower(n, 2 * n * S.eval_hermite(jnp.maximum(n - 1, 0), x))),
    eval_hermitenorm=_D(None, lambda n, x: _lower(n, n * S.eval_hermitenorm(jnp.maximum(n - 1, 0), x))),
    eval_laguerre=_D(None, lambda n, x: _lower(n, -S.eval_genlaguerre(n - 1, _known(1), x))),
    eval_genlaguerre=_D(None, None, lambda n, a, x: _lower(n, -S.eval_genlaguerre(n - 1, a + 1, x))),
    eval_gegenbauer=_D(None, None, lambda n, a, x: _lower(n, 2 * a * S.eval_gegenbauer(n - 1, a + 1, x))),
    eval_jacobi=_D(
        None,
        None,
        None,
        lambda n, a, b, x: _lower(n, (n + a + b + 1) / 2 * S.eval_jacobi(n - 1, a + 1, b + 1, x)),
    ),
    hyp0f1=_D(None, lambda v, z: S.hyp0f1(v + 1, z) / v),
    hyp1f1=_D(None, None, lambda a, b, z: a / b * S.hyp1f1(a + 1, b + 1, z)),
    hyp2f1=_D(None, None, None, lambda a, b, c, z: a * b / c * S.hyp2f1(a + 1, b + 1, c + 1, z)),
    hyperu=_D(None, None, lambda a, b, x: -a * S.hyperu(a + 1, b + 1, x)),
    owens_t=_D(
        lambda h, a: -jnp.exp(-h * h / 2) * jss.erf(a * h / math.sqrt(2)) / (2 * math.sqrt(2 * math.pi)),
        lambda h, a: jnp.exp(-h * h * (1 + a * a) / 2) / (2 * math.pi * (1 + a * a)),
    ),
    spence=_D(lambda z: jnp.where(z == 1, -1.0, jnp.log(z) / jnp.where(z == 1, 1, 1 - z))),
    wrightomega=_D(lambda z: (lambda w: w / (1 + w))(S.wrightomega(z))),
    zeta=_D(None, lambda x, q: -x * S.zeta(x + 1, q)),
    radian=_D(
        lambda d, m, s: jnp.full_like(d, _DEGREE),
        lambda d, m, s: jnp.full_like(d, _DEGREE / 60),
        lambda d, m, s: jnp.full_like(d, _DEGREE / 3600),
    ),
    lambertw=_D(lambda z: (lambda w: jnp.exp(-w) / (1 + w))(S.lambertw(z))),
)
