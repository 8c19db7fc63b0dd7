"""gumbel_softmax: the formula of ours, the distribution of its argmax, and no NaN at the extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from spanax import SpanaxError
from spanax.torch import gumbel_softmax
from spanax.torch._native.noise import gumbel

INF = torch.inf
EXTREMES = [
    [0.0, -INF, 2.0],
    [-INF, -INF, -INF],
    [INF, 0.0, INF],
    [INF, INF, INF],
    [-INF, -INF, 1.0],
    [6e4, -6e4, 6e4],
    [0.0, 0.0, 0.0],
]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_and_derivatives_are_those_of_the_formula_in_jax(dtype, x64):
    torch.manual_seed(1)
    logits, temperature, weights = torch.randn(3, 4, dtype=dtype), torch.tensor(0.7, dtype=dtype), torch.randn(3, 4)
    noise = jnp.asarray(gumbel(logits, generator()).numpy())

    def ours(logits, temperature):
        return jnp.sum(jax.nn.softmax((logits + noise) / temperature) * jnp.asarray(weights.to(dtype).numpy()))

    slopes = jax.grad(ours, (0, 1))(jnp.asarray(logits.numpy()), jnp.asarray(temperature.numpy()))
    logits.requires_grad_(), temperature.requires_grad_()
    out = gumbel_softmax(logits, temperature, generator=generator())
    (out * weights).sum().backward()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    np.testing.assert_allclose(logits.grad, slopes[0], atol=tolerance)
    np.testing.assert_allclose(temperature.grad, slopes[1], atol=tolerance)


def test_the_largest_weight_is_a_draw():
    # Gumbel's theorem: 20,000 draws of 3 categories, each frequency within 5 standard errors (false alarms: one in 600,000).
    logits = torch.tensor([0.5, -1.0, 0.0])
    z = gumbel_softmax(logits.expand(20_000, 3), 0.3, hard=True, generator=generator())
    p = torch.softmax(logits, 0)
    assert ((z.mean(0) - p).abs() < 5 * (p * (1 - p) / 20_000).sqrt()).all()


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [1e-20, 1e-3, 1.0, 1e20])
def test_no_value_and_no_derivative_is_nan(dtype, temperature, hard):
    logits = torch.tensor(EXTREMES, dtype=dtype, requires_grad=True)
    t = torch.tensor(temperature, requires_grad=True)
    for seed in range(3):
        z = gumbel_softmax(logits, t if temperature > 1e-10 else temperature, hard=hard, generator=generator(seed))
        assert z.dtype == dtype and torch.isfinite(z).all()
        sums = z.sum(-1)
        assert sums[1] == 0 and (sums[[0, 2, 3, 4, 5, 6]] - 1).abs().max() < 0.02
        assert (z[0, 1], z[2, 1], z[4, 2]) == (0, 0, 1)
        slopes = torch.autograd.grad((z * torch.arange(3)).sum(), [logits, t] if temperature > 1e-10 else [logits])
        assert all(torch.isfinite(slope).all() for slope in slopes)
        # Nothing comes of what cannot be drawn.
        assert (slopes[0][1:4] == 0).all() and slopes[0][0, 1] == 0


def test_hard_weights_are_exactly_one_hot_with_the_relaxed_derivative():
    logits = torch.randn(50, 4, generator=generator(), requires_grad=True)
    weights = torch.randn(50, 4, generator=generator(1))
    soft = gumbel_softmax(logits, 0.5, generator=generator(2))
    hard = gumbel_softmax(logits, 0.5, hard=True, generator=generator(2))
    assert torch.equal(hard, torch.nn.functional.one_hot(soft.argmax(-1), 4).float())
    slopes = [torch.autograd.grad((z * weights).sum(), logits)[0] for z in (soft, hard)]
    torch.testing.assert_close(*slopes)


def test_dim_and_the_global_generator():
    torch.manual_seed(3)
    z = gumbel_softmax(torch.zeros(2, 3, 4), dim=1)
    torch.testing.assert_close(z.sum(1), torch.ones(2, 4))
    torch.manual_seed(3)
    assert torch.equal(z, gumbel_softmax(torch.zeros(2, 3, 4), dim=1))
    assert gumbel_softmax(torch.zeros(0, 3)).shape == (0, 3)


def test_under_vmap_each_lane_has_its_own_noise():
    torch.manual_seed(0)
    slope = torch.func.grad(lambda x: (gumbel_softmax(x, hard=True) * torch.arange(4.0)).sum())
    out = torch.func.vmap(slope, randomness="different")(torch.zeros(3, 4))
    assert not torch.equal(out[0], out[1])
    torch.testing.assert_close(out.sum(-1), torch.zeros(3))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"logits": torch.zeros(2, dtype=torch.int64)}, "torch.int64"),
        ({"logits": jnp.zeros(2)}, "no tensor"),
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"temperature": -1.0}, "positive"),
        ({"temperature": torch.ones(2)}, "shape []"),
        ({"hard": 1}, "hard=1"),
        ({"dim": 1}, "dim=1"),
        ({"dim": None}, "dim=None"),
        ({"generator": 0}, "generator=0"),
        ({"logits": torch.tensor(0.0)}, "shape []"),
    ],
)
def test_what_does_not_fit_is_an_error(arguments, says):
    with pytest.raises(SpanaxError) as error:
        gumbel_softmax(**{"logits": torch.zeros(2), **arguments})
    assert says in str(error.value)
