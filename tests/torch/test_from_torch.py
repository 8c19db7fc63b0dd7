"""A torch module among JAX arrays: against the same network written in jax.numpy."""

import copy
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx

torch = pytest.importorskip("torch")
from spanax.torch import from_torch, to_torch  # noqa: E402

nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


def network(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).to(dtype)


def linear(params, name, x):
    y = x @ params[f"{name}.weight"].T
    return y + jnp.broadcast_to(params[f"{name}.bias"], y.shape)


def same(params, x):
    return linear(params, "2", jnp.tanh(linear(params, "0", x)))


def close(a, b, rtol=2e-5, atol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol, atol), a, b)


def total(f):
    return lambda params, x: jnp.sum(jnp.sin(f(params, x)))


X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
TRANSFORMED = {
    "value": lambda f: f,
    "grad": lambda f: jax.grad(total(f), (0, 1)),
    "vmap of grad": lambda f: jax.vmap(jax.grad(total(f), (0, 1)), (None, 0)),
    "grad of vmap": lambda f: jax.grad(lambda p, x: jax.vmap(total(f), (None, 0))(p, x).sum(), (0, 1)),
    "jvp": lambda f: lambda p, x: jax.jvp(f, (p, x), (p, x)),
    "vmap of jvp": lambda f: jax.vmap(lambda p, x: jax.jvp(f, (p, x), (p, x)), (None, 0)),
    "vmap, another axis": lambda f: jax.vmap(lambda p, x: f(p, x), (None, 1), 1),
    "hessian": lambda f: lambda p, x: jax.hessian(total(f), 1)(p, x[0]),
    "jacrev of jacrev": lambda f: lambda p, x: jax.jacrev(jax.jacrev(total(f), 1), 0)(p, x[0]),
    "jacrev of jacfwd": lambda f: lambda p, x: jax.jacrev(jax.jacfwd(total(f), 1), 0)(p, x[0]),
    "third": lambda f: lambda p, x: jax.jacfwd(jax.hessian(total(f), 1), 1)(p, x[0]),
    "vmap of hessian": lambda f: jax.vmap(jax.hessian(total(f), 1), (None, 0)),
    "scan": lambda f: jax.grad(lambda p, x: jax.lax.scan(lambda c, x: (c + total(f)(p, x), None), 0.0 * x.sum(), x)[0]),
}
LONG = ("third", "vmap of hessian", "jacrev of jacfwd", "vmap of jvp")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in TRANSFORMED]
)
def test_transformations(name):
    f, params = from_torch(network())
    x = jnp.asarray(X.T if name == "vmap, another axis" else X)
    ours, theirs = TRANSFORMED[name](f), TRANSFORMED[name](same)
    close(ours(params, x), theirs(params, x))
    close(jax.jit(ours)(params, x), theirs(params, x))


def test_double_precision(x64):
    f, params = from_torch(network(torch.float64))
    x = jnp.asarray(X, jnp.float64)
    assert params["0.weight"].dtype == jnp.float64
    ours, theirs = (jax.jit(jax.grad(total(g), (0, 1)))(params, x) for g in (f, same))
    close(ours, theirs, 1e-12, 1e-14)


def test_many_modules_at_once():
    f, params = from_torch(network())
    many = jax.tree.map(lambda w: jnp.stack([w, 2 * w, -w]), params)
    both = lambda f: jax.vmap(jax.vmap(f, (None, 0)), (0, None))
    close(jax.jit(both(f))(many, jnp.asarray(X)), both(same)(many, jnp.asarray(X)))


def calls_of(module):
    """How often it is called, by its forward hook, which the copy inside shares."""
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


def test_a_vmap_is_one_call():
    module = network()
    calls = calls_of(module)
    f, params = from_torch(module)
    f(params, jnp.asarray(X[0]))
    calls.clear()
    jax.vmap(f, (None, 0))(params, jnp.asarray(X))
    assert len(calls) == 1


class Odd(nn.Module):
    """It looks at a value, which a vmap of PyTorch refuses."""

    def forward(self, x):
        return x * 2 if x.sum().item() > 0 else x.sin()


def test_what_vmap_refuses_runs_one_by_one_and_says_so():
    f, params = from_torch(Odd())
    x = jnp.asarray(X)
    with pytest.warns(sx.SpanaxWarning, match="once for each of 4 indices of a vmap"):
        y = jax.vmap(f, (None, 0))(params, x)
    close(y, jnp.where(x.sum(1, keepdims=True) > 0, 2 * x, jnp.sin(x)))
    slope = jax.vmap(jax.grad(lambda x: f(params, x).sum()))
    with pytest.warns(sx.SpanaxWarning, match="once for each"):
        close(slope(x), jnp.where(x.sum(1, keepdims=True) > 0, 2.0, jnp.cos(x)))


# -- modules of all sorts


class Several(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.frozen = nn.Parameter(torch.full((3,), 2.0), requires_grad=False)
        self.register_buffer("shift", torch.ones(3))
        self.tied = self.embed

    def forward(self, tokens, extra, scale=1.0, *, mask):
        x = self.embed(tokens) * self.frozen + self.shift
        picked = x.gather(-1, tokens[..., None])
        return {"x": x * scale * mask, "parts": (picked, extra["a"] + 1), "top": x.argmax(-1), "none": None}


def test_several_inputs_and_pytrees():
    module = Several()
    f, params = from_torch(module)
    assert list(params) == ["embed.weight"]
    tokens, extra = jnp.array([0, 2]), {"a": jnp.array([1.5])}
    mask = jnp.array([True, False, True])
    out = jax.jit(lambda p: f(p, tokens, extra, 3.0, mask=mask))(params)
    x = params["embed.weight"][tokens] * 2 + 1
    close(out["x"], x * 3 * mask[None].astype(jnp.float32))
    close(out["parts"], (jnp.take_along_axis(x, tokens[:, None], -1), extra["a"] + 1))
    assert out["top"].dtype == jnp.int32 and set(out) == {"x", "parts", "top"}
    slope = jax.grad(lambda p: f(p, tokens, extra, mask=mask)["x"].sum())(params)
    close(slope["embed.weight"], jnp.zeros((5, 3)).at[tokens].set(2 * mask[None].astype(jnp.float32)))


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # PyTorch's own, about its vmap
def test_recurrent_networks_and_sparse_gradients():
    module = nn.LSTM(3, 4)
    f, params = from_torch(module)
    x = jnp.asarray(X.reshape(2, 2, 3))
    loss = lambda p, x: sum(jnp.sum(y**2) for y in jax.tree.leaves(f(p, x)))
    out, (h, c) = module(torch.from_numpy(np.array(x)))
    ((out**2).sum() + (h**2).sum() + (c**2).sum()).backward()
    close(jax.jit(jax.grad(loss))(params, x), {name: w.grad.numpy() for name, w in module.named_parameters()})
    with pytest.warns(sx.SpanaxWarning, match="once for each of 2 indices"):
        rows = jax.vmap(jax.grad(loss), (None, 0))(params, jnp.stack([x, 2 * x]))
    close(jax.tree.map(lambda g: g[1], rows), jax.grad(loss)(params, 2 * x))
    f, params = from_torch(nn.Embedding(3, 2, sparse=True))
    assert jax.grad(lambda p: f(p, jnp.array([0, 0])).sum())(params)["weight"].tolist() == [[2, 2], [0, 0], [0, 0]]


class Solve(nn.Module):
    """It fails for zeros, and for what is no probability."""

    def forward(self, x):
        entropy = torch.distributions.Bernoulli(probs=x).entropy()
        return torch.linalg.solve(x, entropy)


def test_a_module_that_takes_some_numbers_only():
    f, params = from_torch(Solve())
    x = jnp.asarray(np.random.default_rng(0).uniform(size=(3, 3)), jnp.float32)
    entropy = lambda x: -x * jnp.log(x) - (1 - x) * jnp.log(1 - x)
    slope = jax.jit(jax.grad(lambda x: f(params, x).sum()))(x)
    close(slope, jax.grad(lambda x: jnp.linalg.solve(x, entropy(x)).sum())(x), 1e-3, 1e-3)


def test_bfloat16_and_empty_inputs():
    f, params = from_torch(nn.Linear(3, 2).bfloat16())
    x = jnp.ones((2, 3), jnp.bfloat16)
    assert f(params, x).dtype == jnp.bfloat16
    assert jax.grad(lambda p: f(p, x).sum())(params)["bias"].tolist() == [2, 2]
    assert f(params, x[:0]).shape == (0, 2)
    assert jax.grad(lambda p: f(p, x[:0]).sum())(params)["bias"].tolist() == [0, 0]


def test_a_module_that_overwrites_its_input_leaves_ours():
    f, params = from_torch(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 1)))
    x = jnp.asarray(X)
    before = np.array(x)
    slope = jax.grad(lambda x: f(params, x).sum())(x)
    close(slope, jnp.where(x > 0, params["1.weight"], 0.0))
    assert np.array_equal(x, before)


def test_the_module_itself_stays_as_it_is():
    module = nn.Sequential(network(), nn.Dropout(0.5), nn.BatchNorm1d(2, track_running_stats=False))
    before, state = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    f, params = from_torch(module)
    jax.grad(lambda p: f(p, jnp.asarray(X), key=jax.random.key(0)).sum())(params)
    assert module.training and all(w.grad is None for w in module.parameters())
    assert all(torch.equal(w, before[name]) for name, w in module.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    with torch.no_grad():
        module[0][0].weight.zero_()  # and the other way round
    module.eval()
    assert not np.allclose(f(params, jnp.asarray(X), key=jax.random.key(0)), 0)


def test_the_callers_modes_are_no_arguments():
    f, params = from_torch(network())
    x = jnp.asarray(X)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        slope = jax.grad(total(f))(params, x)
    with torch.inference_mode():
        again = jax.grad(total(f))(params, x)
    close(slope, jax.grad(total(same))(params, x))
    close(again, slope)


def test_batch_norm():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4, 3)), jnp.float32)
    f, params = from_torch(nn.BatchNorm1d(3))
    with pytest.raises(sx.SpanaxError, match=r"updates its buffers when it is called \(num_batches_tracked"):
        f(params, x[0])
    f, params = from_torch(nn.BatchNorm1d(3, track_running_stats=False))  # of each index by itself
    close(jax.vmap(f, (None, 0))(params, x), jnp.stack([f(params, row) for row in x]))
    module = nn.BatchNorm1d(3)
    module(torch.randn(100, 3) * 3 + 1)
    f, params = from_torch(module.eval())
    close(f(params, x[0]), module(torch.from_numpy(np.array(x[0]))).detach().numpy())


def test_dropout():
    f, params = from_torch(nn.Sequential(nn.Linear(3, 50), nn.Dropout(0.5)))
    x, key = jnp.asarray(X), jax.random.key(1)
    y = f(params, x, key=key)
    assert np.array_equal(y, f(params, x, key=key)) and not np.array_equal(y, f(params, x, key=jax.random.key(2)))
    slope = jax.jit(jax.grad(lambda p: f(p, x, key=key).sum()))(params)
    close(slope["0.bias"], 2 * jnp.sum(y != 0, 0))
    keys = jax.random.split(key, 4)
    each = lambda x, k: f(params, x, key=k)
    close(jax.vmap(each)(x, keys), jnp.stack(list(map(each, x, keys))))
    rows = jax.jit(jax.vmap(jax.grad(lambda x, k: each(x, k).sum())))(x, keys)
    close(rows, jnp.stack([jax.grad(lambda x, k: each(x, k).sum())(*pair) for pair in zip(x, keys, strict=True)]))
    with pytest.raises(sx.SpanaxError, match="draws random numbers, and there is no key"):
        f(params, x)
    f, params = from_torch(nn.Dropout(0.5).eval())
    assert np.array_equal(f(params, x), x) and np.array_equal(f(params, x, key=key), x)


class Dead(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        with torch.no_grad():
            return x * self.w


def test_a_module_without_a_derivative_raises():
    f, params = from_torch(Dead())
    x = jnp.ones(3)
    assert f(params, x).tolist() == [1, 1, 1]
    with pytest.raises(sx.SpanaxError, match="it would be 0"):
        jax.grad(lambda p: f(p, x).sum())(params)


def test_errors():
    f, params = from_torch(network())
    x = jnp.asarray(X)
    cases = {
        r"do not fit: \['0.bias', '0.weight', '2.bias'\]": lambda: f({}, x),
        "do not fit: tuple": lambda: f((), x),
        r"0.weight has the shape \(2, 8, 3\)": lambda: f(jax.tree.map(lambda w: jnp.stack([w, w]), params), x),
        "an array of PyTorch": lambda: f(params, torch.ones(3)),
        "overwrites its weights": lambda: from_torch(Halving())[0]({"w": jnp.ones(3)}, x),
        "not a torch.nn.Module": lambda: from_torch(lambda x: x),
        "weight is float64": lambda: from_torch(nn.Linear(1, 1).double()),
        "returns float64": lambda: from_torch(Doubles())[0]({}, x),
        "returns a str": lambda: from_torch(Strings())[0]({}, x),
    }
    for message, call in cases.items():
        with pytest.raises(sx.SpanaxError, match=message):
            call()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        f(params, x[:, :2])


class Halving(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        with torch.no_grad():
            return x * self.w.mul_(0.5)


class Doubles(nn.Module):
    def forward(self, x):
        return x.double()


class Strings(nn.Module):
    def forward(self, x):
        return x, "done"


# -- together with what is ours


@pytest.mark.parametrize("via", [sx.ScoreFunction(), sx.LeaveOneOut(), sx.Enumerate()], ids=lambda v: type(v).__name__)
def test_it_may_be_what_follows_a_draw(via):
    # 12 numbers with 5 standard errors for each: one false alarm in 100,000 runs.
    f, params = from_torch(nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1)))
    logits = jnp.array([0.3, -0.5, 1.0])

    def loss(logits, params, *, key):
        z = sx.sample(key, dist.Bernoulli(logits=logits).to_event(1), via=via)
        return f(params, z)[0] ** 2

    def exact(logits, params):
        z = jnp.array(list(itertools.product([0.0, 1.0], repeat=3)))
        p = jax.nn.sigmoid(logits)
        weights = jnp.prod(jnp.where(z == 1, p[None], 1 - p[None]), 1)
        return weights @ (f(params, z)[:, 0] ** 2)

    count = 1 if isinstance(via, sx.Enumerate) else 2000
    keys = jax.random.split(jax.random.key(3), count)
    grad = jax.grad(sx.expectation(loss, samples=2), (0, 1))
    grads = jax.jit(jax.vmap(lambda key: grad(logits, params, key=key)))(keys)
    for g, want in zip(jax.tree.leaves(grads), jax.tree.leaves(jax.grad(exact, (0, 1))(logits, params)), strict=True):
        errors = np.std(g, 0) / np.sqrt(count)
        assert np.all(np.abs(np.mean(g, 0) - want) <= 5 * errors + 1e-5)


def test_there_and_back():
    module = network()
    f, params = from_torch(module)
    back = to_torch(lambda params, x: f(params, x) ** 2)
    weights = dict(module.named_parameters())
    x = torch.from_numpy(X).requires_grad_()
    ours, theirs = back(weights, x), module(x) ** 2
    torch.testing.assert_close(ours, theirs)
    given = [x, *weights.values()]
    torch.testing.assert_close(torch.autograd.grad(ours.sum(), given), torch.autograd.grad(theirs.sum(), given))


def test_a_module_with_a_jax_function_inside():
    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.f = nn.Parameter(torch.ones(3)), to_torch(jnp.sin)

        def forward(self, x):
            return self.f(x * self.w)

    f, params = from_torch(Inner())
    slope = jax.jit(jax.vmap(jax.grad(lambda p, x: f(p, x).sum()), (None, 0)))(params, jnp.asarray(X))
    close(slope["w"], np.cos(X) * X)


def test_a_policy_in_a_rollout():
    torch.manual_seed(0)
    policy, params = from_torch(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)))
    start = jnp.array([0.5, 0.1])

    def earned(policy):
        return lambda params: sx.control.rollout(
            sx.control.Pendulum(), lambda o: policy(params, o), start, 10
        ).rewards.sum()

    close(jax.jit(jax.grad(earned(policy)))(params), jax.grad(earned(same))(params), 1e-4)
