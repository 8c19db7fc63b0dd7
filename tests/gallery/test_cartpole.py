"""`spanax gallery cartpole` as a library call: few updates, what it writes, and Ctrl-C."""

import json

import pytest

from spanax.gallery import cartpole

from .pictures import check_motion, check_picture


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The whole of backpropagation through time, little of the policy gradient, the folder and the stages told of."""
    out, stages = tmp_path_factory.mktemp("cartpole"), []
    return cartpole.run(out, gradient_updates=2, on_stage=stages.append), out, stages


@pytest.mark.slow
def test_through_the_simulator_it_is_solved_in_ten_episodes(tiny):
    result, _, stages = tiny
    through, black = result.learners
    assert not result.interrupted
    names = ("BPTT", "policy gradient")
    assert stages == [f"{what}: {name}" for name in names for what in ("training", "judging")] + ["drawing"]
    assert (through.training.name, black.training.name) == names
    assert through.judgement.judge == "Gymnasium's CartPole-v1"
    assert through.judgement.mean >= 475 and through.training.episodes <= 10
    assert through.training.env_steps <= 4 * 150
    # Straight-through is biased: what is asked is that it was measured. A policy gradient's check is left out.
    assert -1 <= through.training.gradient_cosine <= 1 and black.training.gradient_cosine is None
    assert len(black.training.curve) == 2 and black.training.episodes == 32
    assert black.judgement.mean < 475


@pytest.mark.slow
def test_result_json_holds_settings_and_both_learners(tiny):
    result, out, _ = tiny
    content = json.loads((out / "result.json").read_text())
    assert content["settings"] == {"updates": 150, "gradient_updates": 2, "seed": 0}
    for written, learner in zip(content["learners"], result.learners, strict=True):
        assert written["name"] == learner.training.name
        assert written["judgement"]["mean"] == learner.judgement.mean
        assert written["curve"] == [list(row) for row in learner.training.curve]


@pytest.mark.slow
def test_pictures_are_written(tiny):
    result, out, _ = tiny
    assert result.files == tuple(out / name for name in ("cartpole.png", "cartpole.gif", "result.json"))
    check_picture(out / "cartpole.png")
    check_motion(out / "cartpole.gif", frames=201, seconds=8.04)


@pytest.mark.slow
def test_ctrl_c_keeps_the_learner_that_is_ready(tmp_path):
    def press(stage):
        if stage == "training: policy gradient":
            raise KeyboardInterrupt

    result = cartpole.run(tmp_path, updates=2, on_stage=press)
    assert result.interrupted and [one.training.name for one in result.learners] == ["BPTT"]
    assert json.loads((tmp_path / "result.json").read_text())["interrupted"] is True
    assert (tmp_path / "cartpole.png").exists() and (tmp_path / "cartpole.gif").exists()
