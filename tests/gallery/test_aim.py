"""`spanax gallery aim` as a library call: the throws on the way, what it writes, and targets out of reach."""

import json

import numpy as np
import pytest

import spanax as sx
from spanax.control.problems.trebuchet import shoot
from spanax.gallery import aim

from .pictures import check_motion, check_picture


def test_the_throws_come_closer_and_the_last_one_hits(tmp_path):
    result = aim.run(tmp_path, target=80.0, wind=-3.0)
    misses = [abs(one.distance - 80) for one in result.tries]
    assert misses[0] > 3 and misses[-1] <= 1e-3 and len(misses) > 2
    assert misses == sorted(misses, reverse=True)
    for one in result.tries:
        np.testing.assert_allclose(shoot(-3.0, one.angle, one.weight), one.distance, atol=1e-3)
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["settings"] == {"target": 80.0, "wind": -3.0, "tolerance": 1e-3}
    assert len(content["tries"]) == len(misses) and abs(content["error_m"]) <= 1e-3
    assert result.files == tuple(tmp_path / name for name in ("aim.png", "aim.gif", "result.json"))
    check_picture(tmp_path / "aim.png")
    check_motion(tmp_path / "aim.gif", frames=300, seconds=None)


def test_a_target_out_of_reach_is_refused(tmp_path):
    with pytest.raises(sx.SpanaxError, match="500 m cannot be hit"):
        aim.run(tmp_path, target=500.0, wind=0.0)
