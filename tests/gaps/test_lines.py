"""Every gap carries the user's file and line.

A line that holds a gap ends with `# GAP: label`, here or in `elsewhere.py`; a program declares the labels of its gaps, and
the report must hold those lines and no others.
"""

import functools
import os
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import pytest
from jax import lax

import spanax as sx
from spanax import _jaxprs
from tests.gaps import elsewhere

KEY = jax.random.key(3)
TABLE = jnp.array([0.5, -1.0, 2.0, 0.1])
X = jnp.array([0.3, -1.2, 2.4, 0.9])


def number(x):
    return x.astype(jnp.float32)


def marked_lines():
    """label -> (file, line, text) of every marked line."""
    found = {}
    for path in (__file__, elsewhere.__file__):
        with open(path, encoding="utf-8") as file:
            for line, text in enumerate(file, 1):
                if match := re.search(r"  # GAP: ([\w-]+)$", text.rstrip()):
                    assert match[1] not in found, match[1]
                    found[match[1]] = (os.path.realpath(path), line, text.strip())
    return found


PROGRAMS = {}


def program(*labels, argument=X):
    """The function's gaps are on the lines with these labels."""

    def register(f):
        PROGRAMS[f.__name__] = (f, labels, argument)
        return f

    return register


@program("straight")
def straight(x):
    y = jnp.sin(x)
    z = jnp.round(y)  # GAP: straight
    return y * z


@program("first", "second", "third")
def three_in_a_row(x):
    a = jnp.floor(x)  # GAP: first
    b = jnp.where(x > 0, a, x)  # GAP: second
    return b + jnp.sign(x)  # GAP: third


@program("same-call-1", "same-call-2")
def the_same_library_call_twice(x):
    a = jnp.trunc(x)  # GAP: same-call-1
    b = jnp.trunc(2.0 * x)  # GAP: same-call-2
    return x + a + b


@program("operators")
def method_and_operator(x):
    return x + (x // 0.5)  # GAP: operators


@program("jit")
def jit(x):
    @jax.jit
    def inner(v):
        w = jnp.cos(v)
        return w + jnp.ceil(w)  # GAP: jit

    return inner(x)


@program("jit-in-jit", "jit-around-jit")
def nested_jit(x):
    @jax.jit
    def inner(v):
        return jnp.round(v)  # GAP: jit-in-jit

    @jax.jit
    def outer(v):
        w = inner(v) + v
        return w + jnp.floor(w)  # GAP: jit-around-jit

    return outer(x)


@program("jit-called-twice")
def one_jitted_function_from_two_lines(x):
    @jax.jit
    def step(v):
        return number(v > 0)  # GAP: jit-called-twice

    a = step(x)
    b = step(-x)
    return x * a + b


@program("scan-body")
def scan_body(x):
    def body(c, v):
        c = c + v
        return c + jnp.round(v), c  # GAP: scan-body

    return lax.scan(body, 0.0, x)


@program("outer-scan", "inner-scan")
def nested_scan(x):
    def inner(c, v):
        return c + jnp.sign(v - c), None  # GAP: inner-scan

    def outer(c, v):
        c, _ = lax.scan(inner, c, x)
        return c * jnp.floor(v), v  # GAP: outer-scan

    return lax.scan(outer, 0.0, x)


@program("predicate", "yes", "no")
def cond_branches(x):
    def yes(v):
        return v + jnp.round(v)  # GAP: yes

    def no(v):
        w = jnp.floor(v)  # GAP: no
        return v - w

    return lax.cond(
        jnp.sum(x) > 0,  # GAP: predicate
        yes,
        no,
        x,
    )


@program("switch-index", "switch-second")
def switch(x):
    index = x[0].astype(int)  # GAP: switch-index
    branches = [
        lambda v: v,
        lambda v: v * jnp.ceil(v),  # GAP: switch-second
    ]
    return lax.switch(index, branches, x)


@program("fori")
def fori_loop(x):
    def body(i, c):
        return c.at[i].add(jnp.round(c[i]))  # GAP: fori

    return lax.fori_loop(0, 3, body, x)


@program("while-condition")
def while_condition(x):
    size = jnp.sum(jnp.tanh(x) ** 2)

    def small(i):
        return 0.5 * number(i) < size  # GAP: while-condition

    return x * number(lax.while_loop(small, lambda i: i + 1, 0))


@program("while")
def while_loop(x):
    return lax.while_loop(lambda c: c[0] < 4, lambda c: (c[0] + 1, 0.9 * c[1]), (0, x))[1]  # GAP: while


@program("lambda")
def in_a_lambda(x):
    hard = lambda v: jnp.round(v)  # GAP: lambda
    return x + hard(2.0 * x)


@program("mapped-lambda")
def lambda_under_lax_map(x):
    return lax.map(
        lambda v: v + jnp.floor(v),  # GAP: mapped-lambda
        x,
    )


@program("elsewhere")
def another_module(x):
    return x + elsewhere.quantize(x)


@program("elsewhere-jit", "after-elsewhere")
def another_module_jitted(x):
    y = x + elsewhere.quantize_jitted(x)
    return y + jnp.round(y)  # GAP: after-elsewhere


@program("elsewhere-condition", "elsewhere-branch")
def another_module_under_vmap(x):
    return jax.vmap(elsewhere.positive_part)(x)


@program("elsewhere-method")
def method_of_a_module(x):
    return elsewhere.Threshold(jnp.array(0.2))(x)


class Layer(eqx.Module):
    weight: jax.Array

    def __call__(self, x):
        return self.weight * self.activate(x)

    def activate(self, x):
        y = jnp.tanh(x)
        return y + jnp.sign(y)  # GAP: method


@program("method")
def method_of_a_module_here(x):
    return Layer(TABLE)(x)


@program("method")
def filter_jitted_method(x):
    return eqx.filter_jit(Layer(TABLE))(x)


@program("method")
def mapped_module(x):
    return jax.vmap(Layer(jnp.array(2.0)))(x)


@program("vmap")
def vmap(x):
    def one(v):
        w = 3.0 * v
        return w + jnp.round(w)  # GAP: vmap

    return jax.vmap(one)(x)


@program("vmap-argmax")
def vmap_of_index(x):
    def one(row):
        best = jnp.argmax(row)  # GAP: vmap-argmax
        return row[best]

    return jax.vmap(one)(jnp.outer(x, TABLE))


@program("multi-line-call")
def multi_line_call(x):
    return (
        jnp.sin(x)
        + jnp.round(  # GAP: multi-line-call
            2.0 * x
            + 1.0,
        )
        + jnp.cos(x)
    )  # fmt: skip


@program("multi-line-compare")
def multi_line_condition(x):
    return jnp.where(
        x[::-1]  # GAP: multi-line-compare
        > 0.5 * x,
        x,
        0.0,
    )  # fmt: skip


@program("multi-line-chain")
def multi_line_chain(x):
    return x * (
        (4.0 * x)
        .astype(int)  # GAP: multi-line-chain
        .astype(jnp.float32)
    )  # fmt: skip


@program("comprehension")
def comprehension(x):
    return sum(
        v + jnp.round(v)  # GAP: comprehension
        for v in x
    )


@program("list-comprehension", "one-line-comprehension")
def comprehensions_of_calls(x):
    parts = [
        elsewhere_free_step(v)
        for v in jnp.split(x, 2)
        if v.size
    ]  # fmt: skip
    return jnp.concatenate([jnp.floor(p) + p for p in parts])  # GAP: one-line-comprehension


def elsewhere_free_step(v):
    return v + jnp.heaviside(v, 0.5)  # GAP: list-comprehension


@program("bernoulli")
def draw_bernoulli(x):
    p = jax.nn.sigmoid(x)
    return p * number(jax.random.bernoulli(KEY, p))  # GAP: bernoulli


@program("categorical")
def draw_categorical(x):
    z = jax.random.categorical(KEY, x)  # GAP: categorical
    return x[z]


@program("poisson")
def draw_poisson(x):
    rate = jnp.exp(0.3 * x)
    z = jax.random.poisson(KEY, rate)  # GAP: poisson
    return rate * number(z)


@program("binomial")
def draw_binomial(x):
    return x * jax.random.binomial(KEY, 5.0, jax.nn.sigmoid(x))  # GAP: binomial


@program("numpyro-bernoulli")
def draw_numpyro_bernoulli(x):
    coin = dist.Bernoulli(logits=x)
    return x * number(coin.sample(KEY))  # GAP: numpyro-bernoulli


@program("numpyro-categorical")
def draw_numpyro_categorical(x):
    die = dist.Categorical(logits=x)
    z = die.sample(KEY, (3,))  # GAP: numpyro-categorical
    return x[z]


@program("numpyro-poisson")
def draw_numpyro_poisson(x):
    z = dist.Poisson(jnp.exp(0.3 * x)).sample(KEY)  # GAP: numpyro-poisson
    return x * number(z)


@program("numpyro-model")
def draw_numpyro_model(x):
    with numpyro.handlers.seed(rng_seed=0):
        z = numpyro.sample("z", dist.Bernoulli(logits=x))  # GAP: numpyro-model
    return x * number(z)


@program("draw-in-scan")
def draw_in_scan(x):
    def step(c, key):
        up = jax.random.bernoulli(key, jax.nn.sigmoid(c))  # GAP: draw-in-scan
        return c + 2.0 * number(up) - 1.0, None

    return lax.scan(step, x, jax.random.split(KEY, 3))


@program("draw-under-vmap")
def draw_under_vmap(x):
    def one(v, key):
        return v * number(jax.random.bernoulli(key, jax.nn.sigmoid(v)))  # GAP: draw-under-vmap

    return jax.vmap(one)(x, jax.random.split(KEY, 4))


@jax.custom_jvp
def zero_rule(x):
    return x + jnp.round(x)


@zero_rule.defjvp
def _(primals, tangents):
    return zero_rule(*primals), jnp.zeros_like(tangents[0])


@jax.custom_jvp
def straight_through(x):
    return jnp.round(x)


@straight_through.defjvp
def _(primals, tangents):
    return straight_through(*primals), tangents[0]


@program("zero-rule")
def custom_rule_of_zero(x):
    y = jnp.sin(x)
    return y * zero_rule(y)  # GAP: zero-rule


@program("after-straight-through")
def custom_rule_is_opaque(x):
    y = straight_through(3.0 * x)
    return y + jnp.floor(y)  # GAP: after-straight-through


@program("checkpoint")
def checkpoint(x):
    @jax.checkpoint
    def block(v):
        w = jnp.tanh(v)
        return w + jnp.ceil(w)  # GAP: checkpoint

    return block(x)


@program("checkpointed-scan")
def checkpointed_scan(x):
    @jax.checkpoint
    def step(c, v):
        return jnp.where(v > c, v, c), None  # GAP: checkpointed-scan

    return lax.scan(step, 0.0, x)


@program("inner-loss")
def grad_of_inner_function(x):
    def loss(v):
        return jnp.sum(v * v * jnp.round(v))  # GAP: inner-loss

    return jax.grad(loss)(x)


@program("inner-jvp")
def jvp_of_inner_function(x):
    def inner(v):
        w = jnp.sin(v)
        return w * jnp.floor(v)  # GAP: inner-jvp

    return jax.jvp(inner, (x,), (jnp.ones_like(x),))


@program("host")
def host_callback(x):
    y = jnp.sin(x)
    return jax.pure_callback(lambda v: v, jax.ShapeDtypeStruct(x.shape, x.dtype), y)  # GAP: host


@program("stopped")
def stop_gradient(x):
    target = lax.stop_gradient(jnp.sin(x))  # GAP: stopped
    return (x - target) ** 2


@program("decorated")
def decorated(x):
    def doubled(f):
        @functools.wraps(f)
        def wrapper(v):
            return 2.0 * f(v)

        return wrapper

    @doubled
    def inner(v):
        return v + jnp.round(v)  # GAP: decorated

    return inner(x)


@program("searchsorted", "histogram")
def library_calls(x):
    cell = jnp.searchsorted(TABLE, x)  # GAP: searchsorted
    counts = jnp.histogram(x, bins=3, range=(-1.0, 1.0))[0]  # GAP: histogram
    return x * number(cell) + jnp.sum(counts)


@program()
def nothing_to_report(x):
    return jax.nn.softmax(jnp.sort(jnp.interp(x, jnp.sort(TABLE), TABLE)))


def gaps_of(name):
    f, _, argument = PROGRAMS[name]
    # numpyro itself mixes booleans and integers
    with jax.numpy_dtype_promotion("standard" if "numpyro" in name else "strict"):
        return sx.find_gaps(f, argument).gaps


@functools.cache
def lines():
    return marked_lines()


def test_every_mark_belongs_to_a_program():
    assert {label for _, labels, _ in PROGRAMS.values() for label in labels} == set(lines())


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_run(name):
    f, _, argument = PROGRAMS[name]
    with jax.numpy_dtype_promotion("standard" if "numpyro" in name else "strict"):
        jax.make_jaxpr(f)(argument)


@pytest.mark.few(25)
@pytest.mark.parametrize("name", PROGRAMS)
def test_gaps_are_on_the_marked_lines(name):
    expected = {lines()[label] for label in PROGRAMS[name][1]}
    assert {(os.path.realpath(gap.file), gap.line, gap.source) for gap in gaps_of(name)} == expected


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name.startswith("draw_")])
def test_a_draw_is_one_entry(name):
    (gap,) = gaps_of(name)
    assert gap.operation.endswith(" draw")


def test_lines_do_not_depend_on_who_traced_first():
    """JAX keeps traced sub-programs: the second caller must not be blamed on the first one's line."""
    before = [(gap.line, gap.source) for gap in gaps_of("the_same_library_call_twice")]
    gaps_of("another_module_jitted")
    jax.jit(jnp.trunc)(X)
    assert [(gap.line, gap.source) for gap in gaps_of("the_same_library_call_twice")] == before


def test_lines_that_a_library_keeps_of_others_do_not_count():
    """JAX keeps the compiled programs of its functions, with the place that was set when they were traced first."""
    other = jax.make_jaxpr(lambda x: jnp.sin(x))(1.0).jaxpr.eqns[0]
    x = jnp.arange(7.0)  # a shape that no other test traces these with
    with _jaxprs.at(other):
        jax.make_jaxpr(lambda x: jax.nn.leaky_relu(jnp.interp(x, jnp.arange(5.0), jnp.arange(5.0))))(x)
        jax.make_jaxpr(jnp.trunc)(x)
    assert sx.find_gaps(lambda x: jax.nn.leaky_relu(jnp.interp(x, jnp.arange(5.0), jnp.arange(5.0))), x).gaps == ()
    (gap,) = sx.find_gaps(lambda x: jnp.trunc(x), x).gaps
    assert gap.operation == "trunc"
