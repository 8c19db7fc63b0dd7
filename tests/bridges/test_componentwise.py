"""Mixtures: the component by its score, its draw by its own derivative; against quadrature of SciPy's components."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import spanax as sx
from spanax.bridges.best import best_bridge

from .numpyro_families import Case, choice, expected_cost, h, sigmoid, softmax, weights
from .reference import assert_mean_is, central_differences

REAL = dist.constraints.real


def f(z):
    return h(z * weights(1)[0])


def normals(t):
    """Of two Normals."""
    return dist.MixtureSameFamily(dist.Categorical(logits=t[:2]), dist.Normal(t[2:4], 1.0))


def of_normals(t):
    return list(zip(softmax(t[:2]), [stats.norm(t[2], 1), stats.norm(t[3], 1)], strict=True))


def nested(t):
    return dist.MixtureGeneral(dist.Categorical(logits=t[4:6]), [normals(t), dist.Uniform(-1.0, t[6])], support=REAL)


def of_nested(t):
    w = softmax(t[4:6])
    return [(w[0] * v, law) for v, law in of_normals(t)] + [(w[1], stats.uniform(-1, t[6] + 1))]


def spike_and_slab(t):
    return dist.MixtureGeneral(dist.Categorical(logits=t[:2]), [dist.Delta(0.0), dist.Normal(t[2], t[3])], support=REAL)


def counts_and_reals(t):
    return dist.MixtureGeneral(
        dist.Categorical(logits=t[:2]), [dist.Poisson(t[2]), dist.Normal(t[3], 1.0)], support=REAL
    )


def pareto(t):
    return dist.MixtureGeneral(
        dist.Categorical(logits=t[:2]), [dist.Pareto(t[2], t[3]), dist.Normal(0.0, 1.0)], support=REAL
    )


def bernoullis_at_zero(t):
    """Where numpyro's own derivative is wrong."""
    return dist.MixtureSameFamily(dist.Categorical(logits=t[:2]), dist.Bernoulli(logits=t[2:4]))


def exponential(d):
    return dist.TransformedDistribution(d, dist.transforms.ExpTransform())


T = (0.3, -0.2, 0.7, -0.5)
CASES = {
    "nested": Case(nested, (*T, 0.2, -0.1, 1.5), of_nested),
    "spike and slab": Case(
        spike_and_slab, (*T[:2], 0.7, 0.9), lambda t: list(zip(softmax(t[:2]), [0.0, stats.norm(*t[2:])], strict=True))
    ),
    "counts and reals": Case(
        counts_and_reals,
        (*T[:2], 1.3, 0.4),
        lambda t: list(zip(softmax(t[:2]), [stats.poisson(t[2]), stats.norm(t[3], 1)], strict=True)),
    ),
    "a bound that moves": Case(
        pareto,
        (*T[:2], 0.5, 2.7),
        lambda t: list(zip(softmax(t[:2]), [stats.pareto(t[3], scale=t[2]), stats.norm(0, 1)], strict=True)),
    ),
    "logits of 0": Case(
        bernoullis_at_zero,
        (0.2, 0.0, 0.0, 0.0),
        lambda t: choice([softmax(t[:2]) @ (1 - sigmoid(t[2:])), softmax(t[:2]) @ sigmoid(t[2:])]),
    ),
    "one component": Case(
        lambda t: dist.MixtureSameFamily(dist.Categorical(logits=t[:1]), dist.Normal(t[1:], 1.0)),
        (0.3, 0.7),
        lambda t: stats.norm(t[1], 1),
    ),
}


def value(z):
    return f(jnp.asarray(z, jnp.float32))


def one(case):
    return lambda t, *, key: value(sx.sample(key, case.make(t)))


def gradients(f, theta, key, *, draws=12_000, **options):
    once = jax.grad(sx.expectation(f, **options))
    return np.asarray(jax.jit(jax.vmap(lambda k: once(theta, key=k)))(jax.random.split(key, draws)), np.float64)


# 6 cases with 25 components: a false alarm in .2% of the keys.
@pytest.mark.few(2)
@pytest.mark.parametrize("name", CASES)
def test_default_of_a_mixture(name, key):
    case = CASES[name]
    truth = central_differences(lambda t: expected_cost(case, t), case.theta)
    assert_mean_is(truth, gradients(one(case), jnp.asarray(case.theta), key))


def in_a_scan(t, *, key):
    return jnp.mean(jax.lax.scan(lambda c, k: (c, f(sx.sample(k, normals(t)))), 0, jax.random.split(key, 3))[1])


def in_a_vmap(t, *, key):
    return jnp.mean(jax.vmap(lambda k: f(sx.sample(k, normals(t))))(jax.random.split(key, 3)))


def in_a_cond(t, *, key):
    return jax.lax.cond(t[0] > 0, lambda: f(sx.sample(key, normals(t))), lambda: 0.0)


def expanded(t, *, key):
    return jnp.mean(f(sx.sample(key, normals(t).expand((3, 2)).to_event(1))))


def masked(t, *, key):
    return f(sx.sample(key, normals(t).mask(False)))


def transformed(t, *, key):
    return f(jnp.log(sx.sample(key, exponential(normals(t)))))


def scored(t, *, key):
    return f(sx.sample(key, normals(t), via=sx.Componentwise(pathwise=False)))


PROGRAMS = [in_a_scan, in_a_vmap, in_a_cond, expanded, masked, transformed, scored]


# 8 cases with 32 components: a false alarm in .2% of the keys.
@pytest.mark.few(1)
@pytest.mark.filterwarnings("ignore::spanax._errors.SpanaxWarning")  # a batch in one expectation, on purpose
@pytest.mark.parametrize("samples", [1, 3])
def test_wherever_the_draw_stands(samples, key):
    case = Case(normals, T, of_normals)
    truth = central_differences(lambda t: expected_cost(case, t), T)
    programs = PROGRAMS if samples == 1 else PROGRAMS[:1]

    @jax.jit
    def run(keys):
        each = [jax.grad(sx.expectation(program, samples=samples)) for program in programs]
        return jax.vmap(lambda k: [g(jnp.asarray(T), key=k) for g in each])(keys)

    for drawn in run(jax.random.split(key, 12_000)):
        assert_mean_is(truth, np.asarray(drawn, np.float64))


# 1 case with 16 components: a false alarm in .1% of the keys.
def test_second_derivatives(key, x64):
    case = Case(normals, T, of_normals)
    truth = central_differences(
        lambda t: central_differences(lambda u: expected_cost(case, u), t, 1e-4)[2], np.array(T), 1e-4
    )
    hessian = jax.jacfwd(jax.grad(sx.expectation(lambda t, *, key: f(sx.sample(key, normals(t))))))
    drawn = jax.jit(jax.vmap(lambda k: hessian(jnp.asarray(T), key=k)[2]))(jax.random.split(key, 12_000))
    assert_mean_is(truth, np.asarray(drawn))


REFUSED = {
    "atoms and densities": (spike_and_slab, sx.ScoreFunction(), "atoms and densities"),
    "a bound, by the score": (nested, sx.ScoreFunction(), "a bound of its support"),
    "a bound, by the score of the component": (nested, sx.Componentwise(pathwise=False), "a bound of its support"),
    "a bound, left one out": (pareto, sx.LeaveOneOut(), "a bound of its support"),
    "atoms, pathwise": (spike_and_slab, sx.Pathwise(), "reparametrised"),
    "enumerated": (spike_and_slab, sx.Enumerate(), "finite support"),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("make, via, problem", REFUSED.values(), ids=REFUSED)
def test_what_stays_impossible_raises_with_the_remedy(make, via, problem, key):
    def program(t, *, key):
        return f(sx.sample(key, make(t), via=via))

    with pytest.raises(sx.SpanaxError, match=rf"(?s){problem}.*Componentwise\(\)"):
        jax.grad(sx.expectation(program))(jnp.array([0.3, -0.2, 0.7, 0.9, 0.1, 0.2, 1.5]), key=key)


def test_what_no_bridge_means():
    t = jnp.array([0.3, 0.2, 0.7, 0.9])
    poissons = dist.MixtureSameFamily(dist.Categorical(logits=t[:2]), dist.Poisson(t[2:]))
    assert [repr(best_bridge(d, jumps=jumps)) for d in (dist.Normal(), normals(t), poissons) for jumps in (False, True)] == [
        "Pathwise()",
        "ScoreFunction(baseline='auto')",
        "Componentwise(baseline='auto', pathwise=True)",
        "Componentwise(baseline='auto', pathwise=False)",
        "ScoreFunction(baseline='auto')",
        "ScoreFunction(baseline='auto')",
    ]  # fmt: skip


def test_a_bridge_by_name_and_a_weight_of_zero(key):
    """The score function of a mixture of densities is right where a weight is 0: E[f] of that component less E[f]."""

    def program(p, *, key):
        mixture = dist.MixtureSameFamily(dist.Categorical(probs=p), dist.Normal(jnp.array([0.7, -0.5]), 1.0))
        return f(sx.sample(key, mixture, name="z"))

    first, second = (expected_cost(Case(normals, T, lambda t, m=m: stats.norm(m, 1)), T) for m in (0.7, -0.5))
    drawn = gradients(program, jnp.array([1.0, 0.0]), key, via={"z": sx.ScoreFunction(None)})
    assert_mean_is(np.array([0.0, second - first]), drawn)
    assert np.all(np.isfinite(gradients(program, jnp.array([1.0, 0.0]), key, draws=100)))
