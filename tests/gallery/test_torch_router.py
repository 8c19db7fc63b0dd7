"""`spanax gallery torch-router`: the exact objective, the other gradients beside it, a tiny run, and Ctrl-C."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from spanax.gallery import torch_router
from spanax.gallery._torch.mixture import EXPERTS, Mixture, best, costs, follow, gates
from spanax.gallery._torch.reproducible import reproducible
from spanax.gallery._torch.router_result import Cosine, Outcome, collect
from spanax.gallery._torch.router_training import compare_gradients, train
from spanax.gallery.torch_router import LOSSES, enumerated

from .pictures import check_picture


@pytest.fixture(autouse=True)
def own_state():
    """Nothing of torch's state goes from one test to the next."""
    with reproducible(0):
        yield


@pytest.fixture
def few(monkeypatch):
    """Fewer repeats than are worth anything."""
    monkeypatch.setattr("spanax.gallery._torch.router_training.REPEATS", 2)
    monkeypatch.setattr("spanax.gallery._torch.router_training.LATER", 1)


def some(images, dtype=torch.float32):
    """Scores, what the experts say, and labels."""
    scores = (2 * torch.randn(images, EXPERTS, dtype=dtype)).requires_grad_()
    return scores, torch.randn(images, EXPERTS, 10, dtype=dtype), torch.randint(10, (images,))


def slow_objective(scores, says, labels, k):
    """The mean over images of sum_S P(S) l(S), over sets, one after the other."""
    total = 0.0
    for p, said, label in zip(scores.softmax(-1), says, labels, strict=True):
        for group in itertools.combinations(range(EXPERTS), k):
            probability = 0.0
            for order in itertools.permutations(group):
                rest, path = 1.0, 1.0
                for expert in order:
                    path, rest = path * p[expert] / rest, rest - p[expert]
                probability = probability + path
            whole = 1.0 if k == 1 else sum(p[expert] for expert in group)
            answer = sum(p[expert] / whole * said[expert] for expert in group)
            total = total + probability * cross_entropy(answer, label)
    return total / len(labels)


@pytest.mark.parametrize("k", [1, 2])
def test_the_exact_objective_is_that_of_a_slow_reference(k):
    scores, says, labels = some(3, torch.float64)
    one, other = enumerated(scores, says, labels, k), slow_objective(scores, says, labels, k)
    torch.testing.assert_close(one, other)
    slope, expected = (torch.autograd.grad(loss, scores)[0] for loss in (one, other))
    torch.testing.assert_close(slope, expected)


@pytest.mark.parametrize("k", [1, 2])
def test_the_probabilities_of_all_draws_sum_to_one_also_where_the_router_is_sure(k):
    scores = torch.tensor([[50.0, 0, 0, 0, 0, 0, 0, -50], [1.0, 2, 3, 4, 5, 6, 7, 8]])
    draws = torch.tensor(list(itertools.permutations(range(EXPERTS), k)))
    chosen, log_probs = follow(
        scores.expand(len(draws), -1, -1), k, lambda left, place: draws[:, place, None].expand(left.shape[:-1])
    )
    assert chosen.sum(-1).eq(k).all()
    torch.testing.assert_close(log_probs.sum(-1).exp().sum(0), torch.ones(2))
    slope = torch.autograd.grad(enumerated(scores.requires_grad_(), *some(2)[1:], k), scores)[0]
    assert torch.isfinite(slope).all()


def test_costs_and_gates_are_those_of_their_definitions():
    scores, says, labels = some(5)
    weights = torch.rand(3, 5, EXPERTS)
    answers = (weights[..., None] * says).sum(-2)
    for found, answer in zip(costs(weights, says, labels), answers, strict=True):
        torch.testing.assert_close(found, cross_entropy(answer, labels, reduction="none"))
    p, one, two = scores.softmax(-1), best(scores, 1), best(scores, 2)
    assert torch.equal(one.argmax(-1), scores.argmax(-1)) and one.sum() == 5 and two.sum() == 10
    torch.testing.assert_close(gates(scores, one, 1), p * one)
    torch.testing.assert_close(gates(scores, two, 2).sum(-1), torch.ones(5))
    torch.testing.assert_close(gates(scores, two, 2) * (p * two).sum(-1, keepdim=True), p * two)


@pytest.mark.parametrize("k", [1, 2])
def test_the_score_function_is_unbiased_for_the_exact_gradient(k):
    """By the scores of 2 images, 16 numbers, each within 5 standard errors.

    False alarms: 16 times 6e-7 for a normal mean; of 40 batches it is nearly one, and 1e-3 is a safe bound.
    """
    scores, says, labels = some(2)
    (right,) = torch.autograd.grad(enumerated(scores, says, labels, k), scores)
    many = says.repeat(400, 1, 1), labels.repeat(400), k
    batches = [LOSSES["score function"](scores.repeat(400, 1), *many) for _ in range(40)]
    found = torch.stack([torch.autograd.grad(loss, scores)[0] for loss in batches])
    errors = found.std(0) / 40**0.5
    assert ((found.mean(0) - right).abs() < 5 * errors + 1e-7).all()
    assert errors.mean() < 0.1 * right.abs().mean()  # it would see a bias


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("name", LOSSES)
def test_every_way_has_a_loss_and_a_gradient(name, k):
    scores, says, labels = some(4)
    loss = LOSSES[name](scores, says, labels, k)
    assert loss.shape == () and torch.isfinite(loss)
    (slope,) = torch.autograd.grad(loss, scores)
    assert torch.isfinite(slope).all() and slope.any()
    if name in ("plain top-k", "straight-through"):  # both use the k best
        expected = cross_entropy((gates(scores, best(scores, k), k)[..., None] * says).sum(-2), labels)
        torch.testing.assert_close(loss, expected)


def test_experts_say_what_they_would_one_by_one():
    mixture, images = Mixture(), torch.rand(3, 8, 8)
    with torch.no_grad():
        for shift in mixture.shifts:
            shift.normal_()
        scores, says = mixture(images)
        for number, image in enumerate(images.flatten(1)):
            torch.testing.assert_close(scores[number], mixture.router(image))
            for expert in range(EXPERTS):
                hidden = torch.relu(image @ mixture.first[expert] + mixture.shifts[0][expert, 0])
                answer = hidden @ mixture.last[expert] + mixture.shifts[1][expert, 0]
                torch.testing.assert_close(says[number, expert], answer)


def test_a_gradient_is_compared_with_the_exact_one(few):
    other = {"same": enumerated, "half": lambda *a: 0.5 * enumerated(*a), "against": lambda *a: -enumerated(*a)}
    found = compare_gradients(other, enumerated, 0, 1, 0.0)
    assert {(one.name, one.steps, round(one.single, 4), round(one.mean, 4)) for one in found} == {
        (name, steps, sign, sign)
        for name, sign in (("same", 1.0), ("half", 1.0), ("against", -1.0))
        for steps in (0, 1)
    }


def test_a_training_is_that_of_its_seed_and_counts_its_experts():
    one, other = (train("ReinMax", LOSSES["ReinMax"], 3, 2, 2, 0.3) for _ in range(2))
    assert (one.accuracy, one.everyone, one.shares) == (other.accuracy, other.everyone, other.shares)
    assert sum(one.shares) == pytest.approx(1) and len(one.shares) == EXPERTS
    np.testing.assert_allclose(np.array(one.shares) * 2 * 297, np.round(np.array(one.shares) * 2 * 297), atol=1e-3)


def test_figures_are_means_over_the_seeds():
    shares = [1 / 2, 0, 1 / 4, 1 / 4, 0, 0, 0, 0], [0.125] * 8
    outcomes = [Outcome("a", 2, seed, 0.5 + seed / 10, 0.9, shares[seed], 1.0) for seed in (0, 1)]
    cosines = [Cosine("a", 2, seed, steps, 0.1 * steps + seed / 2, 0.9) for seed in (0, 1) for steps in (0, 5)]
    (way,) = collect(cosines, outcomes)
    assert way.accuracy == pytest.approx(0.55) and way.entropy == pytest.approx((1.5 + 3) / 2)
    assert way.shares[0] == pytest.approx((0.5 + 0.125) / 2)
    assert way.cosine(later=False, of_the_mean=False) == pytest.approx(0.25)
    assert way.cosine(later=True, of_the_mean=False) == pytest.approx(0.75)
    assert not math.isnan(Outcome("a", 1, 0, 0.0, 0.0, [1.0] + [0.0] * 7, 0.0).entropy)


def test_a_tiny_run_compares_all_ways_and_writes_its_files(tmp_path, few):
    stages = []
    result = torch_router.run(tmp_path, steps=1, seeds=2, seed=6, on_stage=stages.append)
    ways = [f"seed {seed}, top-{k}: {name}" for seed in (6, 7) for k in (1, 2) for name in ("gradients", *LOSSES)]
    assert stages == [*ways, "drawing"] and not result.interrupted
    assert [(way.k, way.name) for way in result.ways] == [(k, name) for k in (1, 2) for name in LOSSES]
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["settings"] == {"steps": 1, "seeds": 2, "seed": 6, "balance": 0.3} and content["versions"]["torch"]
    for row, way in zip(content["ways"], result.ways, strict=True):
        assert row["seeds"] == [6, 7] and row["accuracies"] == [one.accuracy for one in way.outcomes]
        assert [(one["seed"], one["steps"]) for one in row["cosines"]] == [(6, 0), (6, 1), (7, 0), (7, 1)]
    exact = [way for way in result.ways if way.name == "enumerated"]
    assert all(way.cosine(later=True, of_the_mean=True) == pytest.approx(1) for way in exact)
    assert result.files == (tmp_path / "torch-router.png", tmp_path / "result.json")
    check_picture(result.files[0])


def test_ctrl_c_keeps_what_came_to_its_end(tmp_path, few):
    def press(stage):
        if stage == "seed 0, top-1: dense":
            raise KeyboardInterrupt

    result = torch_router.run(tmp_path, steps=1, on_stage=press)
    assert result.interrupted and [way.name for way in result.ways] == ["plain top-k", "straight-through"]
    assert json.loads((tmp_path / "result.json").read_text())["interrupted"] is True
    check_picture(tmp_path / "torch-router.png")


def test_ctrl_c_while_gradients_are_compared_writes_only_the_report(tmp_path, few):
    def press(stage):
        raise KeyboardInterrupt

    result = torch_router.run(tmp_path, on_stage=press)
    assert result.interrupted and result.ways == ()
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.slow
def test_the_mean_gradient_of_the_score_function_is_the_exact_one_and_that_of_plain_top_k_is_not():
    found = {(one.name, one.steps): one for one in compare_gradients(LOSSES, enumerated, 0, 1, 0.3)}
    for steps in (0, 100):
        assert found["score function", steps].mean > 0.98 > found["plain top-k", steps].mean
