"""straight_through: the value bit by bit, and the derivatives of the smooth tensor in every mode and order."""

import pytest
import torch

from spanax import SpanaxError
from spanax.torch import straight_through

# Forward mode in torch starts with a warning about torch's own code.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def cubed(x, hard):
    return (straight_through(hard, torch.sin(x)) ** 3).sum()


def slope(x, hard):
    return 3 * hard**2 * torch.cos(x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_value_is_the_hard_one_bit_by_bit(dtype):
    hard = torch.tensor([0.1, -0.0, torch.inf, torch.nan, 1e-7, 1.0], dtype=dtype)
    soft = torch.tensor([3.3e4, torch.nan, torch.inf, 0.0, -1.0, 1 / 3], dtype=dtype, requires_grad=True)
    out = straight_through(hard, soft)
    assert out.dtype == dtype
    bits = torch.int64 if dtype == torch.float64 else torch.int32 if dtype == torch.float32 else torch.int16
    assert torch.equal(out.detach().view(bits), hard.view(bits))
    out.sum().backward()
    assert torch.equal(soft.grad, torch.ones_like(soft))


def test_derivatives_are_those_of_the_soft_one_in_every_mode():
    torch.manual_seed(0)
    x = torch.randn(3, 4, dtype=torch.float64)
    hard = torch.round(x)
    torch.testing.assert_close(torch.func.grad(cubed)(x, hard), slope(x, hard))
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(cubed))(x, hard), slope(x, hard))
    v = torch.randn_like(x)
    torch.testing.assert_close(torch.func.jvp(lambda x: cubed(x, hard), (x,), (v,))[1], (slope(x, hard) * v).sum())
    # The second derivative goes through the smooth tensor as well: d/dx of 3 h^2 cos, in which h has the derivative cos.
    second = 6 * hard * torch.cos(x) ** 2 - 3 * hard**2 * torch.sin(x)
    for hessian in (torch.func.hessian(cubed)(x, hard), torch.autograd.functional.hessian(lambda x: cubed(x, hard), x)):
        torch.testing.assert_close(torch.einsum("ijij->ij", hessian), second)


def test_a_hard_value_that_has_a_derivative_of_its_own_loses_it():
    x = torch.tensor([0.3, 0.6], requires_grad=True)
    straight_through(x * 5, x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_the_result_is_no_view_of_either():
    hard, soft = torch.zeros(3), torch.ones(3)
    straight_through(hard, soft).add_(7)
    assert hard.tolist() == [0] * 3 and soft.tolist() == [1] * 3
    with torch.inference_mode():
        assert straight_through(hard, soft).tolist() == [0] * 3


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3)])
def test_any_shape(shape):
    x = torch.ones(shape, requires_grad=True)
    straight_through(torch.zeros(shape), x).sum().backward()
    assert torch.equal(x.grad, torch.ones(shape))
    strided = torch.zeros(4, 6)[:, ::2].T
    assert torch.equal(straight_through(strided, torch.ones(1).expand(3, 4)), strided)


@pytest.mark.parametrize(
    ("hard", "soft", "says"),
    [
        (torch.zeros(2), torch.zeros(3), "hard has shape [2], soft has [3]"),
        (torch.zeros(2), torch.zeros(1), "broadcast_tensors"),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64), "dtype torch.float32"),
        (torch.zeros(2), torch.zeros(2, device="meta"), "device"),
        (torch.zeros(2, dtype=torch.int64), torch.zeros(2), "hard.to(torch.float32)"),
        (torch.zeros(2) > 0, torch.zeros(2), "hard.to(torch.float32)"),
        ([0.0], torch.zeros(1), "no tensor"),
        (torch.zeros(1), 0.0, "no tensor"),
    ],
)
def test_what_does_not_fit_is_an_error(hard, soft, says):
    with pytest.raises(SpanaxError) as error:
        straight_through(hard, soft)
    assert says in str(error.value)
