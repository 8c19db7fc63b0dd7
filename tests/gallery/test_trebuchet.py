"""`spanax gallery trebuchet` as a library call: a few updates, what it writes, and Ctrl-C."""

import json

import numpy as np
import pytest

from spanax.control.trebuchet.aim import reach
from spanax.control.trebuchet.env import Trebuchet
from spanax.gallery import trebuchet
from spanax.gallery._throws import aimer

from .pictures import check_motion, check_picture


@pytest.fixture(scope="module")
def reached():
    return aimer.reach(Trebuchet())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, reached):
    """A tiny run, its folder and the stages that it told of."""
    out, stages = tmp_path_factory.mktemp("trebuchet"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trebuchet, "reach", lambda env: reached)
        return trebuchet.run(out, quick=True, updates=2, on_stage=stages.append), out, stages


@pytest.mark.slow
def test_a_tiny_run_is_judged_and_drawn(tiny):
    result, out, stages = tiny
    assert stages == ["training", "judging", "drawing"] and not result.interrupted
    training, misses = result.training, result.misses
    assert (training.updates, training.env_steps, training.episodes) == (2, 512, 512)
    assert training.gradient_cosine is None  # quick
    assert 0 < misses.median < misses.percentile_95 < misses.worst < 150
    # 20 to 100 m with wind N(0, 5): about one in ten is out of reach.
    assert misses.drawn == 1000 and 850 < misses.cases < 970
    content = json.loads((out / "result.json").read_text())
    assert content["settings"] == {"updates": 2, "batch": 256, "seed": 0}
    assert content["misses_m"]["mean"] == misses.mean
    assert result.files == tuple(out / name for name in ("trebuchet.png", "trebuchet.gif", "result.json"))
    check_picture(out / "trebuchet.png")
    check_motion(out / "trebuchet.gif", frames=300, seconds=None)


@pytest.mark.slow
def test_the_reach_over_whole_degrees_is_that_of_the_best_angle(reached):
    winds, found = np.array([-10.0, 0.0, 5.0]), reached
    assert np.all(np.isfinite(found.nearest)) and np.all(found.nearest < found.farthest)
    farthest = np.interp(winds, found.winds, found.farthest)
    np.testing.assert_allclose(farthest, [reach(wind).distance for wind in winds], atol=0.05)


def test_ctrl_c_before_the_first_update_writes_only_the_report(tmp_path):
    def press(stage):
        raise KeyboardInterrupt

    result = trebuchet.run(tmp_path, on_stage=press)
    assert result.interrupted and result.training is None and result.misses is None
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
