"""Every refusal names the site, its file:line and the remedies. Never a silent zero."""

import re

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import pytest
from jax import lax

import spanax as sx


def coin(logits):
    return dist.Bernoulli(logits=logits)


def coins(key):
    return dist.Binomial(jax.random.key_data(key)[0].astype(int), 0.5)


def one_coin(theta, *, key):
    return sx.sample(key, coin(theta), name="coin") * theta


def die(theta, *, key):
    return theta * sx.sample(key, dist.Categorical(logits=jnp.stack([theta, 0.0, -theta])), name="die").astype(float)


def in_scan(via):
    def f(theta, *, key):
        step = lambda c, k: (c + sx.sample(k, coin(theta), via=via, name="coin"), None)
        return lax.scan(step, 0.0, jax.random.split(key, 3))[0]

    return f


def in_vmap(via):
    def f(theta, *, key):
        z = jax.vmap(lambda k: sx.sample(k, coin(theta), via=via, name="coin"))(jax.random.split(key, 3))
        return jnp.prod(z)

    return f


def in_linear_solve(theta, *, key):
    solve = lambda mv, b: b / 2 + 0.0 * sx.sample(key, coin(theta), name="coin")
    return lax.custom_linear_solve(lambda x: 2 * x, theta, solve, symmetric=True)


def in_while(theta, *, key):
    def flip(carry):
        i, heads = carry
        return i + 1, heads + sx.sample(jax.random.fold_in(key, i), coin(theta), name="coin")

    return lax.while_loop(lambda carry: carry[1] < 2, flip, (0, 0.0))[1] * theta


def in_while_condition(theta, *, key):
    going = lambda i: sx.sample(jax.random.fold_in(key, i), coin(theta), name="coin") > 0
    return theta * lax.while_loop(going, lambda i: i + 1, 0).astype(float)


def many_coins(theta, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=jnp.full(14, theta)).to_event(1), via=sx.Enumerate(), name="coin")
    return jnp.sum(z)


def gradient(f, **options):
    return lambda key: jax.grad(sx.expectation(f, **options))(0.3, key=key)


def hessian(f, **options):
    return lambda key: jax.grad(jax.grad(lambda t: sx.expectation(f, **options)(t, key=key)))(0.3)


def baselines_per_lane(theta, *, key):
    lane = lambda k, b: sx.sample(k, coin(theta), via=sx.ScoreFunction(b), name="coin")
    return jnp.prod(jax.vmap(lane)(jax.random.split(key, 3), jnp.arange(3.0)))


def moving_bound(theta, *, key):
    return sx.sample(key, dist.Uniform(0.0, theta), via=sx.ScoreFunction(), name="coin")


def moving_bound_of_a_transform(theta, *, key):
    shifted = dist.TransformedDistribution(dist.Uniform(0.0, 1.0), dist.transforms.AffineTransform(theta, 2.0))
    return sx.sample(key, shifted, via=sx.ScoreFunction(), name="coin")


def cost_outside(key):
    def f(theta):
        sx.cost(theta, name="coin")
        return theta

    return jax.grad(f)(0.3)


def cost_through_an_inner_gradient(theta, *, key):
    z = sx.sample(key, coin(theta), name="coin")
    return jax.grad(jax.jit(lambda x: sx.cost(z * x, name="coin") or x))(theta)


def draw_under_an_inner_gradient(theta, *, key):
    return jax.grad(lambda x: x * sx.sample(key, coin(x), name="coin"))(theta)


def complex_cost(theta, *, key):
    sx.cost(1j * theta, name="coin")
    return theta


def no_cost(theta, *, key):
    sx.cost(None, name="coin")
    return theta


def aux_that_is_differentiated(theta, *, key):
    z = sx.sample(key, coin(theta), name="coin")
    return z, theta * z


def written_to_a_ref(theta, *, key):
    ref = jax.new_ref(jnp.zeros(()))

    def step(c, k):
        ref[...] += sx.sample(k, coin(theta), name="coin")
        return c, None

    lax.scan(step, 0.0, jax.random.split(key, 3))
    return jax.freeze(ref)


def cost_in_a_vmap(theta, *, key):
    def one(key, x):
        z = sx.sample(key, coin(theta), name="coin")
        return lax.cond(x > 1, lambda: sx.cost(z * x), lambda: sx.cost(x))

    jax.vmap(one)(jax.random.split(key, 3), jnp.arange(3.0))
    return 0.0 * theta


def replaced_in_a_custom_rule(theta, *, key):
    g = jax.custom_jvp(lambda t, k: sx.sample(k, coin(t), via=sx.GumbelSoftmax(0.5), name="coin"))
    g.defjvp(lambda primals, tangents: (g(*primals), 0.0 * tangents[0]))
    return g(theta, key) ** 2


def while_in_a_vmap(theta, *, key):
    def one(key):
        flip = lambda c: (c[0] + 1, c[1] + sx.sample(jax.random.fold_in(key, c[0]), coin(theta), name="coin"))
        return lax.while_loop(lambda c: c[1] < 1, flip, (0, 0.0))[0].astype(float)

    return jnp.sum(jax.vmap(one)(jax.random.split(key)))


def average_of_a_vector(theta, *, key):
    average = sx.MovingAverage(0.9, jnp.zeros(3), jnp.ones(()))
    return sx.sample(key, coin(theta), via=sx.ScoreFunction(average), name="coin")


def average_of_a_vector_in_a_scan(theta, *, key):
    average = sx.MovingAverage(0.9, jnp.zeros(3), jnp.ones(()))
    step = lambda c, k: (c + sx.sample(k, coin(theta), via=sx.ScoreFunction(average), name="coin"), None)
    return lax.scan(step, 0.0, jax.random.split(key, 3))[0]


def keys_of_its_own(theta, *, key):
    keys = jax.random.split(jax.random.key(7), 3)
    return lax.scan(lambda c, k: (c + sx.sample(k, coin(theta), name="coin"), None), 0.0, keys)[0]


def delta(theta, *, key):
    return jnp.sin(sx.sample(key, dist.Delta(theta), via=sx.ScoreFunction(), name="coin"))


class Pairs(sx.bridges.Branching):
    """A user's own bridge that forgets the mean over its evaluations."""

    @property
    def facts(self):
        raise NotImplementedError

    def draw(self, key, distribution):
        return jax.random.bernoulli(key).astype(float)

    def branches(self, distribution):
        return 2

    def objective(self, key, distribution, rest):
        return jax.vmap(lambda k: rest(self.draw(k, distribution)))(jax.random.split(key))


CASES = {
    # name: (call, what the message says; every one says "coin" and this file)
    "differentiated outside expectation": (
        lambda key: jax.grad(lambda t: one_coin(t, key=key))(0.3),
        "outside expectation.*silent zero",
    ),
    "differentiated under jit, outside expectation": (
        lambda key: jax.jit(jax.grad(lambda t: one_coin(t, key=key)))(0.3),
        "outside expectation.*silent zero",
    ),
    "cost outside expectation": (cost_outside, "outside expectation"),
    "unknown primitive": (gradient(in_linear_solve), "inside `custom_linear_solve`"),
    "branching in a loop": (gradient(in_scan(sx.Enumerate())), "inside `scan`"),
    "branching in a vmap": (gradient(in_vmap(sx.LeaveOneOut())), "inside a vmap"),
    "while in reverse mode": (gradient(in_while), "reverse-mode derivative of a while_loop"),
    "draw in a while condition": (gradient(in_while_condition), "condition of a while_loop"),
    "too many paths": (gradient(many_coins), "16,384 runs.*more than 10,000"),
    "second derivative of DisARM": (hessian(one_coin, via={"coin": sx.DisARM()}), "second derivative through DisARM"),
    "second derivative of ReinMax": (
        hessian(lambda t, *, key: sx.sample(key, coin(t), via=sx.ReinMax()) ** 2 * t),
        "second derivative through ReinMax",
    ),
    "baseline for each index": (gradient(baselines_per_lane), "baseline for each index"),
    "cost through an inner gradient": (gradient(cost_through_an_inner_gradient), "by a derivative inside f"),
    "draw under an inner gradient": (gradient(draw_under_an_inner_gradient), "by a derivative inside f"),
    "a complex cost": (gradient(complex_cost), "sx.cost of"),
    "no number for a cost": (gradient(no_cost), "sx.cost of None"),
    "no key argument": (lambda key: sx.expectation(lambda coin: coin), "takes no `key`"),
    "a function for a baseline": (
        gradient(lambda t, *, key: sx.sample(key, coin(t), via=sx.ScoreFunction(lambda x: x), name="coin")),
        "baseline=.*is a function",
    ),
    "an objective for each evaluation": (gradient(one_coin, via={"coin": Pairs()}), r"objective gave float32\[2\]"),
    "derivative of aux": (
        lambda key: jax.grad(lambda t: sx.expectation(aux_that_is_differentiated, has_aux=True)(t, key=key)[1][0])(0.3),
        "the derivative of aux",
    ),
    "cannot draw": (
        gradient(
            lambda t, *, key: t * sx.sample(key, dist.ImproperUniform(dist.constraints.real, (), ()), name="coin")
        ),
        "cannot draw",
    ),
    "mutable array": (gradient(written_to_a_ref), "mutable array"),
    "keys that the replicates share": (gradient(keys_of_its_own, samples=4), "all replicates would draw the same"),
    "score function of a moving atom": (gradient(delta), "bound of its support"),
    "cost in a vmap": (gradient(cost_in_a_vmap), "cost inside a vmap"),
    "via replaces inside a custom rule": (
        gradient(replaced_in_a_custom_rule, via={"coin": sx.ScoreFunction()}),
        "inside `custom_jvp_call`",
    ),
    "while in a vmap": (
        lambda key: jax.jvp(lambda t: sx.expectation(while_in_a_vmap)(t, key=key), (0.3,), (1.0,)),
        "while_loop that holds a draw or a cost inside a vmap",
    ),
    "moving average of a vector": (gradient(average_of_a_vector), "one number for each draw"),
    "moving average of a vector in a scan": (gradient(average_of_a_vector_in_a_scan), "one number for each draw"),
    "moving support": (gradient(moving_bound), "bound of its support"),
    "moving support of a transform": (gradient(moving_bound_of_a_transform), "bound of its support"),
    "wrong distribution": (gradient(one_coin, via={"coin": sx.Pathwise()}), "needs a reparametrised"),
    "no finite support": (
        gradient(lambda t, *, key: sx.sample(key, dist.Poisson(t), via=sx.Enumerate(), name="coin").astype(float)),
        "no finite support",
    ),
    "support not static": (
        jax.jit(
            gradient(lambda t, *, key: sx.sample(key, coins(key), via=sx.Enumerate(), name="coin").astype(float) * t)
        ),
        "not known when the program is traced",
    ),
    "no scalar": (gradient(lambda t, *, key: t * jnp.ones(3)), r"scalar, and it returned float\d\d\[3\]"),
    "a pair without has_aux": (gradient(lambda t, *, key: (t, t)), "returned a tuple"),
    "an integer": (gradient(lambda t, *, key: jnp.int32(3)), "scalar, and it returned int32"),
    "no pair with has_aux": (gradient(lambda t, *, key: t, has_aux=True), "must return a pair"),
    "no key": (lambda key: sx.expectation(one_coin)(0.3), "one PRNG key is needed, not None"),
    "an integer for a key": (lambda key: sx.expectation(one_coin)(0.3, key=0), "one PRNG key is needed, not 0"),
    "an array of keys": (lambda key: sx.sample(jax.random.split(key), coin(0.3)), r"one PRNG key is needed, not key"),
    "a number for a distribution": (lambda key: sx.sample(key, 0.3), "got a float for the distribution"),
    "a class for a bridge": (lambda key: sx.sample(key, coin(0.3), via=sx.DisARM), r"not a bridge"),
}


@pytest.mark.few(12)
@pytest.mark.parametrize("name", CASES)
def test_refusals(name, key):
    call, says = CASES[name]
    with pytest.raises(sx.SpanaxError, match=re.compile(says, re.DOTALL)) as error:
        call(key)
    message = str(error.value)
    assert re.search(r"at .*test_errors\.py:\d+", message), message
    assert "(a) " in message, message


@pytest.mark.parametrize("via", [sx.GumbelSoftmax(0.5), sx.StraightThrough(), sx.ReinMax()], ids=repr)
def test_a_bridge_that_changes_the_draw_is_refused(via, key):
    with pytest.raises(sx.SpanaxError, match=r"'die' draws float32\[3\], and the program was written for int32\[\]"):
        jax.grad(sx.expectation(die, via={"die": via}))(0.3, key=key)


def test_a_branching_bridge_that_changes_the_draw_is_refused(key):
    def relaxed(theta, *, key):
        weights = dist.Categorical(logits=jnp.stack([theta, 0.0]))
        return jnp.sum(sx.sample(key, weights, via=sx.StraightThrough(), name="die") * jnp.arange(2.0))

    with pytest.raises(sx.SpanaxError, match=r"Enumerate\(\) at 'die' draws int32\[\]"):
        jax.grad(sx.expectation(relaxed, via={"die": sx.Enumerate()}))(0.3, key=key)


def test_unknown_names_are_listed(key):
    with pytest.raises(sx.SpanaxError, match=r"\['dice'\].*the names are \['die'\]"):
        sx.expectation(die, via={"dice": sx.Enumerate()})(0.3, key=key)


def test_no_samples():
    for samples in (0, 2.0):
        with pytest.raises(sx.SpanaxError, match=f"samples={samples}"):
            sx.expectation(one_coin, samples=samples)


def test_via_that_is_no_dictionary_of_bridges():
    for via in (sx.Enumerate(), {"coin": sx.Enumerate}):
        with pytest.raises(sx.SpanaxError, match="a dictionary of bridges"):
            sx.expectation(one_coin, via=via)


def test_a_fixed_support_is_no_trouble(key):
    f = lambda t, *, key: t * sx.sample(key, dist.Uniform(0.0, 1.0), via=sx.ScoreFunction())
    assert 0 < jax.grad(sx.expectation(f))(0.3, key=key) < 1


def test_hessian_with_the_first_order_bridge_elsewhere(key):
    """Only a second derivative THROUGH the bridge is refused."""

    def f(theta, *, key):
        z = sx.sample(key, coin(0.2), via=sx.DisARM(), name="coin")
        return theta**2 * (1 + z)

    assert jax.grad(jax.grad(lambda t: sx.expectation(f)(t, key=key)))(0.3) >= 2.0
