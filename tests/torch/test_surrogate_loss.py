"""surrogate_loss: its gradients against exact enumeration of small sequence models, of fixed and of variable length."""

import itertools

import numpy as np
import pytest
import torch

from spanax import SpanaxError
from spanax.torch import surrogate_loss

BASELINES = ["leave-one-out", None, 1.5]
# Forward mode in torch starts with a warning about torch's own code.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


def log_bernoulli(logit, z):
    return torch.where(z > 0, torch.nn.functional.logsigmoid(logit), torch.nn.functional.logsigmoid(-logit))


# -- a model of three steps that ends after the first 1, with everything that a sample consists of enumerated


def sequence(theta, zs):
    """Log-probabilities, costs and which steps are real, of one sequence of three candidate draws."""
    log_probs, costs, alive, running, past = [], [], [], True, torch.zeros((), dtype=theta.dtype)
    for t, z in enumerate(zs):
        log_probs.append(log_bernoulli(theta[t] + 0.5 * past, z))
        # The cost has a slope of its own, and depends on this draw and earlier ones.
        costs.append((z - 0.3) * theta[3] + past * z * (t + 1) + torch.cos(theta[t]) * z)
        alive.append(running)
        past = past + (1 - z)
        running = running and z == 0
    return torch.stack(log_probs), torch.stack(costs), torch.tensor(alive)


def of_all_samples(theta, samples, padded=torch.nan):
    """Each possible set of independent samples: its probability, and the arguments for `surrogate_loss`."""
    for together in itertools.product(SEQUENCES, repeat=samples):
        parts = [sequence(theta, zs) for zs in together]
        log_probs, costs, alive = (torch.stack(part) for part in zip(*parts, strict=True))
        p = torch.where(alive, log_probs, 0.0).sum().exp()
        # What is padded holds nonsense.
        nonsense = torch.full_like(costs, padded)
        yield p, torch.where(alive, costs, nonsense), torch.where(alive, log_probs, nonsense), alive


SEQUENCES = [torch.tensor(zs, dtype=torch.float64) for zs in [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)]]


def expected_cost(theta):
    return sum(p * torch.where(alive, cost, 0.0).sum() for p, cost, _, alive in of_all_samples(theta, 1, 0.0))


THETA = torch.tensor([0.3, -0.7, 0.2, 1.1], dtype=torch.float64)
TRUE = torch.func.grad(expected_cost)(THETA)


@pytest.mark.parametrize("padded", [torch.nan, torch.inf, -torch.inf, 1e30])
@pytest.mark.parametrize("baseline", [*BASELINES, torch.tensor([0.2, 0.4, -1.0], dtype=torch.float64)], ids=str)
def test_sequences_of_variable_length_exactly(baseline, padded):
    x, total, gradient = THETA.clone().requires_grad_(), 0.0, 0.0
    for p, cost, log_probs, alive in of_all_samples(x, 2, padded):
        loss = surrogate_loss(cost, log_probs, baseline, alive)
        torch.testing.assert_close(loss, torch.where(alive, cost, 0.0).sum(1).mean(), rtol=1e-15, atol=0)
        total = total + p.detach() * loss.detach()
        gradient = gradient + p.detach() * torch.autograd.grad(loss, x, retain_graph=True)[0]
    torch.testing.assert_close(total, expected_cost(THETA))
    torch.testing.assert_close(gradient, TRUE)


def test_a_cost_at_the_end_exactly():
    x, gradient = THETA.clone().requires_grad_(), 0.0
    for p, cost, log_probs, alive in of_all_samples(x, 2):
        loss = surrogate_loss(torch.where(alive, cost, 0.0).sum(1), log_probs, mask=alive)
        gradient = gradient + p.detach() * torch.autograd.grad(loss, x, retain_graph=True)[0]
    torch.testing.assert_close(gradient, TRUE)


def test_one_draw_and_several_costs_exactly():
    def samples(x):
        for zs in itertools.product([0.0, 1.0], repeat=2):
            z = torch.tensor(zs, dtype=x.dtype)
            yield log_bernoulli(x[0], z), torch.stack([z * x[1], (z - 0.2) ** 2, 3 * z], 1)

    def expected(x):
        return sum(lp.sum().exp() * c.sum(1).mean() for lp, c in samples(x))

    x, gradient = torch.tensor([0.4, -0.9], dtype=torch.float64, requires_grad=True), 0.0
    for log_prob, cost in samples(x):
        loss = surrogate_loss(cost, log_prob)
        gradient = gradient + log_prob.sum().exp().detach() * torch.autograd.grad(loss, x, retain_graph=True)[0]
    torch.testing.assert_close(gradient, torch.func.grad(expected)(x.detach()))


def test_each_shape_with_a_mask_and_a_tensor_for_baseline():
    mask, values = torch.tensor([[1, 1], [1, 0]]), torch.tensor([[2.0, 3.0], [5.0, torch.nan]])
    x = torch.zeros(2, requires_grad=True)
    surrogate_loss(torch.tensor([[1.0, 2.0], [4.0, torch.inf]]), x, values[:, 0], mask).backward()
    assert x.grad.tolist() == [(3 - 2) / 2, (4 - 5) / 2]
    x = torch.zeros(2, 2, requires_grad=True)
    surrogate_loss(torch.tensor([3.0, 4.0]), x, values, mask).backward()
    assert x.grad.tolist() == [[(3 - 2) / 2, 0], [(4 - 5) / 2, 0]]


@pytest.mark.parametrize("baseline", BASELINES[:2])
def test_second_derivatives_exactly(baseline):
    def estimate(theta, chosen):
        _, cost, log_probs, alive = chosen(theta)
        return surrogate_loss(cost, log_probs, baseline, alive)

    total = 0.0
    for index, (p, *_) in enumerate(of_all_samples(THETA, 2, 0.0)):
        choose = lambda theta, index=index: next(itertools.islice(of_all_samples(theta, 2, 0.0), index, None))
        total = total + p * torch.autograd.functional.hessian(lambda theta, c=choose: estimate(theta, c), THETA)
    torch.testing.assert_close(total, torch.autograd.functional.hessian(expected_cost, THETA))


# -- what each piece is


def test_reward_to_go_and_leave_one_out_by_hand():
    log_probs = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    cost = torch.tensor([[1.0, 2.0], [3.0, 5.0], [0.0, 4.0]], dtype=torch.float64)
    surrogate_loss(cost, log_probs).backward()
    # Costs to go: [3, 2], [8, 5], [4, 4]; less the mean of the other two, by 3 samples.
    want = torch.tensor([[3 - 6, 2 - 4.5], [8 - 3.5, 5 - 3], [4 - 5.5, 4 - 3.5]], dtype=torch.float64) / 3
    torch.testing.assert_close(log_probs.grad, want)


def test_the_baseline_is_the_mean_of_what_still_runs():
    log_probs = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    cost = torch.tensor([[1.0, 2.0], [3.0, 5.0], [7.0, torch.nan]], dtype=torch.float64)
    mask = torch.tensor([[1, 1], [1, 1], [1, 0]])
    surrogate_loss(cost, log_probs, mask=mask).backward()
    # Costs to go: [3, 2], [8, 5], [7, -].
    want = torch.tensor([[3 - 7.5, 2 - 5], [8 - 5, 5 - 2], [7 - 5.5, 0]], dtype=torch.float64) / 3
    torch.testing.assert_close(log_probs.grad, want)


def test_nothing_of_the_padding_reaches_a_gradient():
    log_probs = torch.full((2, 3), -torch.inf, requires_grad=True)
    cost = torch.full((2, 3), torch.nan, requires_grad=True)
    mask = torch.zeros(2, 3, dtype=torch.bool)
    values = torch.full((2, 3), torch.nan)
    for baseline in ["leave-one-out", None, values]:
        loss = surrogate_loss(cost, log_probs, baseline, mask)
        slopes = torch.autograd.grad(loss, [cost, log_probs])
        assert loss == 0 and all((slope == 0).all() for slope in slopes)


def test_a_tensor_for_baseline_is_stopped():
    log_probs, values = (torch.zeros(2, 3, requires_grad=True) for _ in range(2))
    surrogate_loss(torch.ones(2, 3), log_probs, values).backward()
    assert values.grad is None and log_probs.grad.tolist() == [[1.5, 1.0, 0.5]] * 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_single(dtype):
    log_probs = torch.zeros(2, 3000, dtype=dtype, requires_grad=True)
    loss = surrogate_loss(torch.ones(2, 3000, dtype=dtype), log_probs, None)
    loss.backward()
    assert loss.dtype == torch.float32 and loss == 3000 and log_probs.grad.dtype == dtype
    assert surrogate_loss(torch.ones(2, 3, dtype=torch.int64), torch.zeros(2, 3, requires_grad=True)).item() == 3


def test_under_torch_func():
    generator = torch.Generator().manual_seed(0)
    z = (torch.rand(5, 3, generator=generator) > 0.5).double()
    theta, v = (torch.randn(4, 5, 3, dtype=torch.float64, generator=generator) for _ in range(2))

    def f(theta):
        return surrogate_loss(z * torch.sin(theta), log_bernoulli(theta, z))

    x = theta.clone().requires_grad_()
    sum(f(each) for each in x).backward()
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(f))(theta), x.grad)
    torch.testing.assert_close(torch.func.grad(lambda t: torch.func.vmap(f)(t).sum())(theta), x.grad)
    torch.testing.assert_close(torch.func.jvp(f, (theta[0],), (v[0],))[1], (x.grad[0] * v[0]).sum())
    # A batch of problems.
    costs = torch.vmap(surrogate_loss, in_dims=1)(torch.ones(5, 4), torch.zeros(5, 4, requires_grad=True))
    assert costs.shape == (4,)


def ones(*shape, **more):
    return torch.ones(*shape, **more)


LP = torch.zeros(2, 3, requires_grad=True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((ones(2, 3), torch.zeros(2, 3)), "no derivative"),
        ((ones(2, 4), LP), "[2, 4]"),
        ((ones(3, 3), LP), "[3, 3]"),
        ((ones(2, 3, 1), LP), "[S, T]"),
        ((torch.tensor(1.0), LP), "cost of shape []"),
        ((ones(0), torch.zeros(0, requires_grad=True)), "cost of shape [0]"),
        ((ones(1, 3), torch.zeros(1, 3, requires_grad=True)), "2 samples or more"),
        ((ones(2, 3), LP, "loo"), "leave-one-out"),
        ((ones(2, 3), LP, torch.zeros(2)), "a baseline of shape [2]"),
        ((ones(2, 3), LP, torch.zeros(2, 1)), "a baseline of shape [2, 1]"),
        ((ones(2, 3), LP, [0.0]), "baseline=[0.0]"),
        ((ones(2, 3), LP, None, ones(2, 3)), "mask.bool()"),
        ((ones(2, 3), LP, None, ones(2) > 0), "a mask of shape [2]"),
        ((ones(2), LP[:, 0], None, ones(2) > 0), "a mask of shape [2]"),
        ((ones(2, 3), LP, None, np.ones((2, 3)) > 0), "no tensor of booleans"),
        ((np.ones((2, 3)), LP), "no tensor"),
        ((ones(2, 3, dtype=torch.complex64), LP), "complex64"),
        ((ones(2, 3, device="meta"), LP), "meta"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_does_not_fit_is_an_error(arguments, says):
    with pytest.raises(SpanaxError) as error:
        surrogate_loss(*arguments)
    assert says in str(error.value)
    with torch.no_grad():
        assert surrogate_loss(ones(2, 3), torch.zeros(2, 3)) == 3
