"""`spanax gallery rlhf`: its two worlds, a small run, Ctrl-C, and the three biases that are known."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax.cli._gallery.rlhf import print_rlhf
from spanax.gallery import rlhf
from spanax.gallery._rlhf import tools, world
from spanax.gallery._rlhf.result import LossRow, judged, known_biases

from .pictures import check_picture


def row(loss="RLOO", where="language", verdict="no bias found", across_found=False, **figures):
    usual = {"bias": 0.0, "bias_error": 0.01, "scale": 1.0, "scale_error": 0.01, "across": 0.0, "across_error": 0.01}
    others = {"direction": 1.0, "variance": 9.0, "noise": 9.0, "cosine": 0.3, "microseconds": 99.0}
    return LossRow(where, loss, verdict=verdict, across_found=across_found, **{**usual, **others, **figures})


@pytest.fixture
def few(monkeypatch):
    """Policies that have hardly learnt, and two losses of each world."""
    monkeypatch.setattr(world, "EARLY", 1)
    every, calls = rlhf.of_language, rlhf.of_tools
    some = lambda ways, names: {name: ways[name] for name in names}
    monkeypatch.setattr(rlhf, "of_language", lambda policies: some(every(policies), ["Dr. GRPO", "PPO, 4 behind"]))
    monkeypatch.setattr(rlhf, "of_tools", lambda: some(calls(), ["RLOO", "by dataflow"]))


def test_the_network_writes_one_token_after_the_other_and_solves_what_adds_up():
    tokens = jnp.asarray([3, 1, 0, 0, 0])
    assert world.reward(tokens, jnp.asarray(0)) == (world.SUMS[0] == 4)
    assert world.reward(jnp.asarray([4, 7, 0, 0, 0]), jnp.asarray(1)) == (world.SUMS[1] == 11)
    assert world.logits(world.initial(), tokens, jnp.asarray(2)).shape == (5, 8)
    # What is solved by a policy that knows nothing is the share of the sequences that add up, by their lengths.
    even = jax.tree.map(jnp.zeros_like, world.initial())
    shares = np.zeros(3)
    for length in range(6):
        for digits in itertools.product(range(1, 8), repeat=length):
            shares += (np.array(world.SUMS) == sum(digits)) * 8.0 ** -min(length + 1, 5)
    np.testing.assert_allclose(world.solved(even), shares, rtol=1e-4)


def test_both_ways_to_write_a_conversation_earn_the_same():
    """The mean of what is drawn is the sum over all conversations, within 5 standard errors: a false alarm in a million."""
    params = tools.initial()
    exact = float(tools.AUDIT.expected_loss(params))
    draw = jax.jit(jax.vmap(lambda key: sx.expectation(rlhf.conversation)(params, key=key)))
    drawn = np.asarray(draw(jax.random.split(jax.random.key(0), 4000)))
    assert abs(drawn.mean() - exact) < 5 * drawn.std() / 4000**0.5 < 0.2
    slow = 0.0
    for calls in itertools.product(range(4), repeat=6):
        chance, paid = 1.0, 0.0
        for k, call in enumerate(calls):
            before = tools.START if k % 3 == 0 else calls[k - 1]
            weights = np.exp(np.asarray(params[k % 3, before], float))
            chance, paid = chance * weights[call] / weights.sum(), paid + float(tools.PAYS[before, call])
        slow -= chance * paid
    assert exact == pytest.approx(slow, rel=1e-5)


def test_figures_of_a_loss_are_in_units_of_the_exact_gradient():
    """Of a gradient that is twice the exact one with noise of variance 1 across it: all figures are known."""
    world = sx.judge.PolicyAudit(lambda p, tokens: p, lambda tokens: 1.0, vocabulary=2, length=1)

    def twice(params, *, key):
        noise = jnp.where(jax.random.bernoulli(key), 1.0, -1.0)
        return jnp.vdot(params["x"], jnp.asarray([6.0, 8.0]) + noise * jnp.asarray([-0.8, 0.6]))

    exact = {"x": jnp.asarray([3.0, 4.0])}
    vias, start = {"twice": twice}, {"x": jnp.zeros(2)}
    found = judged("tools", sx.compare(twice, start, key=jax.random.key(0), vias=vias, truth=exact, draws=1000))
    assert world.vocabulary == 2 and found.biased_in == "scale"
    assert (found.scale, found.bias, found.direction) == pytest.approx((2, 1, 1), abs=1e-3)
    assert (found.variance, found.noise) == pytest.approx((1 / 25, 1 / 100), rel=1e-2)
    assert found.across < 3 * found.across_error < 0.05 and found.cosine == pytest.approx(10 / 101**0.5, rel=1e-3)


def test_a_small_run_judges_both_worlds_and_writes_its_files(tmp_path, few, capsys):
    stages = []
    result = rlhf.run(tmp_path, draws=200, seed=3, on_stage=stages.append)
    ways = ["language: Dr. GRPO", "language: PPO, 4 behind", "tools: RLOO", "tools: by dataflow"]
    assert stages == ["learning", *ways, "drawing"] and not result.interrupted
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["settings"] == {"draws": 200, "group": 8, "seed": 3} and len(content["solved"]) == 3
    for one, found in zip(content["losses"], result.rows, strict=True):
        assert (one["world"], one["loss"], one["bias"]) == (found.world, found.loss, found.bias)
        assert {"bias_error", "scale", "variance", "cosine", "verdict"} <= set(one)
    assert result.files == (tmp_path / "rlhf.png", tmp_path / "result.json")
    check_picture(result.files[0])
    print_rlhf(result)
    rows = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in rows if not line.startswith("Wrote ")) <= 80
    assert any(line.startswith("  by dataflow ") for line in rows) and any(
        line.startswith("(G-1)/G: ") for line in rows
    )


@pytest.mark.parametrize(("at", "left"), [("learning", 0), ("language: PPO, 4 behind", 1)])
def test_ctrl_c_keeps_what_was_judged(tmp_path, few, at, left):
    def press(stage):
        if stage == at:
            raise KeyboardInterrupt

    result = rlhf.run(tmp_path, draws=100, on_stage=press)
    assert result.interrupted and len(result.rows) == left
    assert json.loads((tmp_path / "result.json").read_text())["interrupted"] is True
    assert (tmp_path / "rlhf.png").exists() == bool(left)


def test_a_table_of_all_losses_fits_80_columns(capsys):
    policies = [world.initial()] * 5
    names = [
        *((name, "language") for name in rlhf.of_language(policies)),
        *((name, "tools") for name in rlhf.of_tools()),
    ]
    wide = {
        "scale": -10.125,
        "bias": 11.25,
        "bias_error": 0.111,
        "across": 3.333,
        "across_error": 0.111,
        "noise": 123.4,
    }
    rows = [row(name, where, "biased", True, cosine=-0.01, **wide) for name, where in names]
    print_rlhf(rlhf.Result(rlhf.Settings(16_000, 8, 0), tuple(rows), known_biases(rows), (0.1,), False, ()))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 and sum(" across" in line for line in lines) >= len(rows)
    assert any(re_line.startswith("1/length: across of GRPO, no 1/std 333.3%, ") for re_line in lines)


def test_what_a_loss_is_biased_in():
    assert row().biased_in == "" and row(verdict="undecided").biased_in == "undecided"
    assert row(verdict="biased").biased_in == "scale" and row(verdict="biased", across_found=True).biased_in == "across"


@pytest.mark.slow
def test_the_three_known_biases_are_found_in_a_short_run_and_nothing_where_there_is_none(tmp_path, monkeypatch):
    """Each verdict of a loss without bias is a false alarm once in 100 runs; keys are fixed."""
    every = rlhf.of_language
    names = "RLOO", "GRPO, no 1/std", "GRPO, no 1/len", "Dr. GRPO", "OTB, others"
    monkeypatch.setattr(rlhf, "of_language", lambda policies: {name: every(policies)[name] for name in names})
    monkeypatch.setattr(rlhf, "of_tools", lambda: {"by dataflow": sx.expectation(rlhf.conversation, samples=8)})
    result = rlhf.run(tmp_path, quick=True)
    known = {one.name: one for one in result.known}
    assert set(known) == {"(G-1)/G", "1/length", "1/std"}
    assert all(one.sigmas > 3 for one in known.values())
    # 7/8, within 4 standard errors.
    assert abs(known["(G-1)/G"].value - 7 / 8) < 4 * known["(G-1)/G"].error
    by_name = {one.loss: one for one in result.rows}
    assert by_name["Dr. GRPO"].biased_in == "scale" and by_name["GRPO, no 1/std"].biased_in == "across"
    assert all(by_name[name].verdict == "no bias found" for name in ("RLOO", "OTB, others", "by dataflow"))
