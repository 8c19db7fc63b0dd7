"""`spanax gallery words`: the words, the scores, the gradients beside an exact one, a tiny run, and Ctrl-C."""

import itertools
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sacrebleu
from jax.flatten_util import ravel_pytree

from spanax import SpanaxError
from spanax.gallery import words
from spanax.gallery._words import writer as writing
from spanax.gallery._words.bleu import corpus_bleu, rewards, sentence_bleu
from spanax.gallery._words.numbers import LONGEST, MOST, WORDS, in_words, one_hot_digits, split, text_of, tokens_of
from spanax.gallery._words.training import Numbers, judge, train, weak_start
from spanax.gallery._words.writer import Writer, greedy, negative_log_likelihood, write

from .pictures import check_picture


@pytest.fixture
def few(monkeypatch):
    """Fewer numbers and steps than are worth anything."""
    monkeypatch.setattr("spanax.gallery._words.training.BATCH", 2)
    monkeypatch.setattr("spanax.gallery._words.training.HELD_OUT", 20)
    monkeypatch.setattr("spanax.gallery._words.training.START_STEPS", 2)


def test_numbers_are_said_as_in_english():
    said = {
        0: "zero",
        13: "thirteen",
        20: "twenty",
        99: "ninety nine",
        100: "one hundred",
        101: "one hundred and one",
        4207: "four thousand two hundred and seven",
        3000: "three thousand",
        3016: "three thousand and sixteen",
        9999: "nine thousand nine hundred and ninety nine",
    }
    assert {number: in_words(number) for number in said} == said
    every = [in_words(number) for number in range(MOST)]
    assert len(set(every)) == MOST
    # The longest one fits, with its end, and no place is left unused.
    assert max(len(one.split()) for one in every) + 1 == LONGEST
    assert [text_of(row) for row in tokens_of(range(MOST))] == every


def test_digits_are_read_from_the_left():
    digits = one_hot_digits(np.array([4207, 3])).reshape(2, 4, 10)
    np.testing.assert_array_equal(digits.argmax(-1), [[4, 2, 0, 7], [0, 0, 0, 3]])
    np.testing.assert_array_equal(digits.sum(-1), 1)


def test_no_number_is_in_two_parts():
    parts = split(3, 60, 4000, 500)
    assert [len(part) for part in parts] == [60, 4000, 500] and len(set(np.concatenate(parts))) == 4560
    assert not np.array_equal(parts[0], split(4, 60, 4000, 500)[0])


def test_rewards_are_those_of_sacrebleu():
    random = np.random.default_rng(0)
    numbers = random.integers(MOST, size=30)
    written = tokens_of(numbers)
    for row in written[5:]:  # mistakes of all kinds, some of them with nothing written at all
        row[random.integers(LONGEST, size=2)] = random.integers(len(WORDS), size=2)
    written[4] = 0
    expected = [
        sacrebleu.sentence_bleu(text_of(row), [in_words(number)], use_effective_order=True).score / 100
        for row, number in zip(written, numbers, strict=True)
    ]
    found = rewards((written, numbers))
    assert found.dtype == np.float32 and len(set(found.tolist())) > 5
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(found[:4], 1, rtol=1e-6)
    assert found[4] == 0
    texts = [text_of(row) for row in written], [in_words(number) for number in numbers]
    whole = sacrebleu.corpus_bleu(texts[0], [texts[1]]).score
    assert corpus_bleu(*texts) == pytest.approx(whole) and 0 < whole < 100


def test_writing_ends_with_the_end_and_the_likelihood_counts_it():
    writer, digits = Writer(jax.random.key(0)), jnp.asarray(one_hot_digits(np.array([4207])))[0]
    planned = jnp.array([5, 7, 0, 3, 3, 3, 3, 3])
    seen = []

    def choose(log_probs, key):
        seen.append(log_probs)
        return planned[len(seen) - 1]

    with jax.disable_jit():
        written = write(writer, digits, choose, jax.random.key(0))
    # What would follow the end is certain, so that an honest draw is the end again.
    for log_probs in seen[3:]:
        assert log_probs[0] == 0 and jnp.all(jnp.exp(log_probs[1:]) == 0)
    assert written.tolist()[:3] == [5, 7, 0]
    expected = -sum(seen[place][word] for place, word in enumerate((5, 7, 0)))
    padded = jnp.array([5, 7, 0, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(negative_log_likelihood(writer, digits, padded), expected, rtol=1e-5)


def test_the_greedy_words_are_the_most_probable_ones_one_after_the_other():
    writer, digits = Writer(jax.random.key(1)), jnp.asarray(one_hot_digits(np.array([81])))[0]
    state, word, expected = writer.read(digits), jnp.int32(0), []
    for _ in range(LONGEST):
        state, log_probs = writer.next(state, word)
        word = jnp.argmax(log_probs)
        expected.append(int(word))
        if word == 0:
            break
    assert greedy(writer, digits).tolist() == expected + [0] * (LONGEST - len(expected))


@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["self-critical", "leave-one-out", "no baseline"])
def test_the_gradient_is_unbiased_for_that_of_expected_bleu(name, monkeypatch):
    """By the gradient's part along the exact gradient, over 400 batches of 8 numbers; sentences of two words at most.

    Within 5 standard errors: a false alarm in 2 of a million, for a mean that is nearly normal.
    """
    monkeypatch.setattr(writing, "LONGEST", 2)
    writer, number = Writer(jax.random.key(2)), 81  # "eighty one": two words, so that every sentence can be written
    digits = jnp.asarray(one_hot_digits(np.array([number])))[0]
    every = np.array([pair for pair in itertools.product(range(len(WORDS)), repeat=2) if pair[0] or not pair[1]])
    scores = jnp.asarray(rewards((every, np.full(len(every), number))))

    def expected(writer):
        log_probs = -jax.vmap(negative_log_likelihood, in_axes=(None, None, 0))(writer, digits, jnp.asarray(every))
        return -jnp.sum(jnp.exp(log_probs) * scores)

    right = ravel_pytree(eqx.filter_grad(expected)(writer))[0]
    many = 8
    batch = jnp.tile(digits, (many, 1)), jnp.full(many, number)
    loss = words.WAYS[name]

    @eqx.filter_jit
    def part(key):
        found = ravel_pytree(eqx.filter_grad(loss)(writer, *batch, key))[0]
        return found @ right / (right @ right)

    parts = np.array([part(key) for key in jax.random.split(jax.random.key(3), 400)])
    error = parts.std() / 20
    assert abs(parts.mean() - 1) < 5 * error and error < 0.06  # half a gradient would be seen


def test_a_training_is_that_of_its_seed(few):
    numbers = Numbers.of(3)
    one, other = (train("a", words.leave_one_out, weak_start(3, numbers), numbers, 3, 3) for _ in range(2))
    assert one.curve == other.curve and [point.updates for point in one.curve] == [0, 1, 2, 3]


def test_judged_is_the_most_probable_sentence_of_each_number(few):
    numbers = Numbers.of(0)
    writer = Writer(jax.random.key(0))
    judged = judge(writer, numbers.held_out, 7)
    write_one = eqx.filter_jit(greedy)
    texts = [text_of(np.asarray(write_one(writer, one))) for one in jnp.asarray(one_hot_digits(numbers.held_out))]
    assert judged.written == tuple(texts) and judged.updates == 7 and len(texts) == 20
    scores = [sentence_bleu(text, int(number)) for text, number in zip(texts, numbers.held_out, strict=True)]
    assert judged.bleu == pytest.approx(np.mean(scores))


def test_a_tiny_run_trains_in_each_way_and_writes_its_files(tmp_path, few):
    stages = []
    result = words.run(tmp_path, updates=1, seeds=2, seed=6, on_stage=stages.append)
    trained = [f"seed {seed}: {name}" for seed in (6, 7) for name in ("weak start", *words.WAYS)]
    assert stages == [*trained, "drawing"] and not result.interrupted
    assert [way.name for way in result.ways] == list(words.WAYS)
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["settings"] == {"updates": 1, "seeds": 2, "seed": 6} and content["versions"]["sacrebleu"]
    first = content["ways"][0]
    assert first["name"] == "self-critical" and first["seeds"] == [6, 7]
    assert content["bleu_before"] == first["bleu_before"] and content["bleu_after"] == first["bleu_after"]
    assert 0 <= first["bleu_before"] <= 100 and len(first["curves"][0]) == 2
    assert np.mean(first["gains"]) == pytest.approx(first["bleu_after"] - first["bleu_before"])
    # All of a seed start alike.
    assert len({row["bleu_before"] for row in content["ways"]}) == 1
    assert [in_words(one["number"]) for one in content["samples"]] == [one["right"] for one in content["samples"]]
    assert result.files == (tmp_path / "words.png", tmp_path / "result.json")
    check_picture(result.files[0])


def test_ctrl_c_keeps_what_came_to_its_end(tmp_path, few):
    def press(stage):
        if stage == "seed 0: leave-one-out":
            raise KeyboardInterrupt

    result = words.run(tmp_path, updates=1, on_stage=press)
    assert result.interrupted and [way.name for way in result.ways] == ["self-critical"]
    assert json.loads((tmp_path / "result.json").read_text())["interrupted"] is True
    check_picture(tmp_path / "words.png")


def test_ctrl_c_before_anything_was_trained_writes_only_the_report(tmp_path, few):
    def press(stage):
        raise KeyboardInterrupt

    result = words.run(tmp_path, on_stage=press)
    assert result.interrupted and result.ways == () and result.samples == ()
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_without_sacrebleu_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "spanax.gallery._shared.requirements.find_spec", lambda name: None if name == "sacrebleu" else name
    )
    with pytest.raises(SpanaxError, match="sacrebleu") as raised:
        words.run(tmp_path / "out")
    assert "spanax[gallery]" in str(raised.value) and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_leave_one_out_learns_and_the_likelihood_of_the_few_does_not():
    numbers = Numbers.of(0)
    start = weak_start(0, numbers)
    learnt, stayed = (train(name, words.WAYS[name], start, numbers, 0, 200) for name in ("leave-one-out", "likelihood"))
    gains = [one.curve[-1].bleu - one.curve[0].bleu for one in (learnt, stayed)]
    assert gains[0] > 15 and gains[0] > gains[1] + 5
