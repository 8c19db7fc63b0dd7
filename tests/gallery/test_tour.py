"""`spanax gallery tour`: its data, its exact accuracy, what it finds, a tiny run, and Ctrl-C."""

import io
import itertools
import json
import pathlib

import jax
import numpy as np
import pytest

import spanax as sx
from spanax.cli._gallery.tour_story import Story
from spanax.gallery import tour
from spanax.gallery._tour.digits import HELD_OUT, PAIRS, load
from spanax.gallery._tour.training import accuracy, chances, network

from .pictures import check_picture


def test_pairs_are_real_digits_and_none_of_those_held_out_is_trained_on():
    train, test = load(0)
    assert train.images.shape == (PAIRS, 2, 64) and test.images.shape == (HELD_OUT, 2, 64)
    assert float(train.images.min()) == 0 and float(train.images.max()) == 1
    for pairs in (train, test):
        np.testing.assert_array_equal(pairs.differ, pairs.labels.sum(-1) % 2)
    seen, others = ({np.asarray(x).tobytes() for x in np.asarray(p.images).reshape(-1, 64)} for p in (train, test))
    assert not seen & others and len(seen) > 1300
    assert bool((load(0)[0].images == train.images).all()) and not bool((load(1)[0].images == train.images).all())


def test_the_accuracy_is_a_sum_over_all_draws():
    _, test = load(0)
    few = test._replace(images=test.images[:20], differ=test.differ[:20])
    net, right = network(jax.random.key(3)), 0.0
    for p, differ in zip(np.asarray(chances(net, few.images), float), few.differ, strict=True):
        for bits in itertools.product((0, 1), repeat=2):
            probability = np.prod([q if bit else 1 - q for q, bit in zip(p, bits, strict=True)])
            right += probability * ((bits[0] != bits[1]) == bool(differ)) / 20
    np.testing.assert_allclose(float(accuracy(net, few)), right, rtol=1e-5)


def test_without_a_bridge_the_gradient_is_zero_and_find_gaps_names_the_line_and_every_weight():
    train, _ = load(0)
    net, key = network(jax.random.key(0)), jax.random.key(1)
    slopes = jax.tree.leaves(
        jax.grad(lambda w: tour.cut(_with(net, w), train.images[0], train.differ[0], key=key))(_arrays(net))
    )
    assert slopes and not any(bool(slope.any()) for slope in slopes)
    report = sx.find_gaps(tour.cut, net, train.images[0], train.differ[0], key=key)
    (gap,) = report.gaps
    assert report.verdict == "dead" and gap.operation == "Bernoulli draw" and len(gap.leaf) == 4
    line = pathlib.Path(tour.__file__).read_text().splitlines()[gap.line - 1]
    assert "jax.random.bernoulli" in line and gap.file == tour.__file__ and gap.source == line.strip()
    bridged = sx.find_gaps(tour.bridged, net, train.images[0], train.differ[0], key=key)
    assert bridged.verdict == "alive" and len(bridged.bridged) == 1


def _arrays(net):
    return [leaf for leaf in jax.tree.leaves(net) if isinstance(leaf, jax.Array)]


def _with(net, arrays):
    given = iter(arrays)
    return jax.tree.map(lambda leaf: next(given) if isinstance(leaf, jax.Array) else leaf, net)


@pytest.mark.slow
def test_a_short_run_tells_its_story_in_80_columns_and_writes_its_files(tmp_path):
    stream, stages, found = io.StringIO(), [], []
    story = Story(stream)
    story.begin()

    def tell(one):
        found.append(one)
        story.tell(one)

    result = tour.run(tmp_path, steps=300, quick=True, on_stage=stages.append, on_found=tell)
    story.end(result)
    assert stages == ["no bridge", "find_gaps", "compare", "straight-through", "score function", "drawing"]
    assert [type(one).__name__ for one in found] == ["Learnt", "GapReport", "Comparison", "Learnt", "Learnt"]
    by_name = {one.name: one for one in result.learnt}
    # Chance, to 2.5 standard errors of 1,000 pairs; the seed is fixed.
    assert abs(by_name["no bridge"].test_accuracy - 0.5) < 0.04 > abs(by_name["straight-through"].test_accuracy - 0.5)
    assert len({right for _, right in by_name["no bridge"].curve}) == 1, "it moved without a gradient"
    assert by_name["score function"].test_accuracy > 0.7
    verdicts = {row.label: row.verdict for row in result.comparison.rows}
    assert verdicts["straight-through"] == "biased" and verdicts["score function"] != "biased"
    check_picture(tmp_path / "tour.png")
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["learnt"][2]["test_accuracy"] == by_name["score function"].test_accuracy
    assert content["bridges"] and content["gaps"][0]["operation"] == "Bernoulli draw" and not content["interrupted"]
    lines = stream.getvalue().splitlines()
    assert max(len(line) for line in lines if not line.startswith("Wrote ")) <= 80 and len(lines) < 70
    for part in ("1. ", "2. ", "3. ", "4. ", "tour.py:", "spanax find ", "spanax gallery"):
        assert part in stream.getvalue()


@pytest.mark.parametrize("when", ["no bridge", "find_gaps"])
def test_ctrl_c_reports_what_was_found(tmp_path, when):
    def press(stage):
        if stage == when:
            raise KeyboardInterrupt

    result = tour.run(tmp_path, steps=50, on_stage=press)
    assert result.interrupted and result.report is None and [path.name for path in result.files] == ["result.json"]
    assert len(result.learnt) == (when == "find_gaps")
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["interrupted"] and content["bridges"] == [] and len(content["learnt"]) == len(result.learnt)
