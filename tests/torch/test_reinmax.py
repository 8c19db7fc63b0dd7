"""reinmax: the formula of ours, exact for a quadratic, and one derivative only."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from spanax import SpanaxError
from spanax.bridges.reinmax import _categorical
from spanax.torch import reinmax

# Forward mode in torch starts with a warning about torch's own code.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_derivative_is_that_of_ours(temperature, x64):
    torch.manual_seed(0)
    logits, weights = torch.randn(5, 4, dtype=torch.float64, requires_grad=True), torch.randn(5, 4, dtype=torch.float64)
    z = reinmax(logits, temperature, generator=generator())
    (slope,) = torch.autograd.grad((z * weights).sum(), logits)
    x = jnp.asarray(logits.detach().numpy())
    middle = (jax.nn.softmax(x / temperature) + z.detach().numpy()) / 2
    np.testing.assert_allclose(slope, _categorical((jax.nn.softmax(x), middle), weights.numpy()), atol=1e-12)


def test_it_is_exact_for_a_quadratic_in_expectation():
    # No draws: the mean of the estimates of the three one-hot values, by their probabilities.
    logits = torch.tensor([0.3, -0.8, 0.1], dtype=torch.float64)
    A, p = torch.randn(3, 3, dtype=torch.float64, generator=generator()), torch.softmax(logits, 0)
    estimates = {}
    for seed in itertools.count():
        x = logits.clone().requires_grad_()
        z = reinmax(x, generator=generator(seed))
        (z @ A @ z).backward()
        estimates[int(z.argmax())] = x.grad
        if len(estimates) == 3:
            break
    x = logits.clone().requires_grad_()
    (torch.softmax(x, 0) @ torch.diagonal(A)).backward()
    torch.testing.assert_close(sum(p[k] * g for k, g in estimates.items()), x.grad)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_it_is_one_hot_and_never_nan(dtype):
    inf = torch.inf
    logits = torch.tensor([[0.0, -inf, 2], [-inf] * 3, [inf, 0, inf], [6e4, -6e4, 0]], dtype=dtype, requires_grad=True)
    for seed in range(5):
        z = reinmax(logits, generator=generator(seed))
        assert z.dtype == dtype and z.sum(-1).tolist() == [1, 0, 1, 1] and z[0, 1] == z[2, 1] == 0
        (slope,) = torch.autograd.grad((z * torch.arange(3)).sum(), logits)
        assert torch.isfinite(slope).all() and slope[0, 1] == 0 and (slope[1] == 0).all()


def test_it_draws_with_the_right_frequencies():
    # 20,000 draws, each frequency within 5 standard errors (false alarms: one in 600,000).
    p = torch.tensor([0.2, 0.5, 0.3])
    z = reinmax(p.log().expand(20_000, 3), generator=generator())
    assert ((z.mean(0) - p).abs() < 5 * (p * (1 - p) / 20_000).sqrt()).all()


def test_both_modes_and_vmap():
    logits, weights, v = (torch.randn(3, 4, generator=generator(s), dtype=torch.float64) for s in range(3))

    def f(x, weights):
        return (reinmax(x, generator=generator()) * weights).sum()

    torch.testing.assert_close(
        torch.func.jvp(lambda x: f(x, weights), (logits,), (v,))[1], (torch.func.grad(f)(logits, weights) * v).sum()
    )
    dim = torch.func.grad(lambda x: (reinmax(x, dim=0, generator=generator()) * weights).sum())(logits)
    torch.testing.assert_close(dim.sum(0), torch.zeros(4, dtype=torch.float64))
    torch.manual_seed(0)
    lanes = torch.func.vmap(torch.func.grad(lambda x, w: (reinmax(x) * w).sum()), randomness="different")(
        logits, weights
    )
    torch.testing.assert_close(lanes.sum(-1), torch.zeros(3, dtype=torch.float64))


def test_a_second_derivative_raises_and_one_that_goes_elsewhere_does_not():
    logits, w = torch.randn(4, requires_grad=True), torch.randn(4, requires_grad=True)
    (slope,) = torch.autograd.grad((reinmax(logits) * w**2).sum(), logits, create_graph=True)
    slope[0].backward(inputs=[w], retain_graph=True)  # the slope is linear in w^2
    assert w.grad.abs().sum() > 0
    with pytest.raises(SpanaxError, match="second derivative through reinmax"):
        slope[0].backward(inputs=[logits])
    with pytest.raises(SpanaxError, match="second derivative through reinmax"):
        slope = torch.func.grad(lambda x: (reinmax(x) ** 3)[0])
        torch.func.jacfwd(slope, randomness="same")(logits.detach())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"logits": torch.zeros(2, dtype=torch.int64)}, "torch.int64"),
        ({"temperature": 0}, "temperature=0"),
        ({"temperature": torch.tensor(1.0, requires_grad=True)}, "temperature"),
        ({"dim": 2}, "dim=2"),
        ({"generator": np.random.default_rng(0)}, "generator="),
    ],
)
def test_what_does_not_fit_is_an_error(arguments, says):
    with pytest.raises(SpanaxError) as error:
        reinmax(**{"logits": torch.zeros(2), **arguments})
    assert says in str(error.value)
