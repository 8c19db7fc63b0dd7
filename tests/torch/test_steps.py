"""round, sign, step and clip: values and derivatives of spanax.hard, and of central differences of expectations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy import stats

import spanax as sx
from spanax import SpanaxError, torch as st
from spanax.bridges import Perturbed, ReinMax, Soft, StraightThrough

X = np.array([-2.5, -1.3, -0.51, -1e-3, 0.0, 0.2, 0.5, 0.77, 1.5, 2.9, 40.0, -300.25])
KERNELS = ["logistic", "gaussian", "laplace"]
PAIRS = {
    "round": (lambda x, via: st.round(x, via=via), lambda x, via: sx.hard.round(x, via=via)),
    "tenths": (lambda x, via: st.round(x, 1, via=via), lambda x, via: sx.hard.round(x, 1, via=via)),
    "sign": (lambda x, via: st.sign(x, via=via), lambda x, via: sx.hard.sign(x, via=via)),
    "step": (lambda x, via: st.step(x, via=via), lambda x, via: sx.hard.heaviside(x, via=via)),
    "clip": (lambda x, via: st.clip(x, -1.0, 1.5, via=via), lambda x, via: sx.hard.clip(x, -1.0, 1.5, via=via)),
    "at most": (lambda x, via: st.clip(x, max=0.2, via=via), lambda x, via: sx.hard.clip(x, max=0.2, via=via)),
}
VIAS = {
    **{f"{kernel} {s}": Soft(s, kernel) for kernel in KERNELS for s in (0.05, 0.3, 2.0)},
    "of soft": StraightThrough(Soft(0.3)),
    "identity": StraightThrough(),
}
# Forward mode in torch starts with a warning about torch's own code.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


@pytest.mark.few(14)
@pytest.mark.parametrize("via", VIAS.values(), ids=VIAS)
@pytest.mark.parametrize("name", PAIRS)
def test_values_and_two_derivatives_are_those_of_ours(name, via, x64):
    ours, theirs = PAIRS[name]
    x = torch.tensor(X, requires_grad=True)
    value = ours(x, via)
    (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    second = torch.autograd.grad(slope.sum(), x)[0] if slope.requires_grad else torch.zeros_like(x)
    at = jnp.asarray(X)
    np.testing.assert_allclose(value.detach(), theirs(at, via), rtol=1e-12, atol=1e-12)
    first = jax.grad(lambda x: jnp.sum(theirs(x, via)))
    np.testing.assert_allclose(slope.detach(), first(at), rtol=1e-9, atol=1e-12)
    smooth = np.abs(X) > 0  # the Laplace density has a kink where a step is
    np.testing.assert_allclose(second[smooth], jax.grad(lambda x: jnp.sum(first(x)))(at)[smooth], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kernel", KERNELS)
def test_relaxed_values_are_expectations_under_noise(kernel):
    # By quadrature: the mean over the quantiles of the noise at 200,000 midpoints.
    levels = (np.arange(200_000) + 0.5) / 200_000
    noise = {"logistic": stats.logistic, "gaussian": stats.norm, "laplace": stats.laplace}[kernel].ppf(levels)
    noise /= {"logistic": np.pi / np.sqrt(3), "gaussian": 1, "laplace": np.sqrt(2)}[kernel]
    x = np.array([-0.7, 0.1, 0.45, 1.2])
    for name, hard in {"round": np.round, "sign": np.sign, "step": lambda x: np.heaviside(x, 0.5)}.items():
        found = PAIRS[name][0](torch.tensor(x), Soft(0.4, kernel))
        np.testing.assert_allclose(found, hard(x[:, None] + 0.4 * noise).mean(1), atol=2e-4)
    found = st.clip(torch.tensor(x), -0.5, 0.6, via=Soft(0.4, kernel))
    np.testing.assert_allclose(found, np.clip(x[:, None] + 0.4 * noise, -0.5, 0.6).mean(1), atol=2e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_exact_values_and_dtypes(dtype):
    x = torch.tensor([-torch.inf, -2.5, -0.0, 0.5, 1.5, 7.0, torch.inf, torch.nan], dtype=dtype)
    for via in (None, StraightThrough(), StraightThrough(Soft(0.1))):
        for found, want in [
            (st.round(x, via=via), torch.round(x)),
            (st.sign(x, via=via), torch.tensor([-1, -1, 0, 1, 1, 1, 1, torch.nan])),
            (st.step(x, 0.25, via=via), torch.tensor([0, 0, 0.25, 1, 1, 1, 1, torch.nan])),
            (st.clip(x, -1, 2, via=via), torch.clip(x, -1, 2)),
        ]:
            assert found.dtype == dtype and torch.equal(found.nan_to_num(99), want.to(dtype).nan_to_num(99))
    for f in (st.round, st.sign, st.step):
        y = x.clone().requires_grad_()
        out = f(y, via=Soft(0.1))
        assert out.dtype == dtype
        (slope,) = torch.autograd.grad(out[:-1].sum(), y)
        assert torch.isfinite(slope[:-1]).all()


@pytest.mark.parametrize("f", [st.round, st.sign, st.step])
def test_without_a_bridge_the_derivative_raises(f):
    x = torch.tensor([0.3], requires_grad=True)
    assert f(x).shape == (1,)
    with pytest.raises(SpanaxError, match="zero wherever it exists"):
        f(x).sum().backward()
    with pytest.raises(SpanaxError, match="zero wherever it exists"):
        torch.func.jvp(f, (x.detach(),), (torch.ones(1),))
    f(x.detach())


def test_clip_without_a_bridge_is_torchs():
    x, low = torch.tensor([0.3, 2.0], requires_grad=True), torch.tensor([0.5, 0.5], requires_grad=True)
    slopes = torch.autograd.grad(st.clip(x, low, 1.0).sum(), [x, low])
    assert [s.tolist() for s in slopes] == [[0, 0], [1, 0]]


def test_bounds_have_the_relaxed_derivative(x64):
    x, low, high = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in ([[0.3], [2.0]], [0.1, 0.5], 1.0))
    via = Soft(0.3)
    found = torch.autograd.grad(st.clip(x, low, high, via=via).sum(), [x, low, high])
    at = [jnp.asarray(v.detach().numpy()) for v in (x, low, high)]
    with jax.numpy_rank_promotion("allow"):
        want = jax.grad(lambda *a: jnp.sum(sx.hard.clip(*a, via=via)), (0, 1, 2))(*at)
    for one, other in zip(found, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


@pytest.mark.parametrize("name", PAIRS)
def test_under_torch_func(name):
    f = PAIRS[name][0]
    x, v = torch.tensor(X), torch.linspace(-1, 1, len(X), dtype=torch.float64)
    for via in (Soft(0.3), Soft(0.3, "laplace"), StraightThrough(), StraightThrough(Soft(0.3))):
        slopes = torch.func.vmap(torch.func.grad(lambda x, via=via: f(x, via)))(x)
        torch.testing.assert_close(torch.func.jvp(lambda x, via=via: f(x, via), (x,), (v,))[1], slopes * v)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: st.round(x, via=ReinMax()), "ReinMax"),
        (lambda x: st.round(x, via=Perturbed(0.1)), "Perturbed"),
        (lambda x: st.round(x, via=StraightThrough(Perturbed(0.1))), "Perturbed"),
        (lambda x: st.round(x, via=0.1), "via=0.1"),
        (lambda x: st.round(x, via=Soft(jnp.asarray(0.1))), "number of Python"),
        (lambda x: st.round(x, 0.5), "decimals=0.5"),
        (lambda x: st.sign(x.int()), "torch.int32"),
        (lambda x: st.sign(0.5), "no tensor"),
        (lambda x: st.step(x, "a"), "h0='a'"),
        (lambda x: st.clip(x, torch.zeros(3)), "do not broadcast"),
        (lambda x: st.clip(x, torch.zeros(2, dtype=torch.float64)), "min.to(x)"),
        (lambda x: st.clip(x, max=True), "max=True"),
    ],
)
def test_what_does_not_fit_is_an_error(call, says):
    with pytest.raises(SpanaxError) as error:
        call(torch.zeros(2))
    assert says in str(error.value)
