"""sample: unbiased gradients by every bridge that promises them, and the distribution that torch has."""

import numpyro.distributions as numpyro
import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Categorical,
    Exponential,
    Independent,
    LogNormal,
    MixtureSameFamily,
    Normal,
    OneHotCategorical,
    Pareto,
    Poisson,
    TransformedDistribution,
    Uniform,
    transforms,
)

from spanax import SpanaxError
from spanax.bridges import (
    SPSA,
    DisARM,
    Enumerate,
    GumbelSoftmax,
    LeaveOneOut,
    Pathwise,
    ReinMax,
    ScoreFunction,
    Soft,
    StraightThrough,
)
from spanax.torch import gumbel_softmax, sample, surrogate_loss

LOCAL = [GumbelSoftmax(0.5), GumbelSoftmax(0.5, hard=True), StraightThrough(), ReinMax()]
A = torch.tensor([0.3, -0.7, 0.2], dtype=torch.float64)
TABLE = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def slope(distribution, via, cost, samples=4, seed=0):
    x = A.clone().requires_grad_()
    z, log_prob = sample(distribution(x), via=via, samples=samples, generator=generator(seed))
    return torch.autograd.grad(surrogate_loss(cost(z), log_prob), x)[0]


def categorical(x):
    return Categorical(logits=x)


def bernoullis(x):
    return Independent(Bernoulli(logits=x), 1)


# (distribution, bridge, cost, its expectation): each is unbiased.
UNBIASED = [
    (categorical, ScoreFunction(), lambda z: TABLE[z], lambda x: torch.softmax(x, 0) @ TABLE),
    (categorical, LeaveOneOut(4), lambda z: TABLE[z], lambda x: torch.softmax(x, 0) @ TABLE),
    (categorical, StraightThrough(), lambda z: z @ TABLE, lambda x: torch.softmax(x, 0) @ TABLE),
    (categorical, ReinMax(), lambda z: (z @ TABLE) ** 2, lambda x: torch.softmax(x, 0) @ TABLE**2),
    (bernoullis, None, lambda z: (z @ TABLE) * z[:, 0], lambda x: _pair(torch.sigmoid(x))),
    (bernoullis, StraightThrough(), lambda z: z @ TABLE, lambda x: torch.sigmoid(x) @ TABLE),
    (bernoullis, ReinMax(), lambda z: (z - 0.3) ** 2 @ TABLE, lambda x: torch.sigmoid(x) @ (0.4 * TABLE)),
    (lambda x: Normal(x[0], x[1].exp()), None, lambda z: z**2, lambda x: x[0] ** 2 + (2 * x[1]).exp()),
    (lambda x: Normal(x[0], x[1].exp()), ScoreFunction(), lambda z: z**2, lambda x: x[0] ** 2 + (2 * x[1]).exp()),
    (lambda x: Poisson(x[0].exp()), None, lambda z: z * (z - 1), lambda x: (2 * x[0]).exp()),
    (
        lambda x: MixtureSameFamily(Categorical(logits=x), Normal(torch.arange(3.0).double(), 1.0)),
        None,
        lambda z: z,
        lambda x: torch.softmax(x, 0) @ torch.arange(3.0).double(),
    ),
]


def _pair(p):
    return p[0] * (TABLE[0] + p[1:] @ TABLE[1:])


@pytest.mark.parametrize("case", range(len(UNBIASED)))
def test_unbiased(case):
    # The mean of 10 gradients of 1,000 samples each, within 5 of its standard errors (t with 9 degrees of freedom: a false
    # alarm in 1,400 for each number, of about 30; the seed is fixed).
    distribution, via, cost, expected = UNBIASED[case]
    if isinstance(via, LeaveOneOut):
        via = LeaveOneOut(1000)
    found = torch.stack([slope(distribution, via, cost, 1000, seed) for seed in range(10)])
    error = found.std(0) / 10**0.5
    truth = torch.func.grad(expected)(A)
    assert ((found.mean(0) - truth).abs() <= 5 * error + 1e-12).all(), (found.mean(0), truth, error)
    assert (error < 0.3).all()


@pytest.mark.parametrize("via", [ScoreFunction(), *LOCAL], ids=str)
@pytest.mark.parametrize(
    "make", [lambda x: Bernoulli(logits=x), lambda x: Bernoulli(probs=x.sigmoid()), bernoullis], ids="lpi"
)
def test_bernoulli_draws(make, via):
    z, log_prob = sample(make(A), via=via, samples=4000, generator=generator())
    assert z.shape == (4000, 3) and z.dtype == torch.float64
    assert log_prob.shape == ((4000,) if make is bernoullis else (4000, 3))
    if via == GumbelSoftmax(0.5):
        assert ((z > 0) & (z < 1)).all()
    else:
        assert ((z == 0) | (z == 1)).all()
    # Frequencies within 5 standard errors (false alarms: one in 600,000 for each of 45).
    p = torch.sigmoid(A)
    assert (((z > 0.5).double().mean(0) - p).abs() < 5 * (p * (1 - p) / 4000).sqrt()).all()


@pytest.mark.parametrize("via", LOCAL, ids=str)
@pytest.mark.parametrize("family", [Categorical, OneHotCategorical])
def test_categorical_draws_are_weights(family, via):
    x = A.expand(2, 3)
    z, log_prob = sample(family(logits=x), via=via, samples=2000, generator=generator())
    assert z.shape == (2000, 2, 3) and log_prob.shape == (2000, 2) and not log_prob.any()
    torch.testing.assert_close(z.sum(-1), torch.ones(2000, 2, dtype=torch.float64))
    p = torch.softmax(A, 0)
    frequencies = torch.nn.functional.one_hot(z.argmax(-1), 3).double().mean(0)
    assert ((frequencies - p).abs() < 5 * (p * (1 - p) / 2000).sqrt()).all()
    one, _ = sample(family(probs=p), via=via)
    assert one.shape == (3,)


def test_the_score_function_is_torchs_own_draw():
    torch.manual_seed(5)
    z, log_prob = sample(Poisson(A.exp()), via=ScoreFunction(), samples=3)
    torch.manual_seed(5)
    want = Poisson(A.exp()).sample((3,))
    assert torch.equal(z, want) and torch.equal(log_prob, Poisson(A.exp()).log_prob(want))


def test_relaxed_categorical_is_gumbel_softmax():
    z, _ = sample(Categorical(logits=A), via=GumbelSoftmax(0.3), generator=generator(7))
    torch.testing.assert_close(z, gumbel_softmax(torch.log_softmax(A, 0), 0.3, generator=generator(7)))


def test_bernoulli_derivatives_far_out_do_not_vanish():
    x = torch.tensor([25.0, -25.0], requires_grad=True)
    for via in [StraightThrough(), GumbelSoftmax(1.0)]:
        z, _ = sample(Bernoulli(logits=x), via=via, generator=generator())
        (slope,) = torch.autograd.grad(z.sum(), x)
        assert (slope > 0).all()


def test_a_generator_is_used_and_the_global_one_left_alone():
    torch.manual_seed(1)
    before, own = torch.get_rng_state(), generator(3)
    for via in [None, *LOCAL]:
        one, _ = sample(Categorical(logits=A), via=via, samples=20, generator=own)
        other, _ = sample(Categorical(logits=A), via=via, samples=20, generator=own)
        assert not torch.equal(one, other)  # it has moved on
    assert torch.equal(torch.get_rng_state(), before)
    first, _ = sample(Normal(0.0, 1.0), samples=3, generator=generator(9))
    again, _ = sample(Normal(0.0, 1.0), samples=3, generator=generator(9))
    assert torch.equal(first, again)


def test_under_vmap_and_grad():
    def loss(x):
        z, log_prob = sample(Independent(Bernoulli(logits=x, validate_args=False), 1), samples=5)
        return surrogate_loss((z.sum(-1) - 0.3) ** 2, log_prob)

    torch.manual_seed(0)
    out = torch.func.vmap(torch.func.grad(loss), randomness="different")(A.expand(4, 3))
    assert out.shape == (4, 3) and not torch.equal(out[0], out[1])


def moving(x):
    return TransformedDistribution(Exponential(torch.ones(3)), [transforms.AffineTransform(x, 1.0)])


@pytest.mark.parametrize(
    "make", [lambda x: Uniform(x, x + 1), lambda x: Pareto(x.exp(), 1.0), moving, lambda x: Independent(moving(x), 1)]
)
def test_a_moving_support_has_no_score_function(make):
    x = A.clone().requires_grad_()
    with pytest.raises(SpanaxError, match="support moves"):
        sample(make(x), via=ScoreFunction())
    sample(make(x.detach()), via=ScoreFunction())
    sample(LogNormal(x, 1.0), via=ScoreFunction())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"distribution": numpyro.Normal(0.0, 1.0)}, "torch.distributions"),
        ({"distribution": Bernoulli}, "torch.distributions"),
        ({"via": Pathwise()}, "no rsample"),
        ({"via": SPSA(0.1)}, "ReinMax()"),
        ({"via": Enumerate()}, "LeaveOneOut(samples=8)"),
        ({"via": DisARM()}, "DisARM"),
        ({"via": Soft(0.1)}, "ScoreFunction()"),
        ({"via": "reinmax"}, "'reinmax'"),
        ({"via": ReinMax}, "ReinMax()"),
        ({"via": ScoreFunction(None)}, "surrogate_loss(..., baseline=...)"),
        ({"via": StraightThrough(Soft(0.1))}, "hard operations"),
        ({"via": LeaveOneOut(4), "samples": 3}, "samples=4"),
        ({"via": GumbelSoftmax(-1.0)}, "temperature=0.5"),
        ({"distribution": Poisson(1.0), "via": ReinMax()}, "not Poisson"),
        ({"samples": 0}, "samples=0"),
        ({"samples": True}, "samples=True"),
        ({"samples": (3,)}, "samples=(3,)"),
        ({"generator": 3}, "generator=3"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_does_not_fit_is_an_error(arguments, says):
    with pytest.raises(SpanaxError) as error:
        sample(**{"distribution": Bernoulli(logits=A), **arguments})
    assert says in str(error.value)
