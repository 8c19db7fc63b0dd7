"""`spanax gallery mpc` as a library call: what it learns and writes, and Ctrl-C."""

import json

import numpy as np
import pytest

from spanax.cli._gallery.control_tables import print_mpc
from spanax.gallery import mpc

from .pictures import check_motion, check_picture


def test_the_mass_of_the_model_is_learnt_from_actions():
    masses = mpc.learn_mass(0)
    assert masses[0] == pytest.approx(mpc.FIRST_MASS)
    np.testing.assert_allclose(masses[-1], mpc.TRUE_MASS, rtol=1e-3)


@pytest.mark.slow
def test_a_short_run_writes_its_files_and_prints_its_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mpc, "QUICK", (1, 8, 2, 2))
    stages = []
    result = mpc.run(tmp_path, quick=True, horizon=15, on_stage=stages.append)
    assert stages == ["training", "judging", "learning the mass", "drawing"] and not result.interrupted
    assert [one.name for one in result.judged] == ["MPC", "BPTT"] and result.judged[0].regret is None
    assert [path.name for path in result.files] == ["mpc.png", "mpc.gif", "result.json"]
    check_picture(tmp_path / "mpc.png")
    check_motion(tmp_path / "mpc.gif", frames=100, seconds=5)
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["masses"] == list(result.masses) and content["settings"]["horizon"] == 15
    print_mpc(result)
    rows = [row for row in capsys.readouterr().out.splitlines() if not row.startswith("Wrote ")]
    assert max(map(len, rows)) <= 80


def test_ctrl_c_before_the_first_plan_writes_only_the_report(tmp_path):
    def press(stage):
        raise KeyboardInterrupt

    result = mpc.run(tmp_path, on_stage=press)
    assert result.interrupted and not result.judged
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
