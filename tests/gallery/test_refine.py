"""`spanax gallery refine` as a library call: what each stage finds, what is written, and Ctrl-C."""

import json

import numpy as np
import pytest

from spanax import control
from spanax.gallery import refine
from spanax.gallery._refine import throws

from .pictures import check_picture


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    out, stages = tmp_path_factory.mktemp("refine") / "new", []
    return refine.run(out, quick=True, updates=60, on_stage=stages.append), out, stages


def test_stages_parameters_and_throws(tiny):
    result, _, stages = tiny
    assert stages == [
        "training: coarse simulator",
        "identifying",
        "training: parameters identified",
        "training: the truth",
        "observing throws",
        "drawing",
    ]
    assert [(stage.simulator, stage.episodes) for stage in result.stages] == [
        ("coarse simulator", 0),
        ("parameters identified", 1),
        ("the truth", 0),
    ]
    found = {one.name: one for one in result.found}
    assert list(found) == ["m", "l", "friction", "gain", "machine.drag_coefficient"]
    # Within four standard errors, and a thirtieth for what the model leaves out.
    for name in ("l", "machine.drag_coefficient"):
        one = found[name]
        assert abs(one.found - one.real) < 4 * one.standard_error + one.real / 30, one
    assert result.aiming.after < 0.3 * result.aiming.before


def test_result_json_and_the_picture(tiny):
    result, out, _ = tiny
    content = json.loads((out / "result.json").read_text())
    assert content["settings"] == {"updates": 60, "episodes": 0, "seed": 0} and content["interrupted"] is False
    assert content["aiming"]["after"] == result.aiming.after and len(content["found"]) == 5
    assert result.files == (out / "refine.png", out / "result.json")
    check_picture(out / "refine.png")


def test_the_real_throw_in_a_uniform_wind_is_the_models(monkeypatch):
    monkeypatch.setattr(throws, "GROWTH", 0.0)
    monkeypatch.setattr(throws, "DRAG", 1.0)
    np.testing.assert_allclose(throws.real_distance(-2.0, 45.0, 200.0), control.shoot(-2.0, 45.0, 200.0), atol=0.02)


def test_ctrl_c_before_anything_writes_only_the_report(tmp_path):
    def press(stage):
        raise KeyboardInterrupt

    result = refine.run(tmp_path, on_stage=press)
    assert result.interrupted and not result.stages and result.aiming is None
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
