"""compare: finds the bias that a bridge has and none in one that has none, and leaves everything as it was."""

import itertools

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Independent

from spanax import SpanaxError
from spanax.bridges import GumbelSoftmax, LeaveOneOut, ReinMax, StraightThrough
from spanax.torch import compare, sample, surrogate_loss


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Linear(2, 3)
        self.scale = torch.nn.Parameter(torch.tensor(1.5))
        self.frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
        self.unused = torch.nn.Parameter(torch.ones(2))
        with torch.no_grad():
            self.encoder.weight.copy_(torch.tensor([[0.5, -1.0], [0.2, 0.3], [-0.7, 0.4]]))
            self.encoder.bias.zero_()

    def logits(self):
        return self.encoder(torch.tensor([1.0, 0.5]))

    def cost(self, z):
        return self.scale * (z.sum(-1) - 0.3) ** 3

    def loss(self, via):
        z, log_prob = sample(Independent(Bernoulli(logits=self.logits()), 1), via=via, samples=4)
        return surrogate_loss(self.cost(z), log_prob)

    def exact(self):
        p = torch.sigmoid(self.logits())
        every = torch.tensor([*itertools.product([0.0, 1.0], repeat=3)])
        return torch.where(every > 0, p, 1 - p).prod(-1) @ self.cost(every)


@pytest.fixture
def model():
    return Model()


def test_biased_and_unbiased_are_told_apart(model):
    found = compare(
        model.loss, [LeaveOneOut(4), StraightThrough()], parameters=model, truth=model.exact, draws=300, seed=1
    )
    verdicts = {row.label: row.verdict for row in found.rows}
    assert verdicts == {"LeaveOneOut(samples=4)": "no bias found", "StraightThrough()": "biased"}
    assert found.rows[0].unbiased_by_facts and found.rows[1].unbiased_by_facts is False
    assert found.truth.kind == "given" and found.truth.standard_error == 0 and "exact" in found.truth.how
    want = dict(zip(*zip(*model.named_parameters(), strict=True), strict=True))
    del want["frozen"], want["unused"]
    for (name, _), slope in zip(want.items(), torch.autograd.grad(model.exact(), list(want.values())), strict=True):
        torch.testing.assert_close(found.truth.gradient[name].float(), slope)
    assert (found.truth.gradient["unused"] == 0).all() and "frozen" not in found.truth.gradient
    # The variance of one gradient, by 500 more of them: within 25% (a variance of 300 draws is off by 10% or so).
    torch.manual_seed(0)
    more = [torch.cat([g.ravel() for g in grads(model)]) for _ in range(500)]
    assert abs(torch.stack(more).var(0).sum().item() / found.rows[0].variance - 1) < 0.25
    assert "LeaveOneOut(samples=4)" in str(found) and found.code == "loss(LeaveOneOut(samples=4))"
    assert '"spanax.comparison"' in found.to_json()


def grads(model):
    return torch.autograd.grad(model.loss(LeaveOneOut(4)), [*model.encoder.parameters(), model.scale])


def test_the_truth_may_be_an_unbiased_via_or_a_gradient(model):
    vias = {"relaxed": GumbelSoftmax(0.5), "loo": LeaveOneOut(4), "reinmax": ReinMax()}
    found = compare(model.loss, vias, parameters=model, draws=100)
    assert found.truth.kind == "unbiased bridge" and found.truth.how.startswith(
        "loo, unbiased by its facts (the mean of 400"
    )
    assert {row.label: row.verdict for row in found.rows}["loo"] != "biased"
    logits = torch.zeros(3, requires_grad=True)
    loss = lambda n: (logits * torch.randn(n, 3)).sum() / n + logits.sum()
    for truth in ([torch.ones(3)], {"0": np.ones(3)}, "many", lambda: logits.sum()):
        found = compare(loss, {"many": 8, "one": 1}, parameters=[logits], truth=truth, draws=100)
        assert all(row.verdict == "no bias found" for row in found.rows)
        assert all(row.unbiased_by_facts is None for row in found.rows)


def test_what_is_cut_is_a_silent_zero_and_what_raises_is_left_out(model):
    def loss(via):
        if via == "raises":
            raise ValueError("no luck")
        return model.exact().detach() if via == "cut" else model.exact()

    found = compare(
        loss, {name: name for name in ("right", "cut", "raises")}, parameters=model, truth="right", draws=100
    )
    assert [row.label for row in found.rows] == ["right", "cut"]
    assert "SILENT ZERO" in str(found) and "no luck" in str(found)


def test_grad_and_generators_are_left_alone_and_a_seed_repeats(model):
    model.scale.grad = torch.tensor(7.0)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    with torch.no_grad():
        one, two, three = (
            compare(model.loss, [LeaveOneOut(4)], parameters=model, truth=model.exact, draws=100, seed=seed)
            for seed in (5, 5, 6)
        )
    assert torch.equal(torch.get_rng_state(), state)
    assert model.scale.grad == 7 and model.encoder.weight.grad is None
    variances = [found.rows[0].variance for found in (one, two, three)]
    assert variances[0] == variances[1] != variances[2]


def test_many_tensors_keep_their_places():
    xs = [torch.full((2,), float(i), requires_grad=True) for i in range(12)]
    found = compare(lambda _: sum((x**2).sum() for x in xs), {"it": 0}, parameters=xs, truth="it", draws=100)
    assert all((found.truth.gradient[str(i)] == 2 * i).all() for i in range(12))
    half = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
    found = compare(lambda _: half.sum(), {"it": 0}, parameters=half, truth=[torch.ones(2)], draws=100)
    assert found.rows[0].verdict == "no bias found"


X = torch.ones(2, requires_grad=True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"vias": {}}, "vias={}"),
        ({"vias": "sum"}, "vias='sum'"),
        ({"vias": [ReinMax(), ReinMax()]}, "list of bridges"),
        ({"parameters": [torch.ones(2)]}, "requires_grad_()"),
        ({"parameters": []}, "there is none"),
        ({"parameters": torch.nn.ReLU()}, "there is none"),
        ({"parameters": {"x": 1.0}}, "'x' is float"),
        ({"draws": 10}, "draws=10"),
        ({"accuracy": 0}, "accuracy=0"),
        ({"seed": -1}, "seed=-1"),
        ({"truth": "auto"}, "known to be unbiased"),
        ({"truth": "b"}, "has that label"),
        ({"truth": [torch.ones(3)]}, "0 [2]"),
        ({"truth": [torch.ones(2), torch.ones(2)]}, "0 [2]"),
        ({"loss": lambda via: X}, "torch.float32[2]"),
        ({"loss": lambda via: 1.0}, "float"),
    ],
)
def test_what_does_not_fit_is_an_error(arguments, says):
    given = {"loss": lambda via: X.sum(), "vias": {"a": 1}, "parameters": [X], "truth": "a", "draws": 100}
    with pytest.raises(SpanaxError) as error:
        compare(**{**given, **arguments})
    assert says in str(error.value)
