"""`spanax gallery torch-attention`: its scenes, the finder's answer, the bridges' gradients, a tiny run, and Ctrl-C."""

import itertools
import json

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from spanax.gallery import torch_attention
from spanax.gallery._torch.attention_result import Look, Outcome, collect
from spanax.gallery._torch.attention_training import train
from spanax.gallery._torch.digits import Labelled, load, scattered, turned, windows
from spanax.gallery._torch.reproducible import reproducible
from spanax.gallery.torch_attention import GLIMPSES, LOSSES, PLACES, Reader

from .pictures import check_picture

BRIDGES = [name for name in LOSSES if name not in ("no bridge", "soft attention")]


@pytest.fixture(autouse=True)
def own_state():
    """Nothing of torch's state goes from one test to the next."""
    with reproducible(0):
        yield


@pytest.fixture
def default_dtype():
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


def some(count=8, seed=0):
    with reproducible(seed):
        return scattered(load(seed)[0].batch(count))


def test_the_split_holds_every_digit_once():
    digits, held_out = load(3)
    assert digits.images.shape == (1500, 8, 8) and held_out.images.shape == (297, 8, 8)
    again, _ = load(3)
    assert torch.equal(digits.images, again.images) and not torch.equal(digits.labels, load(4)[0].labels)
    every = torch.cat([digits.images, held_out.images])
    assert every.min() == 0 and every.max() == 1
    assert torch.bincount(torch.cat([digits.labels, held_out.labels])).tolist() == [
        178, 182, 177, 183, 181, 182, 181, 179, 174, 180
    ]  # fmt: skip


def test_a_scene_holds_its_digit_somewhere_and_little_else():
    digits = load(0)[0].batch(20)
    scenes, labels = scattered(digits)
    assert scenes.shape == (20, 24, 24) and torch.equal(labels, digits.labels)
    corners = set()
    for scene, digit in zip(scenes.numpy(), digits.images.numpy(), strict=True):
        # Of all 17 by 17 places, where nothing of the digit is hidden by something darker.
        places = itertools.product(range(17), repeat=2)
        fits = [(r, c) for r, c in places if np.all(scene[r : r + 8, c : c + 8] >= digit)]
        assert fits
        corners.update(fits)
        assert (scene > 0).sum() <= (digit > 0).sum() + 2 * 9
    assert len(corners) > 10


def test_windows_and_turns_are_those_of_slices():
    images, labels = load(0)[0].batch(6)
    corners = torch.randint(6, (6, 2))
    for cut, image, (row, column) in zip(windows(images, corners, 3), images, corners, strict=True):
        assert torch.equal(cut, image[row : row + 3, column : column + 3])
    for index, image in enumerate(turned(Labelled(images, labels)).images.numpy()):
        np.testing.assert_array_equal(image, np.rot90(images[index].numpy(), index % 4))


def test_a_chosen_place_is_read_and_no_other():
    reader, (scenes, _) = Reader(), some(4)
    reader.place.data.normal_()
    places = torch.tensor([[0, 24], [6, 6], [23, 2], [11, 12]])
    answers = reader.read(scenes, one_hot(places, PLACES).float())
    for answer, scene, pair in zip(answers, scenes, places.tolist(), strict=True):
        seen = torch.zeros(128)
        for place in pair:
            row, column = 4 * (place // 5), 4 * (place % 5)
            pixels = scene[row : row + 8, column : column + 8].reshape(-1)
            seen = seen + torch.relu(reader.what(pixels) + reader.place[place])
        torch.testing.assert_close(answer, reader.answer(seen))


def test_the_finder_names_the_line_and_what_it_starves():
    found = torch_attention.find(0)
    assert found.verdict == "partial"
    (gap,) = found.alarms
    assert gap.operation == "argmax" and gap.file == torch_attention.__file__
    assert gap.source == "places = scores.argmax(-1)"
    assert set(found.starved) == {"where.0.weight", "where.0.bias", "where.2.weight", "where.2.bias"}


@pytest.mark.parametrize("name", LOSSES)
def test_only_without_a_bridge_the_choice_has_no_gradient(name):
    reader = Reader()
    loss = LOSSES[name](reader, *some())
    assert loss.shape == () and torch.isfinite(loss)
    loss.backward()
    slopes = [parameter.grad for parameter in reader.where.parameters()]
    assert all(slope is None for slope in slopes) if name == "no bridge" else all(slope.any() for slope in slopes)
    assert all(parameter.grad.any() for parameter in reader.answer.parameters())


def test_the_score_function_has_the_gradient_of_the_enumerated_loss():
    """Of one scene, over all 625 pairs of places, by the scores' bias: 50 numbers, each within 5 standard errors.

    False alarms: 50 times 6e-7 for a normal mean; of 25 batches it is nearly one, and 1e-3 is a safe bound.
    """
    reader, (scenes, labels) = Reader(), some(1)
    reader.where[2].bias.data.normal_()
    pairs = torch.tensor(list(itertools.product(range(PLACES), repeat=GLIMPSES)))
    log_p = reader.scores(scenes)[0].log_softmax(-1)
    answers = reader.read(scenes, one_hot(pairs, PLACES).float()[:, None])[:, 0]
    costs = -answers.log_softmax(-1)[:, labels[0]]
    exact = torch.sum((log_p[0, pairs[:, 0]] + log_p[1, pairs[:, 1]]).exp() * costs)
    (right,) = torch.autograd.grad(exact, reader.where[2].bias)
    many = scenes.expand(300, -1, -1), labels.expand(300)
    batches = [LOSSES["score function"](reader, *many) for _ in range(25)]
    found = torch.stack([torch.autograd.grad(loss, reader.where[2].bias)[0] for loss in batches])
    errors = found.std(0) / 25**0.5
    assert ((found.mean(0) - right).abs() < 5 * errors + 1e-7).all()
    assert errors.mean() < 0.2 * right.abs().mean()  # it would see a bias


def test_a_training_is_that_of_its_seed_and_leaves_the_state_alone():
    torch.manual_seed(5)
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    one, other, third = (train("ReinMax", Reader, LOSSES["ReinMax"], seed, 2, soft=False) for seed in (1, 1, 2))
    assert one.curve == other.curve and np.array_equal(one.look.scenes, other.look.scenes)
    assert not np.array_equal(one.look.scenes, third.look.scenes)
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads


def test_it_does_not_matter_what_the_caller_has_set(default_dtype):
    one = train("ReinMax", Reader, LOSSES["ReinMax"], 1, 2, soft=False)
    torch.set_default_dtype(torch.float64)
    with torch.inference_mode(), torch.device("meta"):
        other = train("ReinMax", Reader, LOSSES["ReinMax"], 1, 2, soft=False)
    assert one.curve == other.curve and torch.get_default_dtype() == torch.float64


def test_glimpses_are_shown_where_the_scores_are_highest():
    scores = torch.zeros(20, 2, 25)
    scores[:, 0, 7] = 1
    scores[:, 1, 20] = 1
    look = Look.of(torch.rand(20, 24, 24), scores, 4)
    assert look.corners.shape == (7, 2, 2) and (look.corners == np.array([[4, 8], [16, 0]])).all()


def test_learners_are_gathered_over_their_seeds():
    looks = Look(np.zeros((1, 24, 24)), np.zeros((1, 2, 2), int))
    outcomes = [
        Outcome(name, seed, [(1, 0.1), (2, 0.2 + seed / 10)], 3.0 + seed, looks) for seed in (0, 1) for name in "ba"
    ]
    b, a = collect(outcomes)
    assert (b.name, a.name) == ("b", "a") and b.accuracies == pytest.approx([0.2, 0.3])
    assert b.accuracy == pytest.approx(0.25) and b.seconds == 3.5
    assert b.curve == [(1, pytest.approx(0.1)), (2, pytest.approx(0.25))]


def test_a_tiny_run_trains_all_ways_and_writes_its_files(tmp_path):
    stages = []
    result = torch_attention.run(tmp_path, steps=2, seeds=2, seed=4, on_stage=stages.append)
    ways = [f"seed {seed}: {name}" for seed in (4, 5) for name in LOSSES]
    assert stages == ["finding the gap", *ways, "drawing"] and not result.interrupted
    assert [learner.name for learner in result.learners] == list(LOSSES)
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["settings"] == {"steps": 2, "seeds": 2, "seed": 4} and content["versions"]["torch"]
    assert content["found"]["lines"] == ["places = scores.argmax(-1)"]
    for row, learner in zip(content["learners"], result.learners, strict=True):
        assert row["seeds"] == [4, 5] and row["accuracies"] == learner.accuracies
        assert [step for step, _ in row["curve"]] == [1, 2]
    assert result.files == (tmp_path / "torch-attention.png", tmp_path / "result.json")
    check_picture(result.files[0])


def test_ctrl_c_keeps_what_came_to_its_end(tmp_path):
    def press(stage):
        if stage == "seed 0: score function":
            raise KeyboardInterrupt

    result = torch_attention.run(tmp_path, steps=1, on_stage=press)
    assert result.interrupted and [learner.name for learner in result.learners] == ["no bridge"]
    assert json.loads((tmp_path / "result.json").read_text())["interrupted"] is True
    check_picture(tmp_path / "torch-attention.png")


def test_ctrl_c_before_the_first_step_writes_only_the_report(tmp_path):
    def press(stage):
        raise KeyboardInterrupt

    result = torch_attention.run(tmp_path, on_stage=press)
    assert result.interrupted and result.learners == () and result.found is None
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.slow
def test_every_bridge_is_worth_twice_the_accuracy_of_none(tmp_path):
    result = torch_attention.run(tmp_path, quick=True)
    accuracy = {learner.name: learner.accuracy for learner in result.learners}
    assert accuracy["soft attention"] > 0.85
    for name in BRIDGES:
        assert 2 * accuracy["no bridge"] < accuracy[name] <= accuracy["soft attention"] + 0.02
