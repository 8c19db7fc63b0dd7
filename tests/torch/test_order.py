"""soft_rank, soft_sort and top_k: values and derivatives of spanax.hard, and of sums over all pairs in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy.optimize import brentq

import spanax as sx
from spanax import SpanaxError
from spanax.torch import soft_rank, soft_sort, top_k
from spanax.torch._native.sorting import order_of_rows

RNG = np.random.default_rng(0)
INF = np.inf
# Rows of all kinds in one array, so that ours are compiled once.
ROWS = np.stack(
    [
        *RNG.normal(size=(3, 12)),
        *RNG.integers(4, size=(2, 12)).astype(float),
        np.full(12, 2.5),
        [0.0, 1e6, -1e6, 1e-3, 1e6 + 0.5, *range(7)],
        1e5 + RNG.normal(size=12),
        [INF, 0.0, -INF, 0.1, INF, 0.2, *range(6)],
    ]
)
# Forward mode in torch starts with a warning about torch's own code.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


def dense_ranks(x, softness):
    """1/2 + the sum over all pairs of the cdf of Laplace noise, in float64, by torch's own derivative."""
    d = (x[..., :, None] - x[..., None, :]) * (2**0.5 / softness)
    tail = torch.exp(-torch.where(d < 0, -d, d)) / 2
    return 0.5 + torch.where(d < 0, tail, 1 - tail).sum(-1)


def paths(softness, dtype):
    """As a number the formulas are fused on a CPU, as a tensor they are not."""
    return [softness, torch.tensor(softness, dtype=dtype)]


@jax.jit
def rank_and_sort_of_ours(x, ct, softness):
    via, found = sx.Soft(softness), []
    for f in (sx.hard.rank, sx.hard.sort):
        value, vjp = jax.vjp(lambda x, f=f: f(x, via=via), x)
        found += [value, *vjp(ct)]
    return found


@pytest.mark.parametrize("softness", [1e-3, 0.1, 10.0])
def test_rank_and_sort_are_those_of_ours(softness, x64):
    for dtype in (torch.float32, torch.float64):
        x, w = (torch.tensor(v, dtype=dtype) for v in (ROWS, RNG.normal(size=ROWS.shape)))
        # What ours gives in float64 for the same numbers.
        want = rank_and_sort_of_ours(*(jnp.asarray(v.double().numpy()) for v in (x, w)), softness)
        tight = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
        for soft in paths(softness, dtype):
            y = x.clone().requires_grad_()
            for f, value, slopes in [(soft_rank, *want[:2]), (soft_sort, *want[2:])]:
                out = f(y, soft)
                (slope,) = torch.autograd.grad(out, y, w)
                np.testing.assert_allclose(out.detach(), value, **tight)
                scale = 1 + np.abs(slopes).max(1, keepdims=True)
                np.testing.assert_allclose(slope.numpy() / scale, slopes / scale, **tight)


@pytest.mark.parametrize("n", [1, 2, 100, 999, 1000, 3000])
@pytest.mark.parametrize("softness", [2e-3, 0.1, 30.0])
def test_ranks_are_within_1e_5_of_sums_over_all_pairs(n, softness):
    torch.manual_seed(n)
    x, w = torch.randn(2, n), torch.randn(2, n)
    x[:, ::7] = x[:, :1].clone()  # ties
    x.requires_grad_()
    at = x.detach().double().requires_grad_()
    want = dense_ranks(at, softness)
    (slope,) = torch.autograd.grad(want, at, w.double())
    found = soft_rank(x, softness)
    (ours,) = torch.autograd.grad(found, x, w)
    torch.testing.assert_close(found.double(), want, rtol=1e-5, atol=1e-6)
    scale = 1 + slope.abs().max()
    torch.testing.assert_close(ours.double() / scale, slope / scale, rtol=1e-5, atol=1e-6)


def test_sorted_values_are_quantiles():
    x = RNG.normal(size=21)
    found = soft_sort(torch.tensor(x), 0.3)

    def count(t, level):
        d = (t - x) * (2**0.5 / 0.3)
        return np.where(d < 0, np.exp(-abs(d)) / 2, 1 - np.exp(-abs(d)) / 2).sum() - level

    np.testing.assert_allclose(
        found, [brentq(count, -9, 9, args=(k + 0.5,), xtol=1e-13) for k in range(21)], atol=1e-10
    )
    assert torch.equal(soft_sort(torch.tensor(x), 0.3, descending=True), -soft_sort(torch.tensor(-x), 0.3))


@pytest.mark.parametrize("k", [0, 3, 12])
def test_top_k_is_that_of_ours(k, x64):
    x = torch.tensor(ROWS[[0, 1, 3, 5, 8]], requires_grad=True)
    values, weights = top_k(x, k, 0.2)
    assert values.shape == (5, k) and weights.shape == (5, k, 12)
    w, v = torch.tensor(RNG.normal(size=weights.shape)), torch.tensor(RNG.normal(size=values.shape))

    @jax.jit
    def ours(x, ct):
        value, vjp = jax.vjp(lambda x: sx.hard.top_k(x, k, via=sx.Soft(0.2)), x)
        return (*value, *vjp(ct))

    want = ours(jnp.asarray(x.detach().numpy()), (jnp.asarray(v.numpy()), jnp.asarray(w.numpy())))
    np.testing.assert_allclose(values.detach(), want[0], atol=1e-12)
    np.testing.assert_allclose(weights.detach(), want[1], atol=1e-12)
    if k:
        (slope,) = torch.autograd.grad([values, weights], x, [v, w])
        np.testing.assert_allclose(slope, want[2], atol=1e-9)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("f", [soft_rank, soft_sort, lambda x, s: top_k(x, 3, s)[1]], ids=["rank", "sort", "top_k"])
def test_every_order_and_mode(f, fused):
    x = torch.tensor(RNG.normal(size=(2, 6)), requires_grad=True)
    softness = 0.4 if fused else torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    inputs = (x,) if fused else (x, softness)
    call = (lambda x: f(x, softness)) if fused else f
    assert torch.autograd.gradcheck(call, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, inputs)
    plain = x.detach()
    slope = torch.func.grad(lambda x: (f(x, 0.4) ** 2).sum())
    (want,) = torch.autograd.grad((f(x, 0.4) ** 2).sum(), x)
    torch.testing.assert_close(slope(plain), want)
    torch.testing.assert_close(torch.func.vmap(slope)(plain), want)
    hessian = torch.func.hessian(lambda x: (f(x, 0.4) ** 2).sum())(plain)
    torch.testing.assert_close(
        hessian, torch.autograd.functional.hessian(lambda x: (f(x, 0.4) ** 2).sum(), plain), rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize("softness", [0.1, 1e-7])
def test_nan_spoils_its_row_and_infinities_stay(softness):
    x = torch.tensor([[1.0, torch.nan, 0.0], [torch.inf, 0.0, -torch.inf], [0.3, 0.2, 0.1]], requires_grad=True)
    for soft in paths(softness, torch.float32):
        ranks, values = soft_rank(x, soft), soft_sort(x, soft)
        assert torch.isnan(ranks).any(1).tolist() == torch.isnan(values).any(1).tolist() == [True, False, False]
        assert ranks[1].tolist() == [3, 2, 1] and values[1].tolist() == [-torch.inf, 0, torch.inf]
        for out in (ranks, values):
            (slope,) = torch.autograd.grad(out[1:].sum(), x)
            assert slope[1, 0] == slope[1, 2] == 0 and torch.isfinite(slope[1:]).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    x = torch.randn(4, 3000).to(dtype).requires_grad_()
    out = soft_rank(x, 0.1)
    out.sum().backward()
    assert out.dtype == x.grad.dtype == dtype
    want = dense_ranks(x.detach().double(), 0.1)
    assert ((out - want).abs() <= want * (2**-8 if dtype == torch.bfloat16 else 2**-11)).all()


def test_any_layout_and_dimension():
    x = torch.randn(4, 5, 6)
    for dim in (0, 1, -1):
        torch.testing.assert_close(soft_rank(x, 0.1, dim=dim).movedim(dim, -1), soft_rank(x.movedim(dim, -1), 0.1))
        torch.testing.assert_close(soft_sort(x, 0.1, dim=dim).movedim(dim, -1), soft_sort(x.movedim(dim, -1), 0.1))
        values, weights = top_k(x, 2, 0.1, dim=dim)
        want = top_k(x.movedim(dim, -1), 2, 0.1)
        torch.testing.assert_close(values.movedim(dim, -1), want[0])
        torch.testing.assert_close(weights.movedim(dim if dim >= 0 else -2, -2), want[1])
    wide = torch.randn(1, 5).expand(3, 5)[:, ::2].clone().requires_grad_()
    soft_rank(wide.T, 0.1).sum().backward()
    for shape in [(0, 3), (3, 0)]:
        assert soft_rank(torch.zeros(shape), 0.1).shape == soft_sort(torch.zeros(shape), 0.1).shape == shape
    assert top_k(torch.zeros(2, 0), 0, 0.1)[1].shape == (2, 0, 0)


def test_nothing_is_changed_in_place_and_a_graph_can_be_kept():
    x = torch.randn(2, 8, requires_grad=True)
    before = x.detach().clone()
    for f in (soft_rank, soft_sort):
        out = f(x, 0.1).square().sum()
        slopes = [torch.autograd.grad(out, x, retain_graph=True)[0] for _ in range(2)]
        assert torch.equal(*slopes) and torch.equal(x.detach(), before)
        with torch.inference_mode():
            assert torch.equal(f(x, 0.1).square().sum(), out)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 50, 999, 1000, 4000])
def test_the_order_is_stable(n, dtype):
    rows = RNG.normal(size=(3, n)).round(2).astype(dtype)
    rows[:, 0], rows[0, -1], rows[1, -1] = -0.0, np.inf, -np.inf
    np.testing.assert_array_equal(order_of_rows(rows), np.argsort(rows, -1, kind="stable"))
    np.testing.assert_array_equal(order_of_rows(rows[:1]), np.argsort(rows[:1], -1, kind="stable"))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: soft_rank(x.long(), 0.1), "torch.int64"),
        (lambda x: soft_rank([1.0, 2.0], 0.1), "no tensor"),
        (lambda x: soft_rank(x, 0.0), "softness=0.0"),
        (lambda x: soft_rank(x, sx.Soft(0.1)), "positive number"),
        (lambda x: soft_sort(x, torch.ones(2)), "shape []"),
        (lambda x: soft_sort(x, 0.1, dim=1), "dim=1"),
        (lambda x: soft_sort(x, 0.1, descending="yes"), "descending='yes'"),
        (lambda x: soft_rank(torch.tensor(1.0), 0.1), "shape []"),
        (lambda x: top_k(x, 3, 0.1), "k=3 among 2"),
        (lambda x: top_k(x, -1, 0.1), "k from 0 to 2"),
        (lambda x: top_k(x, 1.0, 0.1), "k=1.0"),
    ],
)
def test_what_does_not_fit_is_an_error(call, says):
    with pytest.raises(SpanaxError) as error:
        call(torch.zeros(2))
    assert says in str(error.value)
