"""`spanax gallery retrieval`: the library, the queries, the gradients beside exact ones, a tiny run, and Ctrl-C."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from spanax import SpanaxError
from spanax.gallery import retrieval
from spanax.gallery._retrieval import library, training
from spanax.gallery._retrieval.library import DOCUMENTS, LEAST_NAMED, LEAST_WRITTEN, load
from spanax.gallery._retrieval.model import Desk, Networks, Shelf
from spanax.gallery._retrieval.tasks import NAMED, OPTIONS, QUESTIONS, WRITTEN, Tasks
from spanax.gallery._retrieval.training import judge, marginal_accuracy, train

from .pictures import check_picture

SOURCE = '''
def get_close_matches(word, possibilities, n=3, cutoff=0.6):
    """Use SequenceMatcher to return a list of the best good enough matches of a word."""
    for candidate in possibilities:
        matcher.setSeq1(candidate, junk=IS_JUNK)


def _private(one):
    """Of no interest."""


class Differ:
    async def compare(self):
        "Compare two sequences of lines."
'''


@pytest.fixture
def small(monkeypatch):
    """A library of 30 documents and batches of 4: what is the same for all runs is made anew, and forgotten afterwards."""
    monkeypatch.setattr(training, "load", lambda: load(30))
    monkeypatch.setattr("spanax.gallery._retrieval.result.load", lambda: load(30))
    monkeypatch.setattr(training, "BATCH", 4)
    monkeypatch.setattr(training, "ASKED", 1)
    cached = training.tasks, training.shelf, training.test_queries, training._trainer
    for one in cached:
        one.cache_clear()
    yield
    for one in cached:
        one.cache_clear()


def test_the_library_has_500_functions_and_is_the_same_each_time():
    every = load()
    assert len(every) == DOCUMENTS == len({one.name for one in every}) == len({one.docstring for one in every})
    assert all(len(one.written) >= LEAST_WRITTEN and len(one.named) >= LEAST_NAMED for one in every)
    assert not any(one.name.startswith("_") for one in every)
    assert len({one.module.split(".")[0] for one in every}) > 50  # a mixture of all modules
    assert [one.name for one in load(20)] == [one.name for one in every[:20]]


def test_functions_are_read_from_source_and_not_run(tmp_path, monkeypatch):
    (tmp_path / "difflib.py").write_text(SOURCE)
    (tmp_path / "ast.py").write_text("def broken(:\n")
    (tmp_path / "json" / "tests").mkdir(parents=True)
    (tmp_path / "json" / "__init__.py").write_text("def loads(text):\n    '''Read a text.'''\n")
    (tmp_path / "json" / "tests" / "test_it.py").write_text(SOURCE)
    monkeypatch.setattr(library.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    found = {one.name: one for path in library._sources() for one in library._functions(path)}
    assert list(found) == ["get_close_matches", "compare", "loads"] and found["loads"].module == "json"
    one = found["get_close_matches"]
    assert one.module == "difflib" and one.docstring.startswith("Use SequenceMatcher")
    assert one.written == tuple(
        sorted("use sequence matcher to return a list of the best good enough matches word".split())
    )
    assert one.named == tuple(
        sorted("get close matches word possibilities n cutoff candidate matcher set seq junk is".split())
    )
    monkeypatch.setattr(library, "read", library.read.__wrapped__)
    with pytest.raises(SpanaxError, match=r"500 documented functions are needed, .* have 1\n"):
        load()


def test_a_query_gives_nothing_away():
    tasks = Tasks(load())
    documents = np.arange(DOCUMENTS)
    for test in (False, True):
        query = tasks.queries([7], documents, test=test)
        assert query.words.shape == (DOCUMENTS, NAMED + WRITTEN)
        assert query.options.shape == (DOCUMENTS, QUESTIONS, OPTIONS)
        for document in documents:
            has, options = tasks.has[document], query.options[document]
            # The first option stands in the right docstring, the others do not.
            assert has[options[:, 0]].all() and not has[options[:, 1:]].any()
            held_out = set(tasks.test[document].tolist())
            assert {int(one) in held_out for one in options[:, 0]} == {test}
            # A word that the test asks for is not taken from the docstring for a query.
            named = set(tasks._named[document].tolist())
            recalled = [one for one in query.words[document].tolist() if one < len(tasks.known)]
            assert len(recalled) <= NAMED + WRITTEN and not (set(recalled) - named) & held_out
        again = tasks.queries([7], documents, test=test)
        assert all(np.array_equal(one, other) for one, other in zip(query, again, strict=True))


def test_scores_at_the_start_are_those_of_tfidf():
    tasks = Tasks(load())
    networks, query = Networks(Shelf.of(tasks), jax.random.key(0)), tasks.queries([1], np.arange(40))
    scores = np.asarray(jax.vmap(Desk.of(networks, Shelf.of(tasks)).scores)(query))
    for words, found in zip(query.words, scores, strict=True):
        wanted = np.zeros(len(tasks.known))
        np.add.at(wanted, words[words < len(tasks.known)], 1)  # a word may be in the code and in the docstring
        weighted = tasks.has * tasks.rarity
        cosine = weighted @ (wanted * tasks.rarity) / np.linalg.norm(weighted, axis=1)
        ratio = found @ cosine / (cosine @ cosine)
        np.testing.assert_allclose(found, ratio * cosine, rtol=1e-4, atol=1e-4)
        assert ratio > 0


def desk_of(networks):
    return Desk.of(networks, training.shelf())


def test_reading_a_mixture_of_one_is_reading_it(small):
    networks, query = Networks(training.shelf(), jax.random.key(0)), training.test_queries()
    one = jax.tree.map(lambda some: jnp.asarray(some[3]), query)
    for document in (3, 17):
        weights = jax.nn.one_hot(document, 30)
        mixed, alone = desk_of(networks).read_mixture(weights, one), desk_of(networks).read(jnp.int32(document), one)
        np.testing.assert_allclose(mixed, alone, rtol=1e-5)
    np.testing.assert_allclose(jnp.exp(alone).sum(-1), 1, rtol=1e-5)


def test_leave_one_out_is_unbiased_for_the_sum_that_the_marginal_takes_the_log_of(small):
    """By the part along the exact gradient, over 300 keys of 8 queries each; false alarms at 5 standard errors: 6e-7."""
    networks = Networks(training.shelf(), jax.random.key(0))
    queries = jax.tree.map(lambda some: jnp.asarray(some[:8]), training.test_queries())

    def mean(loss, networks, key):
        keys = jax.random.split(key, 8)
        return jnp.mean(jax.vmap(loss, in_axes=(None, 0, 0))(desk_of(networks), queries, keys))

    def likelihood(desk, query, key):
        return -jnp.exp(-retrieval.exact_marginal(desk, query, key))

    right = ravel_pytree(jax.grad(lambda n: mean(likelihood, n, jax.random.key(0)))(networks))[0]

    @jax.jit
    def part(key):
        found = ravel_pytree(jax.grad(lambda n: mean(retrieval.leave_one_out, n, key))(networks))[0]
        return found @ right / (right @ right)

    parts = np.array([part(key) for key in jax.random.split(jax.random.key(1), 300)])
    error = parts.std() / 300**0.5
    assert abs(parts.mean() - 1) < 5 * error and error < 0.1


def test_the_exact_marginal_is_the_sum_over_all_documents(small):
    networks, queries = Networks(training.shelf(), jax.random.key(0)), training.test_queries()
    query, desk = jax.tree.map(lambda some: jnp.asarray(some[5]), queries), desk_of(networks)
    probabilities = np.asarray(jax.nn.softmax(desk.scores(query)))
    right = [np.prod(np.exp(np.asarray(desk.read(jnp.int32(document), query))[:, 0])) for document in range(30)]
    found = retrieval.exact_marginal(desk, query, jax.random.key(0))
    np.testing.assert_allclose(found, -np.log(probabilities @ np.array(right)), rtol=1e-5)


@pytest.mark.few(2)
@pytest.mark.parametrize("name", retrieval.WAYS)
def test_who_learns_in_which_way(name, small):
    networks = Networks(training.shelf(), jax.random.key(0))
    query = jax.tree.map(lambda some: jnp.asarray(some[2]), training.test_queries())
    loss = retrieval.WAYS[name]
    slopes = jax.jit(jax.grad(lambda networks: loss(desk_of(networks), query, jax.random.key(1))))(networks)
    moved = {
        part: any(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(getattr(slopes, part)))
        for part in ("retriever", "reader")
    }
    assert moved == {"retriever": name != "no bridge", "reader": True}
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(slopes))


def test_the_line_of_the_argmax_is_named(small):
    found = retrieval.find_the_gap()
    (gap,) = found.alarms
    assert gap.operation == "argmax" and gap.place.startswith("retrieval.py:")
    assert gap.source == "document = jnp.argmax(desk.scores(query))"


@pytest.mark.slow
def test_all_documents_together_answer_by_their_probability(small):
    networks, queries = Networks(training.shelf(), jax.random.key(0)), training.test_queries()
    right = []
    for row in range(30):
        query, desk = jax.tree.map(lambda some: jnp.asarray(some[row]), queries), desk_of(networks)  # noqa: B023
        probabilities = np.asarray(jax.nn.softmax(desk.scores(query)))
        answers = np.exp([np.asarray(desk.read(jnp.int32(document), query)) for document in range(30)])
        right += (np.einsum("d,dqo->qo", probabilities, answers).argmax(-1) == 0).tolist()
    assert marginal_accuracy(networks) == pytest.approx(np.mean(right), abs=0.02)  # ties may fall otherwise


def test_judged_is_what_the_best_document_answers(small):
    networks, queries = Networks(training.shelf(), jax.random.key(0)), training.test_queries()
    judged = judge(networks, 7)
    right, found = [], []
    for row in range(30):
        query, desk = jax.tree.map(lambda some: jnp.asarray(some[row]), queries), desk_of(networks)  # noqa: B023
        best = jnp.argmax(desk.scores(query))
        assert int(best) == judged.picked[row]
        right += (jnp.argmax(desk.read(best, query), -1) == 0).tolist()
        found.append(int(best) == row)
    assert judged.accuracy == pytest.approx(np.mean(right)) and judged.right_document == pytest.approx(np.mean(found))
    assert judged.steps == 7


@pytest.mark.slow
def test_a_training_is_that_of_its_seed(small):
    one, other = (train("a", retrieval.leave_one_out, 3, 2) for _ in range(2))
    assert one.curve == other.curve and [point.steps for point in one.curve] == [0, 1, 2]
    odd = train("a", retrieval.no_bridge, 3, 21)
    assert [point.steps for point in odd.curve] == [*range(0, 21, 2), 21]


def test_a_tiny_run_compares_all_ways_and_writes_its_files(tmp_path, small):
    stages = []
    result = retrieval.run(tmp_path, steps=1, seeds=1, seed=6, on_stage=stages.append)
    assert stages == ["finding the gap", *(f"seed 6: {name}" for name in retrieval.WAYS), "drawing"]
    assert [way.name for way in result.ways] == list(retrieval.WAYS) and not result.interrupted
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["settings"] == {"steps": 1, "seeds": 1, "seed": 6}
    assert [place.partition(":")[0] for place in content["gaps"]] == ["retrieval.py"]
    for row, way in zip(content["ways"], result.ways, strict=True):
        assert row["seeds"] == [6] and row["test_accuracy"] == way.test_accuracy and len(row["curves"][0]) == 2
    assert len({row["right_document_before"] for row in content["ways"]}) == 1
    assert content["example"]["meant"] and list(content["example"]["picked"]) == list(retrieval.WAYS)
    assert result.files == (tmp_path / "retrieval.png", tmp_path / "result.json")
    check_picture(result.files[0])


def test_ctrl_c_keeps_what_came_to_its_end(tmp_path, small):
    def press(stage):
        if stage == "seed 0: own reward":
            raise KeyboardInterrupt

    result = retrieval.run(tmp_path, steps=1, on_stage=press)
    assert result.interrupted and [way.name for way in result.ways] == ["no bridge"]
    assert json.loads((tmp_path / "result.json").read_text())["interrupted"] is True
    check_picture(tmp_path / "retrieval.png")


def test_ctrl_c_while_the_gap_is_sought_writes_only_the_report(tmp_path, small):
    def press(stage):
        raise KeyboardInterrupt

    result = retrieval.run(tmp_path, on_stage=press)
    assert result.interrupted and result.ways == () and result.example is None
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.slow
def test_the_library_is_read_alike_each_time():
    assert library.read.__wrapped__() == library.read()


@pytest.mark.slow
def test_the_retriever_learns_from_the_reader_and_not_without_a_bridge():
    stayed, learnt = (train(name, retrieval.WAYS[name], 0, 250) for name in ("no bridge", "leave-one-out"))
    assert stayed.curve[-1].right_document == stayed.curve[0].right_document
    assert learnt.curve[-1].right_document > learnt.curve[0].right_document + 0.1
    assert learnt.curve[-1].accuracy > stayed.curve[-1].accuracy + 0.03
