"""`spanax gallery pendulum|cartpole|aim|calibrate|torch-attention|torch-router`, as a user types it."""

import contextlib
import io
import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from spanax.cli._app import app
from spanax.cli._gallery.renderer_table import print_renderer
from spanax.control import shoot
from spanax.gallery._renderer.fits import Fit
from spanax.gallery.problems import PROBLEMS
from spanax.gallery.renderer import Result, Settings
from tests.gallery.pictures import check_motion, check_picture


def spanax(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def table(result):
    rows = result.stdout.splitlines()
    return [row for row in rows if not row.startswith("Wrote ")]


@pytest.mark.slow
def test_the_pendulum_prints_a_table_of_80_columns_and_writes_its_files(tmp_path):
    result = spanax("gallery", "pendulum", "--updates", 5, "--batch", 2, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert max(map(len, table(result))) <= 80
    text = " ".join(result.stdout.split())
    assert "Gymnasium's Pendulum-v1, 100 fixed starts" in text and "5 updates, 400 steps, 10 episodes" in text
    names = ["pendulum.png", "pendulum.gif", "result.json"]
    assert [row for row in result.stdout.splitlines() if row.startswith("Wrote ")] == [
        f"Wrote {tmp_path / n}" for n in names
    ]
    assert result.stderr.split() == ["training", "judging", "drawing"]


@pytest.mark.parametrize("problem", [problem.name for problem in PROBLEMS])
def test_mistakes_are_one_message(problem):
    result = spanax("gallery", problem, "--out", "/dev/null/out")
    assert result.exit_code == 2 and result.stdout == ""
    assert (
        "/dev/null is not a folder" in " ".join(result.stderr.replace("│", " ").split())
        and "Traceback" not in result.stderr
    )
    assert spanax("gallery", problem, "--updates", 0).exit_code == 2  # too few, or no option of the renderer


def test_the_renderer_prints_one_row_for_each_way_and_says_what_was_not_reached(tmp_path):
    result = spanax("gallery", "renderer", "--steps", 0, "--out", tmp_path)
    assert result.exit_code == 2 and "--steps" in result.stderr
    fits = [
        Fit.of("smoothing", None, [9.0, 1.5], [4.0, 5.0], [17, 1034], False),
        Fit.of("softened", None, [9.0], [3.0], [1], True),
    ]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        print_renderer(Result(Settings(2, 7), 18.1, tuple(fits), True, (tmp_path / "renderer.png",)))
    rows = out.getvalue().splitlines()
    assert max(map(len, rows[:-1])) <= 80 and rows[-1] == f"Wrote {tmp_path / 'renderer.png'}"
    assert "error 18.1 at the start, seed 7" in rows[0]
    assert any(row.split() == ["smoothing", "1,034", "2.00", "3.0", "2", "1.50"] for row in rows)
    assert any(row.split() == ["softened", "not", "reached", "3.0", "1", "9.00"] for row in rows)


def test_the_attention_prints_the_dead_line_and_one_row_for_each_way(tmp_path):
    result = spanax("gallery", "torch-attention", "--steps", 1, "--seeds", 2, "--seed", 3, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    rows = table(result)
    assert max(map(len, rows)) <= 80
    assert re.match(r"The gradient ends at torch_attention.py:\d+, in argmax:$", rows[0])
    assert rows[1] == "    places = scores.argmax(-1)" and rows[2].startswith("Starved: where.0.weight, ")
    assert "1 steps, 2 seeds from 3 on" in result.stdout
    names = ["no bridge", "score function", "Gumbel-softmax", "straight-through", "ReinMax", "soft attention"]
    found = [row for row in rows if re.match(rf"  ({'|'.join(names)}) ", row)]
    assert [row.split("  ")[1] for row in found] == names
    # Its accuracy, the range over the two seeds, and the seconds.
    assert all(re.search(r" \d+\.\d +\d+\.\d to \d+\.\d +\d+\.\d +$", row) for row in found)
    assert result.stderr.splitlines()[:2] == ["finding the gap", "seed 3: no bridge"]


def test_the_router_prints_a_table_for_one_and_one_for_two_experts(tmp_path, monkeypatch):
    monkeypatch.setattr("spanax.gallery._torch.router_training.REPEATS", 2)
    result = spanax("gallery", "torch-router", "--steps", 1, "--seeds", 1, "--balance", 0, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert max(map(len, table(result))) <= 80
    for k in (1, 2):
        assert f"Top-{k} of 8 experts: 1 steps, seed 0\n" in re.sub(" +\n", "\n", result.stdout)
    rows = [row.split() for row in table(result) if row.startswith("  enumerated")]
    assert len(rows) == 2 and all(row[1:3] == ["1.00/1.00"] * 2 for row in rows)
    assert table(result)[2].strip() and "all experts" in result.stdout
    assert json.loads((tmp_path / "result.json").read_text())["settings"]["balance"] == 0
    refused = spanax("gallery", "torch-router", "--balance", "nan", "--out", tmp_path)
    assert refused.exit_code == 2 and "is not between 0 and 100" in refused.stderr


@pytest.mark.parametrize("problem", ["torch-attention", "torch-router"])
@pytest.mark.few(1)
def test_where_pytorch_is_missing_it_says_what_to_install(tmp_path, problem):
    script = "import sys; sys.modules['torch'] = None; from spanax.cli import main; main()"
    command = [sys.executable, "-c", script, "gallery", problem, "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stdout == ""
    assert "spanax: spanax.torch needs PyTorch" in done.stderr and "pip install 'spanax[torch]'" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_aim_prints_its_throws_and_says_what_the_reach_is(tmp_path):
    result = spanax("gallery", "aim", "--target", 80, "--wind", -3, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert max(map(len, table(result))) <= 80
    assert " 80.000 " in result.stdout and "Aiming at 80 m in a wind of -3 m/s" in result.stdout
    check_picture(tmp_path / "aim.png")
    check_motion(tmp_path / "aim.gif", frames=300, seconds=None)
    content = json.loads((tmp_path / "result.json").read_text())
    misses = [abs(one["distance"] - 80) for one in content["tries"]]
    assert misses[0] > 3 and misses[-1] <= 1e-3 and len(misses) > 2
    assert misses == sorted(misses, reverse=True)
    for one in content["tries"]:
        np.testing.assert_allclose(shoot(-3.0, one["angle"], one["weight"]), one["distance"], atol=1e-3)
    far = spanax("gallery", "aim", "--target", 200, "--out", tmp_path / "far")
    assert far.exit_code == 2 and far.stdout == "" and not (tmp_path / "far").exists()
    assert "200 m cannot be hit" in far.stderr and "the reach of 500 lb" in far.stderr


@pytest.mark.slow
def test_the_calibration_prints_three_tables_and_runs_nothing_twice(tmp_path):
    result = spanax("gallery", "calibrate", "--quick", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert max(map(len, table(result))) <= 80
    for name in ("least_squares", "descend", "fit_surrogate"):
        assert f"{name}: " in result.stdout
    assert "is not in its interval" in " ".join(result.stdout.split())
    again = spanax("gallery", "calibrate", "--quick", "--out", tmp_path)
    assert again.exit_code == 0 and again.stdout.count(" 0 of them run now") == 3


@pytest.mark.slow
def test_ctrl_c_ends_the_training_with_130_and_what_was_learnt(tmp_path):
    # A shell's background jobs ignore SIGINT, and so would a child of the tests.
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from spanax.cli import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "gallery", "cartpole", "--updates", "20", "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while not process.stderr.readline().startswith("training: policy gradient"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)  # it is being compiled, or trained
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "spanax: interrupted\nthese are the results so far\n" in err and "BPTT" in out
    assert json.loads((tmp_path / "result.json").read_text())["interrupted"] is True
