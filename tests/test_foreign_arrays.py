"""Arrays of other libraries are refused by every public function, and by what they return: one line says what to do.

The functions are the library's own lists. None of these libraries need be installed: classes are told by their modules.
"""

import inspect
import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest

import spanax as sx
from spanax import control


def stand_in(module, name):
    """A class as that library's, which NumPy and JAX take for an array."""

    def array(self, dtype=None, copy=None):
        return np.asarray(0.5, dtype)

    members = {
        "__array__": array,
        "detach": lambda self: self,
        "to_numpy": array,
        "shape": (),
        "dtype": np.dtype(float),
    }
    members |= {"__module__": module, "ndim": 0, "__float__": lambda self: 0.5}
    return type(name, (), members)()


class Parameter(type(stand_in("torch", "Tensor"))):
    """As `torch.nn.Parameter` is: of a class of the user's, derived from a tensor."""


FOREIGN = {
    "torch": stand_in("torch", "Tensor"),
    "a parameter": Parameter(),
    "tensorflow": stand_in("tensorflow.python.framework.ops", "EagerTensor"),
    "cupy": stand_in("cupy._core.core", "ndarray"),
    "pandas": stand_in("pandas.core.series", "Series"),
}
HOW = {
    "torch": r"an array of PyTorch \(Tensor\), .*: convert it, x.detach\(\).cpu\(\).numpy\(\)",
    "a parameter": r"an array of PyTorch \(Parameter\)",
    "tensorflow": r"an array of TensorFlow \(EagerTensor\), .* x.numpy\(\)",
    "cupy": r"an array of CuPy \(ndarray\), .*from_dlpack",
    "pandas": r"an array of pandas \(Series\), .* x.to_numpy\(\)",
}
if "torch" in sys.modules:
    FOREIGN["torch"] = sys.modules["torch"].tensor(0.5)

KEY = jax.random.key(0)
ENV, POLICY = control.Pendulum(), control.MLPPolicy(control.Pendulum(), key=KEY, width=2)
STILL = lambda x: x
TRAJECTORY = control.Trajectory(None, jnp.ones((3, 3)), jnp.ones((3, 1)), jnp.ones(3), jnp.ones(3, bool), None)


def f(x, *others):
    return x * 1.0


def g(x, *, key):
    return sx.sample(key, dist.Normal(x, 1.0))


def hole(x):
    return jax.ShapeDtypeStruct((), float)


def policy_loss(logp, old_logp, rewards, mask):
    return jnp.sum(logp)


AUDIT = sx.judge.PolicyAudit(lambda table, tokens: table, lambda tokens: 1.0, vocabulary=2, length=1)
BOX = sx.blackbox(lambda x: 1.0, hole, via=sx.FiniteDifference(0.1))
CALLS = {  # of functions that take a program: what the user writes
    "find_gaps": lambda x: sx.find_gaps(f, x),
    "assert_alive": lambda x: sx.assert_alive(f, x),
    "find_jumps": lambda x: sx.find_jumps(f, x, key=KEY, radius=1.0),
    "hidden_gradient": lambda x: sx.hidden_gradient(f, x, key=KEY, sigma=1.0),
    "check_gradient": lambda x: sx.check_gradient(g, x, key=KEY),
    "trust": lambda x: sx.trust(f, x, key=KEY),
    "compare": lambda x: sx.compare(g, x, key=KEY, vias={"a": [sx.Pathwise()]}),
    "recommend": lambda x: sx.recommend(g, x, key=KEY),
    "gradient": lambda x: sx.gradient(f, x),
    "value_and_gradient": lambda x: sx.value_and_gradient(f, 1.0, x),
    "custom": lambda x: sx.custom(f, f)(x),
    "lift": lambda x: sx.lift(f)(x),
    "smooth": lambda x: sx.smooth(f)(x, key=KEY),
    "soften": lambda x: sx.soften(f, 0.1)(x),
    "expectation": lambda x: sx.expectation(g)(x, key=KEY),
    "expect": lambda x: sx.expect(STILL, dist.Delta(x), key=KEY),
    "sample": lambda x: sx.sample(KEY, dist.Delta(x)),
    "cost": lambda x: sx.cost(x),
    "blackbox": lambda x: BOX(x),
    "rollout": lambda x: control.rollout(ENV, POLICY, x, 3),
    "evaluate": lambda x: control.evaluate(ENV, POLICY, x),
    "event": lambda x: control.event(lambda s, t: s - t, lambda s: s, x, within=1.0),
    "descend": lambda x: sx.descend(f, x, optimizer=optax.sgd(0.1), steps=1, key=KEY),
    "least_squares": lambda x: sx.least_squares(lambda a: a, x),
    "fit_surrogate": lambda x: sx.fit_surrogate(f, (x, 1.0), key=KEY, evaluations=99),
    "scipy_objective": lambda x: sx.scipy_objective(f, like=x),
    "mirrored": lambda x: control.mirrored(POLICY, observation=x),
    "aim": lambda x: control.aim(x, 0.0),
    "reach": lambda x: control.reach(x),
    "shoot": lambda x: control.shoot(0.0, x, 200.0),
    "throw": lambda x: control.throw(x, 45.0, 200.0),
    "animate": lambda x: control.animate(
        ENV, control.rollout(ENV, POLICY, jnp.zeros(2), 2)._replace(rewards=x), "a.gif"
    ),
    "identify": lambda x: control.identify(ENV, [TRAJECTORY._replace(actions=x)], parameters=["m"], key=KEY),
    "train": lambda x: control.train(ENV, (POLICY, x), via=control.BPTT(), key=KEY),
}
MORE = {
    "MPC": lambda x: control.MPC(ENV, 2).act(x),
    "keyword": lambda x: sx.find_gaps(lambda a, b: a * b, 1.0, b=x),
    "sigma": lambda x: sx.gradient(f, x, sigma=0.1, key=KEY),
    "black box, derivative": lambda x: jax.grad(lambda a: BOX({"a": a, "b": x}))(1.0),
    "fitted": lambda x: BOX.fitted(x),
    "check": lambda x: BOX.check(x, key=KEY),
    "bounds": lambda x: sx.blackbox(f, hole, via=sx.SPSA(0.1), bounds=(x, 1.0)),
    "step": lambda x: sx.FiniteDifference(x),
    "sigma of a bridge": lambda x: sx.Smoothing(x),
    "expected_loss": lambda x: AUDIT.expected_loss(x),
    "candidate": lambda x: AUDIT.candidate(policy_loss)(x, key=KEY),
    "sampled_by": lambda x: AUDIT.candidate(policy_loss, sampled_by=x),
    "prompts": lambda x: sx.judge.PolicyAudit(STILL, STILL, vocabulary=2, length=1, prompts=x),
    "kept_hard": lambda x: sx.soften(f, 0.1).kept_hard(x),
}
NOT_OF_NUMBERS = {
    "command",
    "load_surrogate",
    "load_policy",
    "quasi_newton",
    "processes",
    "ray_executor",
    "to_gymnasium",
    "from_mujoco",
    "from_playground",
    "from_gymnasium",
}


def functions(module):
    return {name: v for name, v in vars(module).items() if inspect.isfunction(v) and not name.startswith("_")}


def test_every_public_function_is_here():
    public = set(functions(sx)) | set(functions(control))
    assert public - NOT_OF_NUMBERS == set(CALLS)


def refused(call, library):
    with pytest.raises(sx.SpanaxError, match=HOW[library]) as error:
        call(FOREIGN[library])
    assert "test_foreign_arrays.py" in error.value.where


@pytest.mark.few(15)
@pytest.mark.parametrize("name", [*CALLS, *MORE])
def test_refused_by_every_function(name):
    call = (CALLS | MORE)[name]
    refused(call, "torch")
    refused(call, "a parameter")
    if name not in ("sample", "expect", "aim", "reach", "shoot", "throw"):  # within a pytree
        refused(lambda x: call({"a": [1.0, x]}), "torch")


def hard_calls():
    """Each of them, with the array as each of its arguments that are arrays."""
    for name, operation in functions(sx.hard).items():
        needed = [p for p in inspect.signature(operation).parameters.values() if p.default is p.empty]
        for place in needed:
            if place.name in ("num_classes", "length", "k", "axis"):
                continue
            given = {p.name: jnp.ones((3,)) for p in needed} | {"num_classes": 3, "length": 3, "k": 2, "axis": 0}
            given |= {"condlist": [jnp.ones(3, bool)], "choicelist": [jnp.ones(3)]}
            yield pytest.param(operation, given, place.name, [p.name for p in needed], id=f"{name}-{place.name}")


@pytest.mark.few(15)
@pytest.mark.parametrize(("operation", "given", "place", "needed"), list(hard_calls()))
def test_refused_by_every_hard_operation(operation, given, place, needed):
    def call(x):
        value = [x] if place in ("condlist", "choicelist") else x
        return operation(**{name: value if name == place else given[name] for name in needed})

    for library in FOREIGN:
        refused(call, library)


@pytest.mark.parametrize("library", FOREIGN)
def test_each_library_is_told_how(library):
    for name in ("find_gaps", "smooth", "expectation", "blackbox", "compare"):
        refused(CALLS[name], library)
    if library != "pandas":  # a table may be what a plain program reads, and stays what it is
        refused(CALLS["gradient"], library)
        refused(CALLS["lift"], library)


def test_what_is_no_array_of_theirs_is_let_through():
    size = type("Size", (tuple,), {"__module__": "torch"})((2,))
    assert sx.lift(lambda x, shape: x * shape[0])(3.0, size) == 6
    assert sx.hard.relu(np.float32(2.0)) == 2 and sx.hard.relu([1.0, -1.0]).tolist() == [1, 0]
    with pytest.raises(Exception, match="ompar"):  # keys without an order: whoever flattens them says so
        sx.find_gaps(lambda x: x, {1: 1.0, "a": 2.0})


def test_a_tensor_that_a_black_box_returns_is_no_foreign_error():
    def raising(self, dtype=None, copy=None):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad")

    tensor = type("Tensor", (), {"__module__": "torch", "__array__": raising})()
    box = sx.blackbox(lambda x: tensor, hole, via=sx.FiniteDifference(0.1))
    with pytest.raises(sx.SpanaxError, match="returned what is not a NumPy array: RuntimeError"):
        box(1.0)
    assert box.stats().retries == 0
