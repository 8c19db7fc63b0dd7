"""A JAX function among tensors, inside PyTorch's transformations, with keys, compiled, and with all that is ours inside."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx

torch = pytest.importorskip("torch")
from spanax.torch import to_torch  # noqa: E402

# Of PyTorch's own, when it first meets forward mode.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")

func = torch.func


def theirs(x):
    return (torch.sin(x) * x).sum()


ours = to_torch(lambda x: jnp.sum(jnp.sin(x) * x))
X = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))

NESTED = {
    "grad": func.grad,
    "vjp": lambda f: lambda x: func.vjp(f, x)[1](torch.tensor(2.0)),
    "jvp": lambda f: lambda x: func.jvp(f, (x,), (x**2,)),
    "jacrev of jacrev": lambda f: func.jacrev(func.jacrev(f)),
    "jacfwd of jacfwd": lambda f: func.jacfwd(func.jacfwd(f)),
    "jacrev of jacfwd": lambda f: func.jacrev(func.jacfwd(f)),
    "hessian": func.hessian,
    "hessian, third": lambda f: func.jacrev(func.hessian(f)),
}


@pytest.mark.parametrize("name", NESTED)
def test_transformations(name):
    make = NESTED[name]
    torch.testing.assert_close(make(ours)(X[0]), make(theirs)(X[0]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(func.vmap(make(ours))(X), func.vmap(make(theirs))(X), rtol=1e-4, atol=1e-5)


def test_vmap_over_some_arguments_and_other_axes():
    f, g = to_torch(lambda x, w: {"y": x @ w, "n": x.shape[0]}), lambda x, w: {"y": x @ w}
    x, w = torch.randn(3, 5, 4), torch.randn(4, 3)
    for dims in ((0, None), (1, None), (None, 1), (0, 1)):
        out = func.vmap(f, dims)(x, w)
        torch.testing.assert_close(out["y"], func.vmap(g, dims)(x, w)["y"])
        assert out["n"].tolist() == [x.shape[1 if dims[0] == 0 else 0]] * len(out["n"])
    nested = func.vmap(func.vmap(f, (0, None)), (0, None))(x, w)["y"]
    torch.testing.assert_close(nested, x @ w)
    per_sample = func.vmap(func.grad(lambda w, x: f(x, w)["y"].sum()), (None, 0))(w, x)
    torch.testing.assert_close(per_sample, x.sum(1)[:, :, None].expand(3, 4, 3))


def test_vmap_over_the_backward_pass():
    x = X[0].clone().requires_grad_()
    y = to_torch(lambda x: jnp.sin(x) @ jnp.ones((3, 3)) * x)(x)
    pull = lambda v: torch.autograd.grad(y, x, v, retain_graph=True)[0]
    rows = torch.eye(3)
    torch.testing.assert_close(func.vmap(pull)(rows), torch.stack([pull(row) for row in rows]))
    with pytest.raises(sx.SpanaxError, match="older vmap"):
        torch.autograd.grad(y, x, rows, is_grads_batched=True)


def test_a_graph_goes_through_transformations():
    x = X[0].clone().requires_grad_()
    func.grad(ours)(x).sum().backward()
    torch.testing.assert_close(
        x.grad, func.grad(lambda x: func.grad(theirs)(x).sum())(x.detach()), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        torch.autograd.functional.hessian(ours, X[0]), func.hessian(theirs)(X[0]), rtol=1e-4, atol=1e-5
    )


def test_forward_mode_without_transformations():
    with torch.autograd.forward_ad.dual_level():
        out = ours(torch.autograd.forward_ad.make_dual(X[0], X[1]))
        tangent = torch.autograd.forward_ad.unpack_dual(out).tangent
    torch.testing.assert_close(tangent, func.jvp(theirs, (X[0],), (X[1],))[1])


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_torch_compile_leaves_its_graph_there():
    compiled = torch.compile(lambda x: ours(x * 2) * 3, backend="eager")
    x = X[0].clone().requires_grad_()
    y = compiled(x)
    torch.testing.assert_close(y, 3 * theirs(2 * x))
    y.backward()
    torch.testing.assert_close(x.grad, 6 * func.grad(theirs)(2 * X[0]), rtol=1e-4, atol=1e-5)


def test_checkpoint_recomputes_it():
    from torch.utils.checkpoint import checkpoint

    x = X[0].clone().requires_grad_()
    noisy = to_torch(lambda x, *, key: jnp.sum(jnp.sin(x) * jax.random.normal(key, x.shape)))
    torch.manual_seed(3)
    checkpoint(lambda x: noisy(x * 2), x, use_reentrant=False).backward()
    torch.manual_seed(3)
    again = X[0].clone().requires_grad_()
    noisy(again * 2).backward()
    torch.testing.assert_close(x.grad, again.grad)


# -- keys


def noise(x, *, key):
    return x + jax.random.normal(key, x.shape)


def test_keys_come_from_torchs_generator():
    f, x = to_torch(noise), torch.zeros(3)
    torch.manual_seed(0)
    first, second = f(x), f(x)
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    y = f(x.clone().requires_grad_())
    assert torch.equal(f(x), second) and torch.equal(first, y.detach())
    torch.manual_seed(0)
    with torch.no_grad():
        assert torch.equal(f(x), first)


def test_a_generator_or_a_key_may_be_given():
    f, x, state = to_torch(noise), torch.zeros(3), torch.get_rng_state()
    draws = [f(x, key=torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*draws)
    optional = to_torch(lambda x, key=None: noise(x, key=key))
    torch.manual_seed(0)
    drawn = optional(x, key=None)
    torch.manual_seed(0)
    assert torch.equal(drawn, optional(x))
    torch.set_rng_state(state)
    key = jax.random.key(3)
    np.testing.assert_allclose(f(x, key=key).numpy(), jax.random.normal(key, (3,)), rtol=1e-6)
    assert torch.equal(state, torch.get_rng_state())


def test_functions_that_need_no_key_draw_none():
    state = torch.get_rng_state()
    to_torch(functools.partial(noise, key=jax.random.key(0)))(torch.zeros(2))
    ours(torch.zeros(2))
    assert torch.equal(state, torch.get_rng_state())


def test_keys_under_vmap():
    f = to_torch(noise)
    torch.manual_seed(0)
    different = func.vmap(f, randomness="different")(torch.zeros(5, 2))
    assert len({tuple(row) for row in different.tolist()}) == 5
    same = func.vmap(f, randomness="same")(torch.zeros(5, 2))
    assert len({tuple(row) for row in same.tolist()}) == 1
    with pytest.raises(RuntimeError, match="randomness"):
        func.vmap(f)(torch.zeros(5, 2))


def test_the_noise_of_a_derivative_is_that_of_its_value(x64):
    f = to_torch(lambda x, *, key: jnp.sum(jnp.sin(x * jax.random.normal(key, x.shape))))
    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: f(x, key=torch.Generator().manual_seed(1)), (x,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda x: f(x, key=torch.Generator().manual_seed(1)), (x,))


# -- all that is ours


def test_an_expectation_is_unbiased_in_torch():
    # E (z - 0.25)^4 of a Bernoulli draw: its slope is p (1 - p) (0.75^4 - 0.25^4). 4 standard errors: one false alarm in 15,000.
    def loss(theta, *, key):
        return (sx.sample(key, dist.Bernoulli(logits=theta), via=sx.ScoreFunction()) - 0.25) ** 4

    f = to_torch(sx.expectation(loss, samples=2))
    torch.manual_seed(0)
    theta = torch.full((4000,), 0.3)
    grads = func.vmap(func.grad(f), randomness="different")(theta)
    p = torch.sigmoid(torch.tensor(0.3))
    exact = p * (1 - p) * (0.75**4 - 0.25**4)
    assert abs(grads.mean() - exact) < 4 * grads.std() / 4000**0.5
    one = torch.tensor(0.3, requires_grad=True)
    f(one).backward()
    assert torch.isfinite(one.grad)


def test_a_black_box():
    box = sx.blackbox(lambda x: np.sum(x**2), jax.ShapeDtypeStruct((), float), via=sx.FiniteDifference(step=0.5))
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    to_torch(box)(x).backward()
    torch.testing.assert_close(x.grad, 2 * x.detach())
    assert box.stats().evaluations == 5


def test_a_custom_gradient(x64):
    both = sx.custom(lambda x, w: jnp.sin(x) * w, lambda x, w, y, ct: (jnp.cos(x) * w * ct, jnp.sin(x) * ct))
    x, w = (torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(to_torch(both), (x, w)) and torch.autograd.gradgradcheck(to_torch(both), (x, w))
    reverse = to_torch(sx.custom(lambda x: x, lambda x, y, ct: -ct))
    reverse(x).sum().backward()
    assert (x.grad == -1).all()
