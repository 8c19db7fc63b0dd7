"""Programs on four devices beside the same programs under vmap, run as a script that prints both as JSON.

JAX must be told of its devices before it starts, so this is a process of its own. Each way all programs are one compiled
function. test_mesh.py runs it and says what is right.
"""

import functools
import json
import os
import sys
import warnings
from typing import Any

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import lax
from jax.sharding import Mesh, PartitionSpec

import spanax as sx

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
warnings.simplefilter("error")


def draw(bridge, family: Any = dist.BernoulliLogits):
    def f(t, *, key):
        z = sx.sample(key, family(t), via=bridge)
        return (z - 0.25) ** 2 * jnp.sin(t) + z

    return f


def in_a_scan(t, *, key):
    def step(c, k):
        z = sx.sample(k, dist.Bernoulli(logits=t + c), via=sx.ScoreFunction())
        sx.cost(z * t)
        return c + 0.1 * z, None

    return lax.scan(step, 0.0 * t * jax.random.uniform(key), jax.random.split(key, 3))[0] ** 2


def in_a_cond(t, *, key):
    a, b = jax.random.split(key)
    z = sx.sample(a, dist.Bernoulli(logits=t), via=sx.ScoreFunction())

    def one():
        sx.cost(t)
        return t * sx.sample(b, dist.Bernoulli(logits=2 * t), via=sx.ScoreFunction())

    return lax.cond(z > 0.5, one, lambda: t**2)


def a_branching_draw_in_a_cond(t, *, key):
    a, b = jax.random.split(key)
    z = sx.sample(a, dist.Bernoulli(logits=t), via=sx.ScoreFunction())
    return lax.cond(z > 0.5, lambda: t * sx.sample(b, dist.Bernoulli(logits=t), via=sx.Enumerate()), lambda: t**2)


def in_a_checkpoint(t, *, key):
    return jax.checkpoint(draw(sx.ScoreFunction()))(t, key=key)


def costs(t, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=t), via=sx.ScoreFunction())
    sx.cost(z * t)
    sx.cost(2.0)
    return t


def sum_of_parameters(t, *, key):
    """Each device's cost of its own draw, whose parameter comes from all of them; and a sum behind that draw."""
    z = sx.sample(key, dist.Bernoulli(logits=lax.psum(t, "i")), via=sx.Enumerate())
    return z * t * lax.pmean(t, "i")


def mean_of_pathwise_draws(t, *, key):
    return t * lax.pmean(sx.sample(key, dist.Normal(t, 1.0), via=sx.Pathwise()), "i")


def axis_index(t, *, key):
    return sx.sample(key, dist.Bernoulli(logits=t), via=sx.ScoreFunction()) * lax.axis_index("i").astype(t.dtype)


def estimates(f, **options):
    return lambda t, key: jax.value_and_grad(sx.expectation(f, **options))(t, key=key)


BRIDGES = {
    "ScoreFunction": sx.ScoreFunction(),
    "a baseline": sx.ScoreFunction(baseline=0.3),
    "Enumerate": sx.Enumerate(),
    "LeaveOneOut": sx.LeaveOneOut(3),
    "DisARM": sx.DisARM(),
    "GumbelSoftmax": sx.GumbelSoftmax(),
    "GumbelSoftmax(hard)": sx.GumbelSoftmax(hard=True),
    "StraightThrough": sx.StraightThrough(),
    "ReinMax": sx.ReinMax(),
}
ESTIMATES = {
    **{name: draw(bridge) for name, bridge in BRIDGES.items()},
    "Pathwise": draw(sx.Pathwise(), lambda t: dist.Normal(t, 1.0)),
    "Pathwise of a Gamma": draw(sx.Pathwise(), lambda t: dist.Gamma(1 + t**2, 1.0)),
    "ScoreFunction of a Normal": draw(sx.ScoreFunction(), lambda t: dist.Normal(t, 1.0)),
    "scan": in_a_scan,
    "cond": in_a_cond,
    "checkpoint": in_a_checkpoint,
    "costs": costs,
    "axis_index": axis_index,
}


def rows(t):
    return t + jnp.array([0.3, -0.1, 0.2])


def a_while_loop(t, key):
    def f(t, *, key):
        def step(state):
            n, key, total = state
            a, key = jax.random.split(key)
            z = sx.sample(a, dist.Bernoulli(logits=t), via=sx.ScoreFunction())
            return n + 1, key, total + z * t

        return lax.while_loop(lambda state: state[0] < 2, step, (0, key, 0.0 * t))[2]

    return jax.jvp(lambda t: sx.expectation(f)(t, key=key), (t,), (1.0 + 0.0 * t,))


def its_aux(t, key):
    def f(t, *, key):
        z = sx.sample(key, dist.Bernoulli(logits=t), via=sx.Enumerate())
        return z * t, {"z": z, "t": t}

    return jax.value_and_grad(sx.expectation(f, has_aux=True), has_aux=True)(t, key=key)


def by_a_derivative_inside(t, key):
    def f(t, *, key):
        z = sx.sample(key, dist.Normal(t, 1.0), via=sx.Pathwise())
        return jax.grad(lambda x: jnp.sin(x * z))(t)

    return estimates(f)(t, key)


def sorted_values(t, key):
    def f(t):
        return jnp.sum(sx.hard.sort(rows(t)) * jnp.arange(3.0)) + jnp.sum(
            sx.hard.rank(rows(t), via=sx.Soft(0.1)) * jnp.arange(3.0)
        )

    return jax.value_and_grad(f)(t)


def steps(t, key):
    def f(t):
        return sx.hard.where(sx.hard.greater(t, 0.2, via=sx.StraightThrough(sx.Soft(0.1))), t, t**2) + jnp.sum(
            sx.hard.argmax(rows(t), via=sx.Perturbed(0.5), key=key) * jnp.arange(3.0)
        )

    return jax.value_and_grad(f)(t)


def a_smoothed_function(t, key):
    smoothed = sx.smooth(lambda x: jnp.where(x > 0.2, x, x**2), via=sx.Smoothing(0.3, pairs=4))
    return jax.value_and_grad(smoothed)(t, key=key)


def a_black_box(t, key):
    box = sx.blackbox(
        lambda x: np.float32(np.sin(x)), jax.ShapeDtypeStruct((), jnp.float32), via=sx.FiniteDifference(1e-2)
    )
    return jax.value_and_grad(box)(t)


def a_plain_call(t, key):
    sx.cost(t)
    return sx.sample(key, dist.Bernoulli(logits=t), via=sx.ScoreFunction())


def second_derivative(t, key):
    return jax.grad(jax.grad(lambda t: sx.expectation(draw(sx.Enumerate()))(t, key=key)))(t)


def a_draw_that_reaches_nothing(t, key):
    def f(t, *, key):
        sx.sample(key, dist.Bernoulli(logits=t), via=sx.ScoreFunction())
        return t**2

    return estimates(f)(jnp.float32(0.3), key)


def what_a_loop_carries_unchanged(t, key):
    """Each device decides how many passes it makes; what is the same on all of them is no result of that."""

    def f(t, *, key):
        z = sx.sample(key, dist.Bernoulli(logits=t), via=sx.ScoreFunction())
        start = (1.0 + 0.0 * z, t)
        grown, same = lax.while_loop(lambda state: state[0] < 3.0 * z, lambda state: (2.0 * state[0], state[1]), start)
        return grown * same

    return sx.expectation(f)(jnp.float32(0.3), key=key)


PROGRAMS = {
    **{name: estimates(f) for name, f in ESTIMATES.items()},
    "a value": lambda t, key: sx.expectation(ESTIMATES["Enumerate"])(t, key=key),
    "a Branching draw in a cond": estimates(a_branching_draw_in_a_cond),
    **{f"{n}, 4 samples": estimates(ESTIMATES[n], samples=4) for n in ("ScoreFunction", "DisARM", "Pathwise", "scan")},
    **{
        f.__name__: f
        for f in (
            a_while_loop,
            its_aux,
            by_a_derivative_inside,
            sorted_values,
            steps,
            a_smoothed_function,
            a_black_box,
            a_plain_call,
            second_derivative,
            a_draw_that_reaches_nothing,
            what_a_loop_carries_unchanged,
        )
    },
}


def a_cost_in_one_branch(t, *, key):
    a, b = jax.random.split(key)
    z = sx.sample(a, dist.Bernoulli(logits=t), via=sx.ScoreFunction())

    def one(t):
        sx.cost(z)
        return sx.sample(b, dist.Bernoulli(logits=2 * t), via=sx.Enumerate())

    return lax.cond(z > 0.5, one, lambda t: t, z + t)


def a_shared_leaf_of_a_black_box(t, key):
    manual = sx.Manual(vjp=lambda x, y, ct: {"a": ct * x["b"], "b": ct * x["a"]})
    out = jax.ShapeDtypeStruct((), jnp.float32)
    product = sx.blackbox(lambda x: np.float32(x["a"] * x["b"]), out, via=manual)
    return jax.value_and_grad(lambda t: product({"a": t, "b": jax.random.normal(key)}))(t)


def noisy_rows(t, key):
    x = jax.random.normal(key, (3,)) + t
    return jnp.sum(sx.hard.sort(x) * jnp.arange(3.0) ** 2 * t)


# theta is the same on all devices: JAX sums the derivative over them.
def no_bridge(h):
    def f(t, *, key):
        return jnp.sum(h(sx.sample(key, dist.Normal(t, jnp.ones(2)).to_event(1))))

    def noted(t, key):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sx.SpanaxWarning)  # of a jump
            return estimates(f)(t, key)

    return noted


SHARED = {
    "a continuous program": no_bridge(jax.nn.leaky_relu),
    "a program that jumps": no_bridge(jnp.floor),
    **{n: estimates(ESTIMATES[n]) for n in ("ScoreFunction", "Enumerate", "DisARM", "Pathwise", "costs", "scan")},
    "a cost in one branch": estimates(a_cost_in_one_branch),
    "a_shared_leaf_of_a_black_box": a_shared_leaf_of_a_black_box,
    "noisy_rows": jax.value_and_grad(noisy_rows),
}
ACROSS = {
    "sum of parameters": estimates(sum_of_parameters),
    "mean of pathwise draws": estimates(mean_of_pathwise_draws),
}


def a_mean_of_draws(t, *, key):
    return lax.pmean(sx.sample(key, dist.Bernoulli(logits=t), via=sx.ScoreFunction()), "i") * t


def a_shared_branch(t, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=t), via=sx.ScoreFunction())
    return lax.cond(z > 0.5, lambda: t, lambda: t**2)


def a_shared_carry(t, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=t), via=sx.ScoreFunction())
    return lax.while_loop(lambda state: state[0] < z, lambda state: (state[0] + 1, 2 * state[1]), (0.0 * z, t))[1]


def a_baseline_of_its_own(t, key):
    """The draws are the same on all devices, the baseline is not."""
    baseline = jax.random.normal(key)
    via = sx.ScoreFunction(baseline=baseline)
    return estimates(draw(via))(t, jax.random.key(1))


def a_temperature_of_its_own(t, key):
    def f(t, *, key):
        return sx.sample(key, dist.Bernoulli(logits=t), via=sx.ScoreFunction(), name="z")

    return estimates(f, via={"z": sx.GumbelSoftmax(temperature=jax.random.uniform(key))})(t, jax.random.key(1))


def a_sum_behind_branches(t, *, key):
    """The rest of the program would run in the branches, where the devices take different ones."""
    branch = lax.axis_index("i") > 1
    z = lax.cond(branch, lambda: sx.sample(key, dist.Bernoulli(logits=t), via=sx.Enumerate()), lambda: 0.0 * t + 1.0)
    return z * lax.psum(t, "i")


REFUSED = {
    "a mean of draws": estimates(a_mean_of_draws),
    "a shared branch": estimates(a_shared_branch),
    "a shared carry": estimates(a_shared_carry),
    "a_baseline_of_its_own": a_baseline_of_its_own,
    "a_temperature_of_its_own": a_temperature_of_its_own,
}
A_SUM_BEHIND_BRANCHES = estimates(a_sum_behind_branches)

THETA = jnp.array([0.3, -0.2, 0.5, 0.9])
MESH = Mesh(np.array(jax.devices()), ("i",))
ROWS = PartitionSpec("i")
FEW = {
    **ACROSS,
    "ScoreFunction, 4 samples": PROGRAMS["ScoreFunction, 4 samples"],
    "a mean of draws": REFUSED["a mean of draws"],
}


def on_devices(f, theta=ROWS, **options):
    """f of each device's row of theta and of the keys."""

    def one(t, keys):
        return jax.tree.map(lambda x: jnp.asarray(x)[None], f(t[0] if t.shape else t, keys[0]))

    return jax.shard_map(one, mesh=MESH, in_specs=(theta, ROWS), out_specs=ROWS, **options)


def run(way, programs, theta):
    """The arrays that each program gives, one row a device, and the message of its error where it has one."""
    errors = {}

    def all_of_them(t, key):
        results = {}
        for name, program in programs.items():
            try:
                results[name] = jax.tree.leaves(program(t, key))
            except Exception as error:  # reported to the test, by name
                errors[name] = f"{type(error).__name__}: {error}"
        return results

    results = jax.device_get(way(all_of_them)(theta, jax.random.split(jax.random.key(0), 4)))
    return {"results": jax.tree.map(np.ndarray.tolist, results), "errors": errors}


vmapped = functools.partial(jax.vmap, axis_name="i")


def of_few():
    """Enough to see that devices give the numbers of vmap, and that what is refused by one is refused by the other."""
    return {
        "vmap": run(lambda f: jax.jit(vmapped(f)), FEW, THETA),
        "shard_map": run(lambda f: jax.jit(on_devices(f, check_vma=False)), FEW, THETA),
    }


def of_all():
    alone, everywhere = {**PROGRAMS, **ACROSS}, PartitionSpec()
    return {
        "vmap": run(lambda f: jax.jit(vmapped(f)), {**alone, "a mean of draws": REFUSED["a mean of draws"]}, THETA),
        "shard_map": run(
            lambda f: jax.jit(on_devices(f)), {**alone, "a sum behind branches": A_SUM_BEHIND_BRANCHES}, THETA
        ),
        "shard_map, check_vma=False": run(lambda f: jax.jit(on_devices(f, check_vma=False)), FEW, THETA),
        "shard_map, not compiled": run(on_devices, {"a value": PROGRAMS["a value"]}, THETA),
        "pmap": run(functools.partial(jax.pmap, axis_name="i"), FEW, THETA),
        "shared theta, vmap": run(lambda f: jax.jit(vmapped(f, in_axes=(None, 0))), SHARED, THETA[0]),
        "shared theta": run(lambda f: jax.jit(on_devices(f, everywhere)), {**SHARED, **REFUSED}, THETA[0]),
    }


if __name__ == "__main__":
    print(json.dumps(of_few() if sys.argv[1:] == ["few"] else of_all()))
