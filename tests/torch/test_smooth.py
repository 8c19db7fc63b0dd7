"""smooth: the estimator of ours at the same points, unbiased for the closed form of a step, from values alone."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy.stats import norm

import spanax as sx
from spanax import SpanaxError
from spanax.torch import smooth
from spanax.torch._native.directions import orthogonal


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def staircase(x):
    return torch.floor(2 * x).sum(-1) + (x[..., 0] > 0.3) * x[..., 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_and_derivative_are_those_of_ours_at_the_same_points(dtype, x64):
    seen, values = [], []

    def f(x):
        seen.append((x["a"].clone(), x["b"].clone()))
        values.append(float(torch.floor(x["a"]).sum() + 3 * (x["b"] > 0.1)))
        return values[-1]

    x = {"a": torch.randn(2, 3, generator=generator()).to(dtype), "b": torch.tensor(0.2, dtype=dtype)}
    for leaf in x.values():
        leaf.requires_grad_()
    found = smooth(f, {"a": 0.5, "b": 0.2}, 9, generator=generator())(x)
    found.backward()
    at = {name: jnp.asarray(leaf.detach().numpy()) for name, leaf in x.items()}
    X = {name: jnp.asarray(torch.stack([s[i] for s in seen]).numpy()) for i, name in enumerate(x)}
    via, Y = sx.Smoothing(sigma={"a": 0.5, "b": 0.2}, pairs=9), jnp.asarray(np.array(values))
    # Ours evaluates f at all +u first, as this does.
    slope = via.combine(at, X, Y)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-11
    for name, leaf in x.items():
        np.testing.assert_allclose(leaf.grad, slope[name], rtol=tolerance, atol=tolerance)
    assert found.dtype == dtype and abs(found.item() - np.mean(values)) < 1e-6


def test_unbiased_for_the_closed_form_of_steps():
    # 400 independent gradients, each element within 5 standard errors (false alarms: one in a million).
    x, sigma = torch.tensor([0.2, -0.4, 1.0], dtype=torch.float64), 0.5
    f = lambda x: (x > 0).double() @ torch.tensor([1.0, -2.0, 5.0], dtype=torch.float64)
    g, found = smooth(f, sigma, 5, batched=True, generator=generator()), []
    for _ in range(400):
        y = x.clone().requires_grad_()
        g(y).backward()
        found.append(y.grad)
    found = torch.stack(found)
    truth = torch.tensor([1.0, -2.0, 5.0]) * torch.tensor(norm.pdf(x.numpy() / sigma) / sigma)
    assert ((found.mean(0) - truth).abs() < 5 * found.std(0) / 20).all()


def test_directions():
    for count, size in [(3, 7), (7, 3), (1, 1), (4, 1)]:
        u = orthogonal(count, size, torch.float64, torch.device("cpu"), generator())
        gram = u[: min(count, size)] @ u[: min(count, size)].T
        assert u.shape == (count, size)
        torch.testing.assert_close(gram, torch.diag(torch.diagonal(gram)))
    # Each is standard normal: 40,000 numbers, mean and variance within 5 standard errors (false alarms: one in a million).
    u = torch.cat([orthogonal(4, 10, torch.float64, torch.device("cpu"), generator(seed)) for seed in range(1000)])
    assert abs(u.mean()) < 5 / 200 and abs(u.square().mean() - 1) < 5 * 2**0.5 / 200


def test_any_program_will_do():
    def program(x, scale, *, shift):
        return np.floor(x.numpy()).sum() * scale + shift

    x = torch.tensor([0.4, 1.7], requires_grad=True)
    for value in (program, lambda x, s, shift: int(program(x, s, shift=shift)), torch.no_grad()(program)):
        out = smooth(value, 0.3, 8, generator=generator())(x, 2.0, shift=1.0)
        assert out.shape == () and torch.autograd.grad(out, x)[0].abs().sum() > 0
    network = torch.nn.Linear(2, 1)
    with pytest.raises(SpanaxError, match="requires a gradient by something else"):
        smooth(lambda x: network(x).sum(), 0.3, 8)(x)
    smooth(torch.no_grad()(lambda x: network(x).sum()), 0.3, 8)(x).backward()
    with torch.no_grad():
        assert not smooth(lambda x: x.sum(), 0.3, 8)(x).requires_grad


def test_one_after_the_other_and_all_at_once_agree():
    x = torch.randn(3, 2, generator=generator(), dtype=torch.float64, requires_grad=True)
    results = []
    for batched, f in [(False, lambda x: staircase(x).sum()), (True, lambda x: staircase(x).sum(-1))]:
        out = smooth(f, 0.2, 10, batched=batched, generator=generator(1))(x)
        results.append((out, *torch.autograd.grad(out, x)))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    x = torch.tensor([0.25, 0.5], dtype=dtype, requires_grad=True)
    out = smooth(lambda x: (x > 0.3).sum(), 0.5, 64, generator=generator())(x)
    out.backward()
    assert out.dtype == torch.float32 and x.grad.dtype == dtype and (x.grad > 0.3).all()


def test_nan_a_second_derivative_and_torch_func():
    x = torch.ones(2, requires_grad=True)
    out = smooth(lambda x: float("nan"), 0.1, 4)(x)
    assert torch.isnan(out) and torch.isnan(torch.autograd.grad(out, x)[0]).all()
    f = smooth(lambda x: torch.floor(3 * x).sum(), 0.3, 8, generator=generator())
    (slope,) = torch.autograd.grad(f(x), x, create_graph=True)
    with pytest.raises(SpanaxError, match=r"second derivative through smooth\(f\)"):
        slope.sum().backward()
    f = lambda x: smooth(lambda x: torch.floor(3 * x).sum(), 0.3, 8, generator=generator())(x)
    torch.testing.assert_close(torch.func.grad(f)(x.detach()), torch.autograd.grad(f(x), x)[0])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: smooth(3), "f=3"),
        (lambda x: smooth(torch.sum, 0.0), "sigma=0.0"),
        (lambda x: smooth(torch.sum, {"a": -1}), "sigma=-1"),
        (lambda x: smooth(torch.sum, {"a": 1.0, "b": 1.0})(x), "another structure"),
        (lambda x: smooth(torch.sum, 1.0, 0), "pairs=0"),
        (lambda x: smooth(torch.sum, batched=1), "batched=1"),
        (lambda x: smooth(torch.sum, generator=1), "generator=1"),
        (lambda x: smooth(torch.sum)(x.long()), "torch.int64"),
        (lambda x: smooth(torch.sum)((x, 1.0)), "no tensor"),
        (lambda x: smooth(torch.sum)([]), "without numbers"),
        (lambda x: smooth(torch.sum, 1e-9)(x), "float64"),
        (lambda x: smooth(torch.sum, 1.0)(x * torch.nan), "as large as nan"),
        (lambda x: smooth(lambda x: x)(x), "shape [2]"),
        (lambda x: smooth(lambda x: None)(x), "NoneType"),
        (lambda x: smooth(torch.sum, batched=True)(x), "64 real numbers"),
        (lambda x: smooth(lambda x: x.sum() * 1j)(x), "one real number"),
        (lambda x: smooth(lambda x, y: x.sum())(x, x.clone().requires_grad_()), "y.detach()".replace("y", "other")),
    ],
)
def test_what_does_not_fit_is_an_error(call, says):
    with pytest.raises(SpanaxError) as error:
        call(torch.ones(2))
    assert says in str(error.value)
