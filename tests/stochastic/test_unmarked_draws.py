"""Draws that nobody marked: refused where their derivative is not that of the expectation, and let alone where it is."""

import inspect

import jax
import jax.numpy as jnp
import jax.random as jr
import numpyro.distributions as dist
import pytest
from jax import lax

import spanax as sx

T = 0.3


def three(t):
    return jnp.stack([t, 0.4, 0.6 - t])


def slope(f, key):
    """Traces the derivative of the expectation: a refusal needs no more."""
    return jax.make_jaxpr(jax.grad(lambda t: sx.expectation(f)(t, key=key)))(T)


def total(draw):
    """The program f(t) of a draw(key, t)."""

    def f(t, *, key):
        z = jnp.asarray(draw(key, t))
        return jnp.dot(jnp.ravel(z).astype(float), jnp.arange(1.0, z.size + 1))

    return f


# Every sampler of jax.random: those whose own derivative is wrong, those whose is right, and what is no sampler.
WRONG = {
    "bernoulli": jr.bernoulli,
    "binomial": lambda k, t: jr.binomial(k, 5.0, t),
    "categorical": lambda k, t: jr.categorical(k, jnp.log(three(t))),
    "choice": lambda k, t: jr.choice(k, 3, p=three(t)),
    "geometric": jr.geometric,
    "multinomial": lambda k, t: jr.multinomial(k, 5.0, three(t)),
    "poisson": jr.poisson,
    "wald": jr.wald,
}
RIGHT = {
    "ball": lambda k, t: t * jr.ball(k, 2),
    "beta": lambda k, t: jr.beta(k, t, 2.0),
    "bits": lambda k, t: t * jr.bits(k).astype(float),
    "cauchy": lambda k, t: t * jr.cauchy(k),
    "chisquare": jr.chisquare,
    "dirichlet": lambda k, t: jr.dirichlet(k, three(t)),
    "double_sided_maxwell": lambda k, t: jr.double_sided_maxwell(k, t, 1.0),
    "exponential": lambda k, t: t * jr.exponential(k),
    "f": lambda k, t: jr.f(k, t, t),
    "gamma": jr.gamma,
    "generalized_normal": jr.generalized_normal,
    "gumbel": lambda k, t: t + jr.gumbel(k),
    "laplace": lambda k, t: t * jr.laplace(k),
    "loggamma": jr.loggamma,
    "logistic": lambda k, t: t * jr.logistic(k),
    "lognormal": jr.lognormal,
    "maxwell": lambda k, t: t * jr.maxwell(k),
    "multivariate_normal": lambda k, t: jr.multivariate_normal(k, t * jnp.ones(2), t * jnp.eye(2)),
    "normal": lambda k, t: t + t * jr.normal(k),
    "orthogonal": lambda k, t: t * jr.orthogonal(k, 2),
    "pareto": jr.pareto,
    "permutation": lambda k, t: jr.permutation(k, t * jnp.arange(3.0)),
    "rademacher": lambda k, t: t * jr.rademacher(k, (3,)).astype(float),
    "randint": lambda k, t: t * jr.randint(k, (3,), 0, 5).astype(float),
    "rayleigh": jr.rayleigh,
    "t": jr.t,
    "triangular": lambda k, t: jr.triangular(k, 0.0, t, 1.0),
    "truncated_normal": lambda k, t: jr.truncated_normal(k, -t, t),
    "uniform": lambda k, t: jr.uniform(k, minval=0.0, maxval=t),
    "weibull_min": lambda k, t: jr.weibull_min(k, t, 2.0),
}
NO_SAMPLERS = "PRNGKey clone fold_in key key_data key_dtype key_impl split wrap_key_data".split()
NEWER = set()  # samplers of a newer JAX go into one of the lists above


def test_every_sampler_of_jax_is_decided():
    public = {n for n in dir(jr) if not n.startswith("_") and callable(getattr(jr, n))}
    assert public - NEWER == {*WRONG, *RIGHT, *NO_SAMPLERS}


@pytest.mark.few(3)
@pytest.mark.parametrize("name", WRONG)
def test_samplers_that_have_no_derivative(name, key):
    says = (
        rf"(?s)a {name.capitalize()} draw that nobody marked.*test_unmarked_draws\.py:\d+.*sx\.sample\(key, dist\.\w+"
    )
    with pytest.raises(sx.SpanaxError, match=says) as error:
        slope(total(WRONG[name]), key)
    assert "stop_gradient" in str(error.value)


@pytest.mark.few(10)
@pytest.mark.parametrize("name", RIGHT)
def test_samplers_that_have_one(name, key):
    slope(total(RIGHT[name]), key)


def of_numpyro(make):
    return total(lambda key, t: make(t).sample(key))


FAMILIES = {
    "BernoulliLogits": lambda t: dist.BernoulliLogits(t),
    "BernoulliProbs": lambda t: dist.BernoulliProbs(t),
    "BetaBinomial": lambda t: dist.BetaBinomial(t, 2.0, 5),
    "BinomialLogits": lambda t: dist.BinomialLogits(t, 5),
    "BinomialProbs": lambda t: dist.BinomialProbs(t, 5),
    "CategoricalLogits": lambda t: dist.CategoricalLogits(jnp.log(three(t))),
    "CategoricalProbs": lambda t: dist.CategoricalProbs(three(t)),
    "DirichletMultinomial": lambda t: dist.DirichletMultinomial(three(t), 5),
    "GammaPoisson": lambda t: dist.GammaPoisson(t, 1.0),
    "GeometricLogits": lambda t: dist.GeometricLogits(t),
    "GeometricProbs": lambda t: dist.GeometricProbs(t),
    "MultinomialLogits": lambda t: dist.MultinomialLogits(jnp.log(three(t)), 5),
    "MultinomialProbs": lambda t: dist.MultinomialProbs(three(t), 5),
    "NegativeBinomial2": lambda t: dist.NegativeBinomial2(t, 2.0),
    "NegativeBinomialLogits": lambda t: dist.NegativeBinomialLogits(3.0, t),
    "NegativeBinomialProbs": lambda t: dist.NegativeBinomialProbs(3.0, t),
    "OrderedLogistic": lambda t: dist.OrderedLogistic(t, jnp.arange(3.0)),
    "Poisson": lambda t: dist.Poisson(t),
    "BetaNegativeBinomial": lambda t: dist.BetaNegativeBinomial(t, 2.0, 3.0),
    "HurdlePoisson": lambda t: dist.HurdlePoisson(t, 2.0),
    "ZeroInflatedLogits": lambda t: dist.ZeroInflatedLogits(dist.Poisson(2.0), t),
    "ZeroInflatedProbs": lambda t: dist.ZeroInflatedProbs(dist.Poisson(2.0), t),
    "ZeroInflatedPoisson": lambda t: dist.ZeroInflatedPoisson(t, 2.0),
    "MixtureSameFamily": lambda t: dist.MixtureSameFamily(
        dist.Categorical(probs=three(t)), dist.Normal(jnp.arange(3.0), 1.0)
    ),
    "VonMises": lambda t: dist.VonMises(0.0, t),
}
FIXED = frozenset(
    "DiscreteUniform Unit Delta PRNGIdentity".split()
)  # without a floating-point parameter to differentiate
ALIASES = frozenset(
    "Bernoulli Binomial Categorical Geometric Multinomial NegativeBinomial ZeroInflatedDistribution".split()
)


def discrete_families():
    """The names of numpyro's discrete distributions, from the library's own module."""
    for name, family in vars(dist).items():
        if inspect.isclass(family) and issubclass(family, dist.Distribution):
            support = inspect.getattr_static(family, "support", None)
            is_discrete = getattr(support, "_is_discrete", None)  # of a property that is known to an instance only
            if (getattr(support, "is_discrete", False) if is_discrete is None else is_discrete) is True:
                yield name


@pytest.mark.few(6)
@pytest.mark.parametrize("name", FAMILIES)
def test_numpyros_own_draws(name, key):
    says = r"(?s)a \w+ draw that nobody marked.*test_unmarked_draws\.py:\d+.*sx\.sample\(key, dist\.\w+"
    standard = jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow")  # as numpyro needs them
    with pytest.raises(sx.SpanaxError, match=says), standard[0], standard[1]:
        slope(of_numpyro(FAMILIES[name]), key)


# -- noise by hand


def uniform_below(t, *, key):
    return jnp.where(jr.uniform(key) < t, 1.0, 0.0)


def gumbel_max(t, *, key):
    return jnp.argmax(jnp.log(three(t)) + jr.gumbel(key, (3,))).astype(float)


def inverse_of_the_cdf(t, *, key):
    return jnp.searchsorted(jnp.cumsum(three(t)), jr.uniform(key)).astype(float)


def many_integers(t, *, key):
    return jnp.where(jr.randint(key, (), 0, 1 << 20).astype(float) / float(1 << 20) < t, 1.0, 0.0)


def rejection(t, *, key):
    def again(state):
        key, _ = state
        key, use = jr.split(key)
        return key, jr.normal(use)

    return lax.while_loop(lambda state: state[1] < t, again, (key, t - 1.0))[1]


def metropolis(t, *, key):
    first, second = jr.split(key)
    x = t + jr.normal(first)
    return jnp.where(jnp.log(jr.uniform(second)) < -(x**2), x, 0.0)


def coin(t, key):
    return jr.bernoulli(key, t).astype(float)


def scanned(t, *, key):
    return lax.scan(lambda c, k: (c + coin(t, k), None), 0.0, jr.split(key, 3))[0]


def lanes(t, *, key):
    return jnp.sum(jax.vmap(lambda k: coin(t, k))(jr.split(key, 3)))


def branch(t, *, key):
    return lax.cond(t > 0, lambda: coin(t, key), lambda: 0.0)


def compiled(t, *, key):
    return jax.jit(coin)(t, key)


def rematerialised(t, *, key):
    return jax.checkpoint(coin)(t, key)


def under_an_inner_gradient(t, *, key):
    return jax.grad(lambda x: x * coin(t, key))(2.0)


def decides_a_cost(t, *, key):
    lax.cond(jr.bernoulli(key, t), lambda: sx.cost(1.0), lambda: None)
    return 0.0 * t


def parameters_of_a_marked_draw(t, *, key):
    first, second = jr.split(key)
    return sx.sample(first, dist.Bernoulli(probs=0.2 + 0.6 * coin(t, second)))


BY_HAND = [uniform_below, gumbel_max, inverse_of_the_cdf, many_integers, rejection, metropolis, scanned, lanes, branch]
BY_HAND += [compiled, rematerialised, under_an_inner_gradient, decides_a_cost]
BY_HAND += [parameters_of_a_marked_draw]


@pytest.mark.few(4)
@pytest.mark.parametrize("f", BY_HAND, ids=lambda f: f.__name__)
def test_noise_by_hand_that_decides(f, key):
    with pytest.raises(sx.SpanaxError, match=r"(?s)nobody marked.*test_unmarked_draws\.py:\d+.*\(a\) .*sx\.sample"):
        jax.make_jaxpr(jax.jacfwd(lambda t: sx.expectation(f, samples=2)(t, key=key)))(T)


def test_only_a_derivative_is_refused(key):
    estimate = sx.expectation(uniform_below, samples=4)
    assert 0 <= jax.jit(lambda t: estimate(t, key=key))(T) <= 1
    other = lambda t, s, *, key: t * uniform_below(s, key=key)  # s is not differentiated
    jax.grad(sx.expectation(other))(T, 0.5, key=key)
    jax.jit(jax.grad(sx.expectation(other)))(T, 0.5, key=key)


# -- noise that is let alone


def meant(t, *, key):
    return t * jr.bernoulli(key, lax.stop_gradient(t)).astype(float)


def of_a_score_draw(t, *, key):
    first, second = jr.split(key)
    z = sx.sample(first, dist.Bernoulli(probs=t), via=sx.ScoreFunction())
    return coin(0.2 + 0.5 * z, second)


def dropout(t, *, key):
    first, second = jr.split(key)
    h = jax.nn.leaky_relu(t * jnp.arange(-3.0, 3.0))
    h = jnp.where(jr.bernoulli(first, 0.8, h.shape), h / 0.8, 0.0)
    return jnp.sum(jax.nn.elu(h + 0.1 * jr.normal(second, h.shape)))


def augmentation(t, *, key):
    first, second = jr.split(key)
    x = jr.permutation(first, jnp.arange(6.0))
    return jnp.sum(jax.nn.relu(t * x)) * x[jr.randint(second, (), 0, 6)]


def noise_in_a_network(t, *, key):
    z = t + jr.normal(key, (4, 8))
    return jnp.sum(jax.nn.leaky_relu(jax.nn.selu(z) @ jnp.full((8, 3), 0.3)))


def sorted_noise(t, *, key):
    return jnp.sort(t + jr.normal(key, (5,)))[0] + jnp.max(t * jr.exponential(key, (5,)))


def only_in_what_is_not_used(t, *, key):
    jr.bernoulli(key, t)
    return t**2


LET_ALONE = [meant, of_a_score_draw, dropout, augmentation, noise_in_a_network, sorted_noise, only_in_what_is_not_used]


@pytest.mark.parametrize("f", LET_ALONE, ids=lambda f: f.__name__)
def test_noise_that_is_let_alone(f, key):
    slope(f, key)


def test_a_marked_draw_that_feeds_an_unmarked_one_is_right(key):
    """E = .2 + .5 t. 5 standard errors: false-alarm rate 6e-7."""
    slopes = jax.jit(jax.vmap(jax.grad(lambda t, k: sx.expectation(of_a_score_draw)(t, key=k)), (None, 0)))
    found = slopes(T, jr.split(key, 20_000))
    assert abs(float(found.mean()) - 0.5) < 5 * float(found.std()) / 20_000**0.5 < 0.1


def test_every_discrete_family_of_numpyro_is_decided():
    assert set(discrete_families()) - FIXED - ALIASES <= set(FAMILIES)
