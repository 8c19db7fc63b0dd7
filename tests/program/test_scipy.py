"""SciPy in lifted programs: values against SciPy, gradients against extrapolated central differences, errors with their lines."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.interpolate
import scipy.linalg
import scipy.optimize
import scipy.special
import scipy.stats

import spanax as sx

from .lines import place
from .scipy_programs import PROGRAMS


def slope(f, args, i, h=1e-3):
    """By central differences at h and h/2, extrapolated."""

    def at(h):
        return [f(*(a + s * h * (j == i) for j, a in enumerate(args))) for s in (1, -1)]

    wide, narrow = ((up - down) / step for (up, down), step in ((at(h), 2 * h), (at(h / 2), h)))
    return (4 * narrow - wide) / 3


def agrees(f, *args, reference=None, value=1e-9, gradient=1e-6, h=1e-3):
    got, found = sx.value_and_gradient(f, *args, argnums=tuple(range(len(args))))
    np.testing.assert_allclose(got, f(*args), rtol=value, atol=value)
    expected = [slope(reference or f, args, i, h) for i in range(len(args))]
    np.testing.assert_allclose(found, expected, rtol=gradient, atol=gradient)


@pytest.mark.few(1)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_programs(program):
    """odeint's own tolerance bounds how well it can agree with SciPy, whose method is another."""
    loose = program.__name__ == "exposure"
    agrees(program, *PROGRAMS[program], value=1e-6 if loose else 1e-8, gradient=1e-5 if loose else 1e-6)


# -- roots


def roots(e, M):
    """All solvers of one equation, with closures, `args` and derivatives."""
    f = lambda E, e: E - e * np.sin(E) - M
    by = lambda E, e: 1 - e * np.cos(E)
    bend = lambda E, e: e * np.sin(E)
    so = scipy.optimize
    total = sum(solve(f, -9.0, 10.0, args=(e,)) for solve in (so.brentq, so.brenth, so.ridder))
    total += so.newton(f, M, args=(e,)) * so.newton(f, M, by, (e,)) + so.newton(f, M, by, (e,), fprime2=bend)
    both = lambda E, e: (f(E, e), by(E, e))
    total += so.root_scalar(both, (e,), x0=M, fprime=True).root * so.root_scalar(f, (e,), bracket=[-4, 4]).root
    return total + so.newton(lambda E: E - e * np.sin(E) - np.array([M, 2 * M]), np.array([M, M])).sum()


def test_roots():
    agrees(roots, 0.3, 1.1)


def kepler(e, M):
    return scipy.optimize.brentq(lambda E: E - e * np.sin(E) - M, -10.0, 10.0)


@pytest.mark.slow
def test_roots_under_transformations():
    lifted = sx.lift(kepler)
    with jax.enable_x64(True):
        e, M = jnp.array([0.2, 0.3]), jnp.array([0.7, 1.1])
        batch = jax.jit(jax.vmap(jax.grad(lifted)))(e, M)
        np.testing.assert_allclose(batch, [slope(kepler, (a, b), 0) for a, b in zip(e, M, strict=True)], rtol=1e-7)
        second = jax.hessian(lifted)(0.3, 1.1)
        np.testing.assert_allclose(second, slope(lambda e, M: sx.gradient(kepler, e, M)[0], (0.3, 1.1), 0), rtol=1e-6)
        np.testing.assert_allclose(jax.jacfwd(lifted)(0.3, 1.1), jax.grad(lifted)(0.3, 1.1), rtol=1e-12)
    assert lifted(jnp.float32(0.3), jnp.float32(1.1)).dtype == jnp.float32
    np.testing.assert_allclose(lifted(jnp.float32(0.3), jnp.float32(1.1)), kepler(0.3, 1.1), rtol=1e-6)


def no_sign_change(a):
    return scipy.optimize.brentq(lambda t: t * t + a, -1.0, 2.0)


def triple(a):
    return scipy.optimize.ridder(lambda t: (t - a) ** 3, -1.0, 2.0)


def pole(a):
    return scipy.optimize.brentq(lambda t: 1 / (t - a), -1.0, 2.0)


def jump(a):
    return scipy.optimize.brentq(lambda t: -1.0 if t < a else 1.0, -1.0, 2.0)


def touching(a):
    return scipy.optimize.newton(lambda t: (t - a) ** 2, 2.0)


def no_root(a):
    return scipy.optimize.newton(lambda t: t**2 + a, 2.0)


def no_solution(a):
    return scipy.optimize.fsolve(lambda x: x**2 + a, 1.0)[0]


def singular_system(a):
    return scipy.optimize.fsolve(lambda x: [x[0] + x[1] - a, 2 * x[0] + 2 * x[1] - 2 * a], [1.0, 2.0])[0]


def writing(a):
    seen = []
    return scipy.optimize.brentq(lambda t: seen.append(t) or t - a, 0.0, 2.0)


def moving_jump(a):
    return scipy.integrate.quad(lambda x: 1.0 if x < a else 0.0, 0.0, 1.0)[0]


def divergent(a):
    return scipy.integrate.quad(lambda x: a / x, 0.0, 1.0)[0]


def dense(a):
    return scipy.integrate.solve_ivp(lambda t, y: -a * y, (0, 1), [1.0], dense_output=True).sol(0.5)[0]


def all_steps(a):
    return np.sum(scipy.integrate.solve_ivp(lambda t, y: -a * y, (0, 1), [1.0]).y[0])


def blows_up(a):
    return scipy.integrate.solve_ivp(lambda t, y: a * y**2, (0, 3), [1.0]).y[0, -1]


def indefinite(a):
    return scipy.linalg.cholesky(np.array([[a, 2.0], [2.0, 1.0]]))[0, 0]


def order(a):
    return scipy.special.jv(a, 0.5)


def compiled(a):
    return scipy.special.mathieu_a(1, a)


def sampled(a):
    return scipy.stats.norm.rvs(loc=a)


def beyond(a):
    return scipy.interpolate.interp1d([0.0, 1.0], [1.0, 2.0])(3 * a)


def unknown_places(a):
    return scipy.interpolate.CubicSpline(np.arange(4.0) * a, np.ones(4))(0.5)


def option(a):
    return scipy.linalg.qr(np.array([[a, 2.0], [2.0, 1.0]]), pivoting=True)[1][0, 0]


def foreign(a):
    return scipy.linalg.solve(np.array([[a, 2.0], [2.0, 1.0]]), np.ones(3))[0]


REFUSED = {
    no_sign_change: "different signs",
    triple: "not a simple one",
    pole: "not 0 where it changes",
    jump: "not 0 where it changes",
    touching: "not a simple one",
    no_root: "failed to converge",
    no_solution: "failed to converge",
    singular_system: "singular|failed to converge",
    writing: "writes to what was made outside",
    moving_jump: "jumps inside",
    divergent: "did not reach its tolerance",
    dense: "dense_output",
    all_steps: "how many steps",
    blows_up: "as small as rounding",
    indefinite: "not positive definite",
    order: "jv by its argument 1",
    compiled: "mathieu_a has no counterpart",
    sampled: r"norm\.rvs is not lifted",
    beyond: "outside of its range",
    unknown_places: "at places that depend",
    option: "pivoting",
    foreign: "solve in this form is not lifted",
}


@pytest.mark.few(8)
@pytest.mark.parametrize("program", REFUSED, ids=lambda f: f.__name__)
def test_what_is_refused(program):
    with pytest.raises(sx.SpanaxError, match=REFUSED[program]) as caught:
        sx.gradient(program, 0.7)
    assert place(program, "scipy.") in caught.value.where and caught.value.remedies


def test_what_is_known_stays_known():
    def program(a):
        n = int(3 * scipy.optimize.brentq(lambda t: t**3 - 2.0, 0.0, 3.0))
        return a * np.zeros(n).size + a * scipy.integrate.quad(lambda x: x, 0.0, 1.0)[0]

    agrees(program, 2.0)


# -- initial value problems and integrals


def prey(method, tight):
    """`tight`: what gradients are compared with."""

    def program(a, b):
        rates = lambda t, y, b: [a * y[0] - y[0] * y[1], b * y[0] * y[1] - y[1] * np.cos(t)]
        tols = {"rtol": 1e-11, "atol": 1e-12} if tight else {"rtol": 1e-6, "atol": 1e-8}
        times = np.linspace(3.0, 0.5, 4)
        run = scipy.integrate.solve_ivp(rates, (3.0, a / 4), [1.0, 0.5 + a / 10], method, times, args=(b,), **tols)
        return np.sum(run.y * np.arange(1.0, 5.0)) + run.t[0]

    return program


@pytest.mark.few(1)
@pytest.mark.parametrize("method", ["RK23", "RK45", "DOP853", "Radau", "LSODA"])
def test_initial_value_problems(method):
    """Backwards, at times that are given, with an end that has a derivative. The explicit methods take SciPy's own steps."""
    explicit = method in ("RK23", "RK45", "DOP853")
    agrees(
        prey(method, False), 1.1, 0.7, reference=prey("DOP853", True), value=1e-10 if explicit else 1e-4, gradient=2e-3
    )


def integrals(a, b):
    quad = scipy.integrate.quad
    total = quad(lambda x: np.exp(-a * x) * np.sin(b * x), 0, 2 * a)[0] + quad(lambda x: np.abs(x - a), 0, 3)[0]
    total += quad(lambda x, a: np.exp(-a * x**2 + b * x), -np.inf, np.inf, args=(a,))[0]
    total += quad(lambda x: np.exp(-a * x), b, np.inf)[0] - quad(lambda x: np.exp(a * x), b, -np.inf)[0]
    total += quad(lambda x: 1 / np.sqrt(a * x), 0, b)[0] + quad(lambda x: a if x < b else a**2, 0, 2, points=[b])[0]
    return total + scipy.integrate.fixed_quad(lambda x: a * x**3, 0, b)[0]


def test_integrals():
    agrees(integrals, 0.7, 1.3, value=1e-8, gradient=1e-6)


@pytest.mark.slow
def test_integrals_of_integrals():
    agrees(lambda a: scipy.integrate.dblquad(lambda y, x: np.cos(a * x * y), 0, 1, 0, lambda x: a * x)[0], 0.7)


# -- tables


def test_linear_algebra_by_scipys_defaults():
    rng = np.random.default_rng(1)
    M = rng.normal(size=(3, 3))
    skewed, other = M @ M.T + 3 * np.eye(3) + 0.1 * M, np.diag([1.0, 2.0, 3.0]) + 0.1
    sl, v = scipy.linalg, np.array([1.0, -0.5, 2.0])

    def program(a):
        A = skewed * a + np.eye(3) * a**2
        parts = [
            sl.cholesky(A),
            np.triu(sl.cho_factor(A)[0]),
            sl.solve_triangular(A, v),
            sl.cho_solve(sl.cho_factor(A), v),
        ]
        parts += [sl.lu(A)[2], sl.lu_solve(sl.lu_factor(A), v, trans=1), sl.expm(A / 9), sl.sqrtm(A), sl.pinv(A)]
        parts += [sl.eigh(A)[1], *sl.eigh(A, other), sl.eigh(other, A, lower=False)[1], sl.solve(A, v, assume_a="sym")]
        parts += [sl.toeplitz(A[0], A[1]), sl.block_diag(A, v * a), sl.solve_banded((1, 1), A, v), sl.norm(A, 1)]
        parts += [
            sl.solveh_banded(A[:2] + np.array([[0.0], [9.0]]), v),
            sl.lstsq(A, v)[0],
            sl.inv(A),
            sl.det(A),
            sl.svdvals(A),
        ]
        return sum(np.sum(part * np.cos(np.arange(np.size(part)).reshape(np.shape(part)))) for part in parts)

    agrees(program, 1.2, value=1e-9, gradient=1e-7)


SHAPED = ("lognorm", "weibull_min", "gamma", "invgamma", "norm", "expon", "rayleigh")


@pytest.mark.few(2)
@pytest.mark.parametrize("name", SHAPED)
def test_distributions(name):
    dist = getattr(scipy.stats, name)
    shaped = dist.numargs == 1

    def program(a, x):
        args = (a,) if shaped else ()
        frozen = dist(*args, loc=0.1, scale=a)
        total = frozen.logpdf(x) + frozen.cdf(x) + dist.sf(x, *args) + frozen.pdf(np.array([x, -50.0])).sum()
        return total + frozen.ppf(0.3) + frozen.mean()

    agrees(program, 1.7, 2.9, gradient=1e-6)


def test_multivariate_normal_and_kde():
    stats, C = scipy.stats, np.array([[2.0, 0.3], [0.3, 1.0]])
    flat = np.ones((2, 2))

    def program(a, b):
        x = np.array([[b, 1.0], [0.2, a]])
        total = stats.multivariate_normal.logpdf(x, [a, b], C + a * np.eye(2)).sum()
        total += stats.multivariate_normal([a, b], np.array([a, b])).pdf(x[0]) + stats.multivariate_normal.logpdf(
            a, 0, b
        )
        total += stats.multivariate_normal.logpdf([a * b, a * b], cov=flat, allow_singular=True)
        return total + stats.gaussian_kde(np.array([a, b, 0.3, 1.2]))(a)[0] + stats.gaussian_kde(x[0] * [1, 2])(b)[0]

    agrees(program, 0.7, 1.2)


POINTS = {"eval_jacobi": (3, 0.5, 1.2, 0.3), "lambertw": (0.6,), "erfcinv": (0.4,), "ndtri_exp": (-1.2,)}
POINTS |= dict.fromkeys("legendre chebyt chebyu hermite hermitenorm laguerre".split(), (3, 0.4))
DEFAULTS = {1: (0.37,), 2: (1.3, 0.6), 3: (1.3, 2.1, 0.4), 4: (2.0, 1.5, 2.5, 0.3)}
INTEGERS = {"expn": (2,), "yn": (2,), "kn": (2,), "pdtr": (2,), "pdtrc": (2,), "fdtri": (3.0, 5.0), "zeta": (2.5,)}


def last_argument(name):
    """A function of the last argument, and where to take it."""
    function = getattr(scipy.special, name)
    given = POINTS.get(name.removeprefix("eval_")) or POINTS.get(name)
    given = given or DEFAULTS[getattr(function, "nin", 2)]
    given = (*INTEGERS.get(name, given[:-1]), given[-1])

    def at(x):
        value = function(*given[:-1], x)
        return value.real if name == "lambertw" else value[0] + 2 * value[1] if isinstance(value, tuple) else value

    return at, given[-1]


def test_special_functions():
    """All that the library's own tables accept, at once: values and derivatives by the last argument."""
    from spanax.program._scipy import special
    from spanax.program._scipy.host import TABLE, no_formula

    names = sorted({*special._BY_JAX, *TABLE} - {n for n, d in TABLE.items() if d.slopes[-1] in (None, no_formula)})
    assert len(names) > 100
    functions = {name: last_argument(name) for name in names}
    run = lambda x: [f(p + x) for f, p in functions.values()]
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values, slopes = jax.jvp(sx.lift(run), (0.0,), (1.0,))
        plain = [np.array(run(x)) for x in (0.0, 1e-3, -1e-3, 5e-4, -5e-4)]
    expected = (4 * (plain[3] - plain[4]) / 1e-3 - (plain[1] - plain[2]) / 2e-3) / 3
    np.testing.assert_allclose(values, plain[0], rtol=1e-11)
    np.testing.assert_allclose(slopes, expected, rtol=1e-7, atol=1e-8)
