"""disarm: the formula of ours, unbiased by quadrature over its one uniform number, and one derivative only."""

import itertools

import pytest
import torch

from spanax import SpanaxError
from spanax.torch import disarm

LOGITS = torch.tensor([0.4, -1.1, 0.2], dtype=torch.float64)
# Forward mode in torch starts with a warning about torch's own code.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
A = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.5, 3.0], [0.0, 0.0, -2.0]], dtype=torch.float64)


def cost(z):
    return torch.einsum("...i,ij,...j->...", z, A.to(z.dtype), z) + torch.cos(z[..., 0])


def expected(logits, f=cost):
    p = torch.sigmoid(logits)
    every = torch.tensor([*itertools.product([0.0, 1.0], repeat=3)], dtype=logits.dtype)
    return torch.where(every > 0, p, 1 - p).prod(-1) @ f(every)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_mean_of_many_is_the_exact_gradient():
    # 20,000 independent gradients of each of 3 elements: within 5 standard errors (false alarms: one in 600,000 for each).
    x = LOGITS.expand(20_000, 3).clone().requires_grad_()
    value = disarm(cost, x, generator=generator())
    (slopes,) = torch.autograd.grad(value.sum(), x)
    truth = torch.func.grad(expected)(LOGITS)
    error = slopes.std(0) / 20_000**0.5
    assert ((slopes.mean(0) - truth).abs() < 5 * error).all() and (error < 0.02).all()
    assert abs(value.mean() - expected(LOGITS)) < 5 * value.std() / 20_000**0.5


def test_one_element_exactly():
    # For one element u decides all: the mean over a grid of 10,000 uniform numbers, each the midpoint of its cell.
    u = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    logit = torch.log(torch.tensor(0.3 / 0.7, dtype=torch.float64))
    p = torch.sigmoid(logit)
    z, other = (u >= 1 - p).double(), (1 - u > 1 - p).double()
    f = lambda z: (z - 0.2) ** 2 * 5
    by_hand = (0.5 * (f(z) - f(other)) * (z - other) * torch.sigmoid(logit.abs())).mean()
    torch.testing.assert_close(by_hand, 3 * p * (1 - p), rtol=1e-3, atol=0)
    # The function's own estimates take the two values that this mean is made of, and no other.
    x = logit.expand(200, 1).clone().requires_grad_()
    disarm(lambda z: f(z).sum(-1), x, generator=generator()).sum().backward()
    values = (0.5 * (f(z) - f(other)) * (z - other) * torch.sigmoid(logit.abs())).unique()
    assert torch.isclose(x.grad[:, None, 0], values).any(1).all() and len(x.grad.unique()) == 2


def test_what_f_uses_besides_has_its_own_gradient():
    w = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    seen = []

    def f(z):
        seen.append(z)
        return w * cost(z)

    value = disarm(f, LOGITS.expand(5, 3), generator=generator(), pairs=2)
    value.sum().backward()
    torch.testing.assert_close(w.grad, sum(cost(z).sum() for z in seen) / 4)
    assert len(seen) == 4 and value.shape == (5,)


def test_pairs_divide_the_variance():
    def variance(pairs):
        x = LOGITS.expand(4000, 3).clone().requires_grad_()
        disarm(cost, x, pairs=pairs, generator=generator()).sum().backward()
        return x.grad.var(0).sum()

    # Each is known within 5% or so.
    assert 3 < variance(1) / variance(4) < 5.3


def test_one_cost_of_the_whole_batch():
    x = LOGITS.expand(2, 3).clone().requires_grad_()
    disarm(lambda z: cost(z).sum(), x, generator=generator()).backward()
    assert x.grad.shape == (2, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_dtypes_and_extremes(dtype):
    x = torch.tensor([torch.inf, -torch.inf, 60.0, -60.0, 0.0], dtype=dtype, requires_grad=True)
    for seed in range(5):
        value = disarm(lambda z: (z * 2).sum(), x, generator=generator(seed))
        (slope,) = torch.autograd.grad(value, x)
        assert value.dtype == slope.dtype == dtype
        assert torch.isfinite(slope).all() and (slope[:4] == 0).all()
    infinite = disarm(lambda z: torch.where(z[1] > 0, 0.0, torch.inf), x, generator=generator())
    assert torch.isinf(infinite) and (torch.autograd.grad(infinite, x)[0][:4] == 0).all()


def test_under_torch_func_and_a_second_derivative():
    f = lambda x: disarm(cost, x, generator=generator())
    (want,) = torch.autograd.grad(f(x := LOGITS.clone().requires_grad_()), x)
    torch.testing.assert_close(torch.func.grad(f)(LOGITS), want)
    torch.manual_seed(0)
    lanes = torch.func.vmap(torch.func.grad(lambda x: disarm(cost, x)), randomness="different")(LOGITS.expand(50, 3))
    assert len(lanes.unique(dim=0)) > 2
    v = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
    torch.testing.assert_close(torch.func.jvp(f, (LOGITS,), (v,))[1], want @ v)
    with pytest.raises(SpanaxError, match="second derivative through disarm"):
        torch.func.grad(lambda x: torch.func.grad(f)(x).sum())(LOGITS)
    (slope,) = torch.autograd.grad(f(x), x, create_graph=True)
    with pytest.raises(SpanaxError, match="second derivative through disarm"):
        slope.sum().backward()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((cost, LOGITS.long()), "torch.int64"),
        ((cost, LOGITS[0]), "logits[None]"),
        ((3, LOGITS), "f=3"),
        ((lambda z: z, LOGITS), "costs of shape [3]"),
        ((lambda z: 1.0, LOGITS), "no tensor"),
        ((lambda z: z.sum().long(), LOGITS), "torch.int64"),
    ],
)
def test_what_does_not_fit_is_an_error(arguments, says):
    with pytest.raises(SpanaxError) as error:
        disarm(*arguments)
    assert says in str(error.value)
    with pytest.raises(SpanaxError, match="pairs=0"):
        disarm(cost, LOGITS, pairs=0)
