"""`spanax gallery attention`: what the network may know, the bridges' gradients, a tiny run, and Ctrl-C."""

import itertools
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax.gallery import attention
from spanax.gallery._attention.reader import GLIMPSES, PIXELS, PLACES, ROW, WINDOW, Reader, as_weights
from spanax.gallery._attention.result import Looks, Outcome, best_bridge, collect, figures
from spanax.gallery._shared.digits import Labelled, Pictures, load
from spanax.gallery._shared.fitting import Fitted
from spanax.gallery.attention import best, drawn, read, ways

from .pictures import check_picture

KEY = jax.random.key(0)


def some(count=8):
    return Labelled(*(part[:count] for part in load(0)[0])).in_jax()


def test_the_split_holds_every_digit_once():
    digits, held_out = load(3)
    assert digits.images.shape == (1500, 8, 8) and held_out.images.shape == (297, 8, 8)
    every = np.concatenate([digits.images, held_out.images])
    assert every.dtype == np.float32 and every.min() == 0 and every.max() == 1
    counts = np.bincount(np.concatenate([digits.labels, held_out.labels]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_windows_are_those_of_slices():
    image = np.arange(64.0).reshape(8, 8)
    for place in range(PLACES):
        row, column = divmod(place, ROW)
        square = image[row : row + WINDOW, column : column + WINDOW]
        np.testing.assert_array_equal(image.ravel()[PIXELS[place]], square.ravel())


def test_what_was_not_looked_at_changes_nothing():
    reader, images = Reader(key=KEY), some().images
    answers, looks = read(reader, best, images, KEY)
    assert looks.shape == (8, GLIMPSES, PLACES) and set(np.unique(looks)) == {0, 1}
    seen = np.zeros((8, 64), bool)
    for row, places in zip(seen, np.asarray(looks).argmax(-1), strict=True):
        row[PIXELS[places]] = True
    assert seen.sum(-1).max() <= GLIMPSES * WINDOW**2
    # Every pixel that no glimpse covers is inverted.
    others = jnp.where(seen.reshape(8, 8, 8), images, 1 - images)
    again, same = read(reader, best, others, KEY)
    np.testing.assert_array_equal(looks, same)
    np.testing.assert_allclose(answers, again, rtol=1e-6)
    # And what was looked at does.
    changed, _ = read(reader, best, jnp.where(seen.reshape(8, 8, 8), 1 - images, images), KEY)
    assert np.abs(answers - changed).max(-1).min() > 1e-3


def test_nothing_is_known_before_the_first_glimpse_and_a_blind_one_never_learns_more():
    scores = []

    def first(key, found):
        scores.append(found)
        return jnp.argmax(found)

    for image in some(3).images:
        with jax.disable_jit():
            Reader(key=KEY)(image, first, KEY)
    firsts, seconds = scores[::GLIMPSES], scores[1::GLIMPSES]
    assert len(firsts) == 3 and all(np.array_equal(firsts[0], one) for one in firsts)
    assert not np.array_equal(seconds[0], seconds[1])
    _, looks = read(Reader(blind=True, key=KEY), best, some().images, KEY)
    assert (looks == looks[:1]).all()


def test_a_number_and_its_weights_are_the_same_place():
    assert as_weights(jnp.asarray(5)).argmax() == 5
    weights = jnp.ones(PLACES) / PLACES
    assert as_weights(weights) is weights
    for via in (sx.ScoreFunction(), sx.StraightThrough(), sx.GumbelSoftmax(), sx.ReinMax()):
        place = as_weights(drawn(via)(KEY, jnp.zeros(PLACES)))
        assert place.shape == (PLACES,) and abs(place.sum() - 1) < 1e-5


def _exact(reader, image, label):
    """The expected loss over all 46,656 triples of places, by their probabilities: no draw, and no bridge."""
    shown = jax.nn.relu(jnp.einsum("pi,piw->pw", image.ravel()[PIXELS], reader.pixels) + reader.place)

    def thought(state):
        return jax.nn.relu(reader.think.weight @ state + reader.think.bias)

    def of(places):
        state, log_p = jnp.zeros(shown.shape[-1]), 0.0
        for glimpse, place in enumerate(places):
            scores = reader.where.weight[glimpse] @ thought(state) + reader.where.bias[glimpse]
            log_p, state = log_p + jax.nn.log_softmax(scores)[place], state + shown[place]
        answer = reader.answer.weight @ thought(state) + reader.answer.bias
        return -jnp.exp(log_p) * jax.nn.log_softmax(answer)[label]

    return jnp.sum(jax.vmap(of)(np.array(list(itertools.product(range(PLACES), repeat=GLIMPSES)))))


@pytest.mark.slow
def test_the_score_functions_have_the_gradient_of_the_enumerated_loss():
    """In the biases of all scores: 108 numbers, each within 5 standard errors of 64 batches.

    False alarms: 2 times 108 times 5e-6 (Student's t with 63 degrees of freedom), 1e-3.
    """
    # The reference above knows neither `sample` nor the loop of the network.
    reader, (images, labels) = Reader(key=KEY), some(1)

    def with_biases(biases):
        return eqx.tree_at(lambda r: r.where.bias, reader, biases)

    biases = jax.random.normal(KEY, reader.where.bias.shape)
    value, exact = jax.value_and_grad(lambda b: _exact(with_biases(b), images[0], labels[0]))(biases)
    assert np.abs(exact).max() > 1e-2
    for baseline in (None, "auto"):
        choose = drawn(sx.ScoreFunction(baseline))

        def loss(biases, *, key, choose=choose):
            return -jax.nn.log_softmax(with_biases(biases)(images[0], choose, key)[0])[labels[0]]

        estimate = jax.jit(jax.vmap(jax.value_and_grad(sx.expectation(loss, samples=64)), in_axes=(None,)), inline=True)
        draws = [estimate(biases, key=jax.random.split(k, 4)) for k in jax.random.split(KEY, 16)]
        for found, truth in zip(map(np.concatenate, zip(*draws, strict=True)), (value, exact), strict=True):
            error = found.std(0, ddof=1) / np.sqrt(len(found))
            assert (np.abs(found.mean(0) - truth) < 5 * error + 1e-6).all()


@pytest.mark.parametrize("name", ["random places", "fixed places", "straight-through"])
def test_where_to_look_has_a_gradient_but_for_random_places(name):
    way = ways()[name]
    gradient = eqx.filter_grad(way.loss)(Reader(blind=way.blind, key=KEY), some(), KEY)
    assert np.any(gradient.where.bias) == (name != "random places") and np.any(gradient.pixels)


def outcome(name, seed, accuracy, seconds=1.0):
    looks = Looks(np.zeros((10, 8, 8)), np.arange(10), np.zeros((10, GLIMPSES, PLACES)))
    return Outcome(name, seed, ((1, seconds / 2, 0.1), (2, seconds, accuracy)), 0.5, (1.0, 2.0, 4.0 - seed), looks)


def test_the_figures_are_means_over_seeds_and_the_best_is_a_bridge():
    parts = [
        ("soft attention", 0.99),
        ("random places", 0.5),
        ("fixed places", 0.97),
        ("ReinMax", 0.9),
        ("score function", 0.8),
    ]
    learners = collect([outcome(name, seed, right - 0.1 * seed) for seed in (0, 1) for name, right in parts])
    assert [learner.name for learner in learners] == [name for name, _ in parts]
    assert learners[0].accuracies == pytest.approx([0.99, 0.89]) and learners[0].accuracy == pytest.approx(0.94)
    assert best_bridge(learners).name == "ReinMax"
    found = figures(learners)
    assert found["test_accuracy"] == pytest.approx(0.85) and found["random_test_accuracy"] == pytest.approx(0.45)
    assert figures(()) == dict.fromkeys(("best_bridge", "test_accuracy", "random_test_accuracy"))
    assert learners[0].seconds == 1.0 and learners[0].places == [1, 2, 3.5]


def test_places_used_are_counted_by_their_shares():
    weights = np.zeros((8, 3, PLACES))
    weights[:, 0, 7] = 1
    weights[np.arange(8), 1, np.arange(8) % 2] = 1
    weights[np.arange(8), 2, np.arange(8)] = 1
    labels = np.arange(8) % 10
    held_out = Pictures(np.zeros((8, 8, 8)), labels)
    fitted = Fitted(None, ((1, 1.0, 0.5),), 0.0)
    assert Outcome.of("x", 0, fitted, held_out, np.eye(10)[labels], weights).places == pytest.approx((1, 2, 8))


@pytest.fixture
def two_ways(monkeypatch):
    every = ways()
    monkeypatch.setattr(
        attention, "ways", lambda: {name: every[name] for name in ("random places", "straight-through")}
    )


def test_a_tiny_run_writes_its_files_and_is_the_same_again(tmp_path, two_ways):
    stages = []
    result = attention.run(tmp_path, steps=3, seeds=2, seed=4, on_stage=stages.append)
    names = "random places", "straight-through"
    assert stages == [f"seed {seed}: {name}" for seed in (4, 5) for name in names] + ["drawing"]
    assert not result.interrupted and tuple(learner.name for learner in result.learners) == names
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["settings"] == {"steps": 3, "seeds": 2, "seed": 4}
    assert content["best_bridge"] == "straight-through"
    assert content["test_accuracy"] == result.learners[1].accuracy
    assert content["random_test_accuracy"] == result.learners[0].accuracy
    for row, learner in zip(content["learners"], result.learners, strict=True):
        assert row["seeds"] == [4, 5] and row["test_accuracies"] == learner.accuracies
        assert [[step for step, *_ in curve] for curve in row["curves"]] == [[1, 2, 3]] * 2
    assert result.files == (tmp_path / "attention.png", tmp_path / "result.json")
    check_picture(result.files[0])
    again = attention.train("straight-through", attention.ways()["straight-through"], 5, 3)
    assert again.curve[-1][-1] == result.learners[1].accuracies[1]


def test_ctrl_c_keeps_what_came_to_its_end(tmp_path, two_ways):
    def press(stage):
        if stage == "seed 0: straight-through":
            raise KeyboardInterrupt

    result = attention.run(tmp_path, steps=1, on_stage=press)
    assert result.interrupted and [learner.name for learner in result.learners] == ["random places"]
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["interrupted"] is True and content["best_bridge"] is None
    check_picture(tmp_path / "attention.png")


def test_ctrl_c_before_the_first_step_writes_only_the_report(tmp_path):
    def press(stage):
        raise KeyboardInterrupt

    result = attention.run(tmp_path, on_stage=press)
    assert result.interrupted and result.learners == ()
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.slow
def test_the_best_bridge_reads_with_three_glimpses_what_random_ones_do_not(tmp_path):
    result = attention.run(tmp_path, quick=True)
    right = {learner.name: learner.accuracy for learner in result.learners}
    assert list(right) == list(ways())
    bridges = [learner.accuracy for learner in result.learners if learner.is_bridge]
    assert len(bridges) == 5 and max(bridges) > 0.9
    # Each of them is worth more than luck, by much more than 297 digits can err: 2 standard errors are 5 percent.
    assert min(bridges) > right["random places"] + 0.08
    assert right["soft attention"] > max(bridges)
