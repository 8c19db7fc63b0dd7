"""`spanax gallery pendulum` as a library call: a few updates, what it writes, and Ctrl-C."""

import json
import sys

import jax
import numpy as np
import pytest

from spanax import control
from spanax.gallery import pendulum
from spanax.gallery._shared import judging

from .pictures import check_motion, check_picture


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A tiny run, its folder and the stages that it told of."""
    out, stages = tmp_path_factory.mktemp("pendulum") / "new" / "folder", []
    return pendulum.run(out, on_stage=stages.append, updates=10, batch=2), out, stages


def test_what_was_trained_and_how_it_was_judged(tiny):
    result, _, stages = tiny
    assert stages == ["training", "judging", "drawing"] and not result.interrupted
    training, judgement = result.training, result.judgement
    assert (training.updates, training.env_steps, training.episodes) == (10, 10 * 2 * 40, 10 * 2)
    assert [steps for steps, _ in training.curve] == list(range(80, 801, 80))
    assert training.gradient_cosine > 0.98
    assert judgement.judge == "Gymnasium's Pendulum-v1" and judgement.starts == 100
    assert -2000 < judgement.worst < judgement.mean < -800  # ten updates teach it nothing
    assert judgement.regret == pendulum.OPTIMUM - judgement.mean


def test_result_json_holds_settings_versions_and_figures(tiny):
    result, out, _ = tiny
    content = json.loads((out / "result.json").read_text())
    assert content["settings"] == {"updates": 10, "batch": 2, "horizon": 40, "seed": 0}
    assert content["versions"]["jax"] == jax.__version__ and content["versions"]["gymnasium"][0].isdigit()
    assert content["interrupted"] is False
    assert content["judgement"]["regret"] == result.judgement.regret
    assert content["training"]["curve"] == [list(row) for row in result.training.curve]


def test_pictures_are_written(tiny):
    result, out, _ = tiny
    assert result.files == tuple(out / f"{name}" for name in ("pendulum.png", "pendulum.gif", "result.json"))
    check_picture(out / "pendulum.png")
    check_motion(out / "pendulum.gif", frames=121, seconds=6.05)


def test_without_gymnasium_our_own_pendulum_judges_alike(monkeypatch):
    env, policy = control.Pendulum(), control.MLPPolicy(control.Pendulum(), key=jax.random.key(0))
    starts = pendulum.STARTS[:5]
    theirs = judging.judge("Pendulum-v1", env, policy, starts)
    monkeypatch.setattr(judging, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    ours = judging.judge("Pendulum-v1", env, policy, starts)
    assert (theirs.judge, ours.judge) == ("Gymnasium's Pendulum-v1", "Spanax's Pendulum")
    np.testing.assert_allclose([ours.mean, ours.worst], [theirs.mean, theirs.worst], rtol=1e-3)  # ours in float32


def test_ctrl_c_before_the_first_update_writes_only_the_report(tmp_path):
    def press(stage):
        raise KeyboardInterrupt

    result = pendulum.run(tmp_path, on_stage=press)
    assert result.interrupted and result.training is None and result.judgement is None
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert json.loads((tmp_path / "result.json").read_text())["interrupted"] is True
